//! Retries of a VirtualService.

use std::time::Duration;

use mesh_model::Retry;

use crate::objects::HttpRetry;
use crate::resources::problem::Problem;

/// What is said about retries, or what holds where nothing is said; and the time for one attempt.
pub(super) fn translate(
    written: Option<&HttpRetry>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> (Retry, Option<Duration>) {
    let mut retry = Retry::default();
    let Some(written) = written else { return (retry, None) };
    retry.attempts = written.attempts;
    if let Some(text) = written.retry_on.as_deref().filter(|text| !text.is_empty()) {
        retry.conditions.clear();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.parse::<u16>() {
                Ok(code) if (100..600).contains(&code) => retry.codes.push(code),
                Ok(code) => {
                    let message = format!("{code} is no status of HTTP; it is left out");
                    problems.push(Problem::unsupported(format!("{path}.retryOn"), message));
                }
                Err(_) if KNOWN.contains(&word) => retry.conditions.push(word.into()),
                // Says only that the numbers beside it count.
                Err(_) if word == "retriable-status-codes" => {}
                Err(_) => {
                    let message = format!("{word:?} is no condition for retries; it is left out");
                    problems.push(Problem::unsupported(format!("{path}.retryOn"), message));
                }
            }
        }
    }
    retry.backoff = written.backoff.map_or(retry.backoff, |it| it.0);
    retry.avoid_previous_hosts = written.retry_ignore_previous_hosts.unwrap_or(true);
    (retry, written.per_try_timeout.map(|it| it.0).filter(|it| !it.is_zero()))
}

/// The conditions that mean something to the waypoint.
const KNOWN: [&str; 15] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
