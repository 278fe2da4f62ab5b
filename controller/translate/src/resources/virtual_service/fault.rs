//! Injected faults of a VirtualService.

use mesh_model::{Abort, AbortError, Delay, Fault, PerMillion};

use crate::objects::{FaultAbort, FaultDelay, FaultInjection, Percent};
use crate::resources::problem::Problem;

/// The statuses of gRPC in the order of their numbers.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(super) fn translate(written: &FaultInjection, path: &str, problems: &mut Vec<Problem>) -> Fault {
    let mut report = |field: &str, message: &str| {
        problems.push(Problem::unsupported(format!("{path}.{field}"), format!("{message}; it is left out")));
    };
    let delay = written.delay.as_ref().and_then(|it| delay(it, &mut report));
    let abort = written.abort.as_ref().and_then(|it| abort(it, &mut report));
    Fault { delay, abort }
}

/// Without a share, every request is delayed.
fn delay(written: &FaultDelay, report: &mut impl FnMut(&str, &str)) -> Option<Delay> {
    if written.exponential_delay.is_some() {
        report("delay.exponentialDelay", "is not supported by this release; use fixedDelay");
    }
    let whole = written.percent.map(|percent| PerMillion(percent.min(100) * 10_000));
    let share = written.percentage.map(per_million).or(whole).unwrap_or(PerMillion::ALL);
    Some(Delay { fixed: written.fixed_delay?.0, share })
}

/// Without a share, no request is aborted.
fn abort(written: &FaultAbort, report: &mut impl FnMut(&str, &str)) -> Option<Abort> {
    let error = match (written.http_status, &written.grpc_status, &written.http2_error) {
        (Some(status), _, _) => AbortError::Http(status),
        (None, Some(text), _) => match grpc_status(text) {
            Some(status) => AbortError::Grpc(status),
            None => {
                report(
                    "abort.grpcStatus",
                    &format!("{text:?} is no status of gRPC; write for instance UNAVAILABLE"),
                );
                return None;
            }
        },
        (None, None, Some(_)) => {
            report("abort.http2Error", "is not supported by this release; use httpStatus or grpcStatus");
            return None;
        }
        (None, None, None) => return None,
    };
    Some(Abort { error, share: written.percentage.map_or(PerMillion(0), per_million) })
}

/// By name or by number.
fn grpc_status(text: &str) -> Option<u32> {
    let by_name = GRPC.iter().position(|name| name.eq_ignore_ascii_case(text));
    let index = by_name.or_else(|| text.parse().ok()).filter(|index| *index < GRPC.len())?;
    u32::try_from(index).ok()
}

pub(super) fn per_million(percent: Percent) -> PerMillion {
    // Within 0–100 since it was read, so the conversion cannot go wrong.
    PerMillion((percent.value * 10_000.0).round() as u32)
}
