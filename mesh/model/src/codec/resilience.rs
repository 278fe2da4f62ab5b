//! How endpoints are asked how they are, and which requests may be sent twice, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::health_check::Probe as WireProbe;

use super::DecodeError;
use super::duration::{decode_positive, encode as encode_duration};
use super::field::{at, each, named, percent, port, required};
use crate::{HealthCheck, HedgedRequests, Hedging, HttpProbe, Probe, RetryBudget, StatusRange};

/// More than this in all would be an attack on one's own endpoints.
const MOST_REQUESTS: u32 = 5;
/// What a check may do: nothing is to change by it.
const METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

pub(super) fn decode_check(wire: proto::HealthCheck) -> Result<HealthCheck, DecodeError> {
    let probe = required("probe", wire.probe).and_then(|probe| match probe {
        WireProbe::Http(http) => at("http", decode_http(http)).map(Probe::Http),
        WireProbe::Tcp(proto::TcpProbe {}) => Ok(Probe::Tcp),
        WireProbe::Grpc(grpc) => {
            let host = at("grpc", named("host", &grpc.host))?;
            Ok(Probe::Grpc { service: grpc.service.into(), host })
        }
    });
    Ok(HealthCheck {
        interval: decode_positive("interval", wire.interval)?,
        timeout: decode_positive("timeout", wire.timeout)?,
        healthy_threshold: positive("healthy_threshold", wire.healthy_threshold)?,
        unhealthy_threshold: positive("unhealthy_threshold", wire.unhealthy_threshold)?,
        panic_percent: percent("panic_percent", wire.panic_percent)?,
        port: port("port", wire.port)?,
        probe: probe?,
    })
}

pub(super) fn encode_check(check: &HealthCheck) -> proto::HealthCheck {
    proto::HealthCheck {
        interval: Some(encode_duration(check.interval)),
        timeout: Some(encode_duration(check.timeout)),
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        panic_percent: check.panic_percent,
        port: check.port.into(),
        probe: Some(match &check.probe {
            Probe::Http(http) => WireProbe::Http(encode_http(http)),
            Probe::Tcp => WireProbe::Tcp(proto::TcpProbe {}),
            Probe::Grpc { service, host } => {
                WireProbe::Grpc(proto::GrpcProbe { service: service.to_string(), host: host.to_string() })
            }
        }),
    }
}

fn decode_http(wire: proto::HttpProbe) -> Result<HttpProbe, DecodeError> {
    if !wire.path.starts_with('/') {
        return Err(DecodeError::new(format!("{:?} does not begin with /", wire.path)).within("path"));
    }
    if !METHODS.contains(&wire.method.as_str()) {
        let reason = format!("{:?} is none of GET, HEAD and OPTIONS", wire.method);
        return Err(DecodeError::new(reason).within("method"));
    }
    let expected: Vec<StatusRange> = each("expected", wire.expected, decode_range)?;
    if expected.is_empty() {
        return Err(DecodeError::new("empty").within("expected"));
    }
    let host = named("host", &wire.host)?;
    Ok(HttpProbe { path: wire.path.into(), host, method: wire.method.into(), expected })
}

fn encode_http(http: &HttpProbe) -> proto::HttpProbe {
    let range =
        |range: &StatusRange| proto::StatusRange { start: range.first.into(), end: range.last.into() };
    proto::HttpProbe {
        path: http.path.to_string(),
        host: http.host.to_string(),
        method: http.method.to_string(),
        expected: http.expected.iter().map(range).collect(),
    }
}

fn decode_range(wire: proto::StatusRange) -> Result<StatusRange, DecodeError> {
    let status = |number: u32| u16::try_from(number).ok().filter(|status| (100..600).contains(status));
    match (status(wire.start), status(wire.end)) {
        (Some(first), Some(last)) if first <= last => Ok(StatusRange { first, last }),
        _ => Err(DecodeError::new(format!("{} to {} are no statuses", wire.start, wire.end))),
    }
}

pub(super) fn decode_hedged(wire: proto::HedgedRequests) -> Result<HedgedRequests, DecodeError> {
    let hedging = required("hedging", wire.hedging)?;
    let hedging = at("hedging", decode_hedging(hedging))?;
    Ok(HedgedRequests { rules: each("rules", wire.rules, |rule| Ok(Arc::from(rule)))?, hedging })
}

