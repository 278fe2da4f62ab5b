//! What became of an attempt, as far as it tells how its endpoint is.

use http::HeaderMap;

use crate::http::{Failure, grpc};
use crate::upstream::{Answer, SendError};

/// How an endpoint has dealt with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered with this status; gRPC's in terms of HTTP.
    Answered(u16),
    /// It could not be reached, or broke off.
    Failed,
    /// It took too long.
    TimedOut,
}

impl Outcome {
    /// The outcome of an attempt; none if it says nothing of the endpoint.
    pub(crate) fn of(result: &Result<Answer, SendError>) -> Option<Outcome> {
        match result {
            Ok(answer) => {
                let (status, headers) = (answer.response.status(), answer.response.headers());
                Some(Outcome::Answered(grpc_code(headers).unwrap_or(status.as_u16())))
            }
            Err(error) => match error.failure {
                Failure::Connect | Failure::Tls | Failure::Refused | Failure::Reset => Some(Outcome::Failed),
                Failure::Timeout => Some(Outcome::TimedOut),
                // A connection that was kept too long, or nobody was asked.
                _ => None,
            },
        }
    }
}

/// The status of HTTP that a status of gRPC in the head of a response stands for, as far as it counts.
fn grpc_code(headers: &HeaderMap) -> Option<u16> {
    Some(match grpc::status_in(headers)? {
        // Unknown, internal, data loss.
        2 | 13 | 15 => 500,
        // Unimplemented.
        12 => 501,
        // Unavailable.
        14 => 503,
        // Deadline exceeded.
        4 => 504,
        _ => 200,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failure: Failure) -> Option<Outcome> {
        Outcome::of(&Err(SendError { failure, reason: "as the test says".to_owned() }))
    }

    #[test]
    fn res_20_what_failures_say_of_an_endpoint() {
        for (failure, expected) in [
            (Failure::NoEndpoint, None),
            (Failure::Stale, None),
            (Failure::Connect, Some(Outcome::Failed)),
            (Failure::Refused, Some(Outcome::Failed)),
            (Failure::Reset, Some(Outcome::Failed)),
            (Failure::Timeout, Some(Outcome::TimedOut)),
        ] {
            assert_eq!(failed(failure), expected, "{failure:?}");
        }
    }

    #[test]
    fn res_20_grpc_says_it_in_a_header() {
        for (status, expected) in [
            ("0", Some(200)),
            ("2", Some(500)),
            ("4", Some(504)),
            ("5", Some(200)),
            ("14", Some(503)),
            ("x", None),
        ] {
            let headers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
            assert_eq!(grpc_code(&headers), expected, "{status}");
        }
        assert_eq!(grpc_code(&HeaderMap::new()), None);
    }
}
