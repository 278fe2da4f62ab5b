//! Durations, both ways.

use std::time::Duration;

use super::DecodeError;
use super::field::{at, required};

/// Zero means none (RES-06).
pub(super) fn decode_timeout(
    field: &str,
    wire: Option<prost_types::Duration>,
) -> Result<Option<Duration>, DecodeError> {
    let timeout = at(field, wire.map(decode).transpose())?;
    Ok(timeout.filter(|timeout| !timeout.is_zero()))
}

/// One that has to be there, and longer than nothing.
pub(super) fn decode_positive(
    field: &str,
    wire: Option<prost_types::Duration>,
) -> Result<Duration, DecodeError> {
    match at(field, decode(required(field, wire)?))? {
        Duration::ZERO => Err(DecodeError::new("has to be more than nothing").within(field)),
        duration => Ok(duration),
    }
}

pub(super) fn decode(wire: prost_types::Duration) -> Result<Duration, DecodeError> {
    Duration::try_from(wire).map_err(|_| DecodeError::new("a duration cannot be negative"))
}

/// Longer than the wire can say is as good as for ever.
pub(super) fn encode(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().try_into().unwrap_or(0),
    }
}