pub(super) fn encode_hedged(hedged: &HedgedRequests) -> proto::HedgedRequests {
    let Hedging { delay, max_requests, budget } = hedged.hedging;
    proto::HedgedRequests {
        rules: hedged.rules.iter().map(ToString::to_string).collect(),
        hedging: Some(proto::Hedging {
            delay: Some(encode_duration(delay)),
            max_requests,
            // Whole on this wire, and never out of range.
            budget_percent: budget.percent as u32,
            budget_min_concurrency: budget.min_concurrency,
        }),
    }
}

fn decode_hedging(wire: proto::Hedging) -> Result<Hedging, DecodeError> {
    if !(2..=MOST_REQUESTS).contains(&wire.max_requests) {
        let reason = format!("{} is not possible; use 2 to {MOST_REQUESTS}", wire.max_requests);
        return Err(DecodeError::new(reason).within("max_requests"));
    }
    Ok(Hedging {
        delay: decode_positive("delay", wire.delay)?,
        max_requests: wire.max_requests,
        budget: RetryBudget {
            percent: percent("budget_percent", wire.budget_percent)?.into(),
            min_concurrency: wire.budget_min_concurrency,
        },
    })
}

fn positive(field: &str, number: u32) -> Result<u32, DecodeError> {
    match number {
        0 => Err(DecodeError::new("has to be more than nothing").within(field)),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second() -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds: 1, nanos: 0 })
    }

    fn good() -> proto::HealthCheck {
        let http = proto::HttpProbe {
            path: "/healthz".into(),
            host: "shop".into(),
            method: "GET".into(),
            expected: vec![proto::StatusRange { start: 200, end: 299 }],
        };
        proto::HealthCheck {
            interval: second(),
            timeout: second(),
            healthy_threshold: 1,
            unhealthy_threshold: 3,
            panic_percent: 50,
            port: 80,
            probe: Some(WireProbe::Http(http)),
        }
    }

    fn rejected(broken: impl Fn(&mut proto::HealthCheck)) -> String {
        let mut wire = good();
        broken(&mut wire);
        decode_check(wire).unwrap_err().to_string()
    }

    fn broken_http(broken: impl Fn(&mut proto::HttpProbe)) -> String {
        rejected(|wire| match &mut wire.probe {
            Some(WireProbe::Http(http)) => broken(http),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn sec_09_a_check_that_cannot_mean_what_it_says_is_rejected_in_words() {
        assert!(decode_check(good()).is_ok());
        assert_eq!(rejected(|it| it.interval = None), "interval: missing");
        assert_eq!(rejected(|it| it.probe = None), "probe: missing");
        assert_eq!(rejected(|it| it.healthy_threshold = 0), "healthy_threshold: has to be more than nothing");
        assert_eq!(rejected(|it| it.panic_percent = 101), "panic_percent: 101 is not a percentage");
        assert_eq!(broken_http(|it| it.path = "x".into()), "http.path: \"x\" does not begin with /");
        assert_eq!(
            broken_http(|it| it.method = "POST".into()),
            "http.method: \"POST\" is none of GET, HEAD and OPTIONS"
        );
        assert_eq!(broken_http(|it| it.expected.clear()), "http.expected: empty");
        assert_eq!(
            broken_http(|it| it.expected[0].end = 100),
            "http.expected[0]: 200 to 100 are no statuses"
        );
    }

    #[test]
    fn sec_09_hedging_is_bounded_whoever_asks_for_it() {
        let wire = |max_requests, budget_percent| proto::HedgedRequests {
            rules: Vec::new(),
            hedging: Some(proto::Hedging {
                delay: second(),
                max_requests,
                budget_percent,
                budget_min_concurrency: 3,
            }),
        };
        assert!(decode_hedged(wire(5, 100)).is_ok());
        for (requests, percent, expected) in [
            (1, 10, "hedging.max_requests: 1 is not possible; use 2 to 5"),
            (6, 10, "hedging.max_requests: 6 is not possible; use 2 to 5"),
            (2, 101, "hedging.budget_percent: 101 is not a percentage"),
        ] {
            assert_eq!(decode_hedged(wire(requests, percent)).unwrap_err().to_string(), expected);
        }
    }
}
