//! When an attempt is worth another one, and how long to wait for it.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use mesh_model::Retry;
use rand::RngExt;

use super::reply::grpc;

/// The longest pause, in first pauses.
const LONGEST_PAUSE: u32 = 10;

/// A compiled retry policy.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    /// Attempts beyond the first.
    pub(crate) attempts: u32,
    pub(crate) avoid_previous_hosts: bool,
    conditions: Vec<Condition>,
    codes: Vec<u16>,
    backoff: Duration,
}

/// What makes an attempt worth another one; names as in Envoy's `x-envoy-retry-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    ServerError,
    GatewayError,
    Reset,
    ConnectFailure,
    Conflict,
    RefusedStream,
    Grpc(u32),
}

/// Why an attempt brought no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is nobody to ask.
    NoEndpoint,
    /// The endpoint could not be reached, or not be sent anything.
    Connect,
    /// The endpoint does not speak TLS as it should.
    Tls,
    /// A limit of the service's traffic is reached.
    Overflow,
    /// The endpoint has not looked at the request.
    Refused,
    /// The connection had been kept from earlier, was closed, and the method changes nothing.
    Stale,
    /// The connection broke.
    Reset,
    /// The attempt took too long.
    Timeout,
}

impl Failure {
    /// The status that stands for it.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Failure::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl RetryPolicy {
    pub(crate) fn compile(retry: &Retry) -> RetryPolicy {
        RetryPolicy {
            attempts: retry.attempts,
            avoid_previous_hosts: retry.avoid_previous_hosts,
            conditions: retry.conditions.iter().filter_map(|name| Condition::find(name)).collect(),
            codes: retry.codes.clone(),
            backoff: retry.backoff,
        }
    }

    /// Whether a response is worth another attempt.
    pub(crate) fn wants_other_than(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let code = status.as_u16();
        let grpc_status = grpc::status_in(headers);
        self.codes.contains(&code)
            || self.conditions.iter().any(|condition| match condition {
                Condition::ServerError => status.is_server_error(),
                Condition::GatewayError => matches!(code, 502..=504),
                Condition::Conflict => status == StatusCode::CONFLICT,
                Condition::Grpc(asked) => grpc_status == Some(*asked),
                _ => false,
            })
    }

    /// Whether a failure is worth another attempt.
    pub(crate) fn wants_after(&self, failure: Failure) -> bool {
        let listed = |condition| self.conditions.contains(&condition);
        // "Any server error" includes the ones we would have to answer with.
        let any = listed(Condition::Reset)
            || listed(Condition::ServerError)
            || listed(Condition::GatewayError)
            || self.codes.contains(&failure.status().as_u16());
        match failure {
            // To try again is what a limit is there to keep down.
            Failure::NoEndpoint | Failure::Overflow => false,
            Failure::Stale => true,
            Failure::Connect | Failure::Tls => any || listed(Condition::ConnectFailure),
            Failure::Refused => any || listed(Condition::RefusedStream),
            Failure::Reset | Failure::Timeout => any,
        }
    }

    /// The pause before the attempt after `failed` of them: up to a limit that doubles each time.
    pub(crate) fn pause(&self, failed: u32) -> Duration {
        let limit = self.longest_pause(failed);
        limit.mul_f64(rand::rng().random_range(0.0..1.0))
    }

    fn longest_pause(&self, failed: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failed.saturating_sub(1)).min(LONGEST_PAUSE);
        self.backoff.saturating_mul(factor)
    }
}

