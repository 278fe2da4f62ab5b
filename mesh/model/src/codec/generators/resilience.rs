//! Random checks of endpoints, and random requests that may be sent twice.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{duration, name, text};
use crate::{HealthCheck, HedgedRequests, Hedging, HttpProbe, Probe, RetryBudget, StatusRange};

fn probe() -> impl Strategy<Value = Probe> {
    let range = (100..600u16, 0..99u16)
        .prop_map(|(first, more)| StatusRange { first, last: first.saturating_add(more).min(599) });
    let path = text().prop_map(|rest| format!("/{rest}").into());
    let http = (path, name(), select(vec!["GET", "HEAD", "OPTIONS"]), vec(range, 1..3)).prop_map(
        |(path, host, method, expected)| {
            Probe::Http(HttpProbe { path, host, method: method.into(), expected })
        },
    );
    let grpc = (text(), name()).prop_map(|(service, host)| Probe::Grpc { service, host });
    prop_oneof![http, Just(Probe::Tcp), grpc]
}

pub(super) fn health_check() -> impl Strategy<Value = HealthCheck> {
    let thresholds = (1..=u32::MAX, 1..=u32::MAX, 0..=100u32);
    (duration(), duration(), thresholds, any::<u16>(), probe()).prop_map(
        |(interval, timeout, (healthy_threshold, unhealthy_threshold, panic_percent), port, probe)| {
            HealthCheck {
                interval,
                timeout,
                healthy_threshold,
                unhealthy_threshold,
                panic_percent,
                port,
                probe,
            }
        },
    )
}

pub(super) fn hedged_requests() -> impl Strategy<Value = HedgedRequests> {
    (vec(text(), 0..3), duration(), 2..=5u32, 0..=100u32, any::<u32>()).prop_map(
        |(rules, delay, max_requests, percent, min_concurrency)| {
            let budget = RetryBudget { percent: percent.into(), min_concurrency };
            HedgedRequests { rules, hedging: Hedging { delay, max_requests, budget } }
        },
    )
}
