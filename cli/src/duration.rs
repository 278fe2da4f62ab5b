//! Durations on the command line: `500ms`, `2s`, `1m30s`.

use std::time::Duration;

use thiserror::Error;

/// A text that is not a duration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a duration; write for instance 500ms, 2s or 1m30s")]
pub(crate) struct InvalidDuration(String);

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    mesh_runtime::env::parse_duration(text).ok_or_else(|| InvalidDuration(text.to_owned()))
}