impl Condition {
    fn find(name: &str) -> Option<Condition> {
        Some(match name.trim() {
            "5xx" => Condition::ServerError,
            "gateway-error" => Condition::GatewayError,
            "reset" => Condition::Reset,
            // A request that was not sent is one whose connection failed.
            "connect-failure" | "reset-before-request" => Condition::ConnectFailure,
            "retriable-4xx" => Condition::Conflict,
            "refused-stream" => Condition::RefusedStream,
            "cancelled" => Condition::Grpc(grpc::CANCELLED),
            "deadline-exceeded" => Condition::Grpc(grpc::DEADLINE_EXCEEDED),
            "resource-exhausted" => Condition::Grpc(grpc::RESOURCE_EXHAUSTED),
            "internal" => Condition::Grpc(grpc::INTERNAL),
            "unavailable" => Condition::Grpc(grpc::UNAVAILABLE),
            // "retriable-status-codes" says what the codes say themselves; others are not for us.
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(conditions: &[&str], codes: &[u16]) -> RetryPolicy {
        RetryPolicy::compile(&Retry {
            conditions: conditions.iter().map(|name| (*name).into()).collect(),
            codes: codes.to_vec(),
            ..Retry::default()
        })
    }

    fn retried(policy: &RetryPolicy, status: u16) -> bool {
        policy.wants_other_than(StatusCode::from_u16(status).unwrap(), &HeaderMap::new())
    }

    #[test]
    fn res_08_only_the_listed_codes() {
        let policy = policy(&["connect-failure", "refused-stream", "unavailable", "cancelled"], &[500]);
        assert_eq!(
            [200, 404, 500, 502, 503, 504].map(|code| retried(&policy, code)),
            [false, false, true, false, false, false]
        );
    }

    #[test]
    fn res_03_conditions_by_their_usual_names() {
        for (name, codes) in [
            ("5xx", &[500, 501, 502, 503, 504, 599][..]),
            ("gateway-error", &[502, 503, 504]),
            ("retriable-4xx", &[409]),
            ("connect-failure", &[]),
            ("no-such-condition", &[]),
        ] {
            let policy = policy(&[name], &[]);
            let retried: Vec<u16> = (200..600).filter(|code| retried(&policy, *code)).collect();
            let expected: Vec<u16> = if name == "5xx" { (500..600).collect() } else { codes.to_vec() };
            assert_eq!(retried, expected, "{name}");
        }
    }

    #[test]
    fn grpc_statuses_in_the_headers_count() {
        let policy = policy(&["unavailable", "cancelled"], &[]);
        for (status, expected) in [("14", true), ("1", true), ("0", false), ("13", false), ("x", false)] {
            let headers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
            assert_eq!(policy.wants_other_than(StatusCode::OK, &headers), expected, "{status}");
        }
    }

    #[test]
    fn res_10_and_12_failures_by_condition() {
        use Failure::{Connect, NoEndpoint, Overflow, Refused, Reset, Stale, Timeout, Tls};
        let all = [NoEndpoint, Connect, Refused, Stale, Reset, Timeout];
        for (names, codes, expected) in [
            (&["connect-failure"][..], &[][..], [false, true, false, true, false, false]),
            (&["refused-stream"], &[], [false, false, true, true, false, false]),
            (&["reset-before-request"], &[], [false, true, false, true, false, false]),
            (&["reset"], &[], [false, true, true, true, true, true]),
            (&["5xx"], &[], [false, true, true, true, true, true]),
            (&["gateway-error"], &[], [false, true, true, true, true, true]),
            (&[], &[503], [false, true, true, true, true, false]),
            (&[], &[504], [false, false, false, true, false, true]),
            (&[], &[], [false, false, false, true, false, false]),
        ] {
            let policy = policy(names, codes);
            assert_eq!(all.map(|failure| policy.wants_after(failure)), expected, "{names:?} {codes:?}");
            assert_eq!(policy.wants_after(Tls), policy.wants_after(Connect), "{names:?} {codes:?}");
            assert!(!policy.wants_after(Overflow), "{names:?} {codes:?}");
        }
    }

    #[test]
    fn res_11_pauses_double_up_to_ten_times_the_first() {
        let policy = policy(&[], &[]);
        let longest = [1, 2, 3, 4, 5, 6, 60].map(|failed| policy.longest_pause(failed).as_millis());
        assert_eq!(longest, [25, 50, 100, 200, 250, 250, 250]);
        assert!((0..1000).all(|_| policy.pause(2) < Duration::from_millis(50)));
    }
}
