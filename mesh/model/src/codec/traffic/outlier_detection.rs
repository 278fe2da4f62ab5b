//! When endpoints are left out for a while, both ways.

use mesh_proto::adit::waypoint::v1 as proto;

use crate::OutlierDetection;
use crate::codec::DecodeError;
use crate::codec::duration::{decode_positive, encode as encode_duration};
use crate::codec::field::{each, percent};

pub(super) fn decode(wire: proto::OutlierDetection) -> Result<OutlierDetection, DecodeError> {
    let unless_off = |number: u32| (number != 0).then_some(number);
    Ok(OutlierDetection {
        interval: decode_positive("interval", wire.interval)?,
        base_ejection_time: decode_positive("base_ejection_time", wire.base_ejection_time)?,
        max_ejection_percent: percent("max_ejection_percent", wire.max_ejection_percent)?,
        min_health_percent: percent("min_health_percent", wire.min_health_percent)?,
        consecutive_gateway_errors: unless_off(wire.consecutive_gateway_errors),
        consecutive_errors: unless_off(wire.consecutive_errors),
        consecutive_local_origin_failures: unless_off(wire.consecutive_local_origin_failures),
        split_local_origin_errors: wire.split_local_origin_errors,
        error_codes: each("error_codes", wire.error_codes, status)?,
    })
}

pub(super) fn encode(outliers: &OutlierDetection) -> proto::OutlierDetection {
    proto::OutlierDetection {
        interval: Some(encode_duration(outliers.interval)),
        base_ejection_time: Some(encode_duration(outliers.base_ejection_time)),
        max_ejection_percent: outliers.max_ejection_percent,
        min_health_percent: outliers.min_health_percent,
        consecutive_gateway_errors: outliers.consecutive_gateway_errors.unwrap_or(0),
        consecutive_errors: outliers.consecutive_errors.unwrap_or(0),
        split_local_origin_errors: outliers.split_local_origin_errors,
        consecutive_local_origin_failures: outliers.consecutive_local_origin_failures.unwrap_or(0),
        error_codes: outliers.error_codes.iter().map(|code| u32::from(*code)).collect(),
    }
}

/// Any status, informational ones included.
fn status(code: u32) -> Result<u16, DecodeError> {
    match u16::try_from(code) {
        Ok(code @ 100..=599) => Ok(code),
        _ => Err(DecodeError::new(format!("{code} is not a status of HTTP"))),
    }
}
