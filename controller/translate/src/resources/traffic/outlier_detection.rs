//! When endpoints are left out for a while.

use std::time::Duration;

use mesh_model::OutlierDetection;

use crate::objects::{self, GoDuration};

pub(super) fn translate(written: &objects::OutlierDetection) -> OutlierDetection {
    let splits = written.split_external_local_origin_errors == Some(true);
    let unless_off = |number: u32| (number > 0).then_some(number);
    OutlierDetection {
        interval: duration(written.interval, 10),
        base_ejection_time: duration(written.base_ejection_time, 30),
        max_ejection_percent: percent(written.max_ejection_percent).filter(|it| *it > 0).unwrap_or(10),
        min_health_percent: percent(written.min_health_percent).unwrap_or(0),
        consecutive_gateway_errors: written.consecutive_gateway_errors.and_then(unless_off),
        consecutive_errors: unless_off(written.consecutive_5xx_errors.unwrap_or(5)),
        // Zero does not switch it off: in Istio it is as good as nothing.
        consecutive_local_origin_failures: splits
            .then(|| written.consecutive_local_origin_failures.and_then(unless_off).unwrap_or(5)),
        split_local_origin_errors: splits,
        error_codes: codes(&written.outlier_detection_http_error_codes),
    }
}

fn duration(written: Option<GoDuration>, seconds: u64) -> Duration {
    written.map(|it| it.0).filter(|it| !it.is_zero()).unwrap_or(Duration::from_secs(seconds))
}

fn percent(written: Option<i32>) -> Option<u32> {
    written.and_then(|share| u32::try_from(share).ok()).map(|share| share.min(100))
}

fn codes(written: &[u32]) -> Vec<u16> {
    let codes = written.iter().filter_map(|code| u16::try_from(*code).ok());
    codes.filter(|code| (100..600).contains(code)).collect()
}
