//! Random limits of how many requests may pass.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::route::http_match;
use super::{duration, host, name, text};
use crate::{Counted, GlobalLimit, KeySource, LocalLimit, RateLimit, RateLimitKey, RateQuota, RateUnit};

fn key() -> impl Strategy<Value = RateLimitKey> {
    use KeySource::{Address, Host, Identity, Method, Namespace, Path, Route, ServiceAccount};
    let properties = vec![Identity, Namespace, ServiceAccount, Address, Path, Method, Host, Route];
    let source = prop_oneof![
        name().prop_map(KeySource::Fixed),
        name().prop_map(KeySource::Header),
        select(properties),
    ];
    (name(), source).prop_map(|(name, source)| RateLimitKey { name, source })
}

fn counted() -> impl Strategy<Value = Counted> {
    let local = (1..=u32::MAX, duration(), 1..=u32::MAX)
        .prop_map(|(requests, per, burst)| Counted::Local(LocalLimit { requests, per, burst }));
    let units = vec![RateUnit::Second, RateUnit::Minute, RateUnit::Hour, RateUnit::Day];
    let quota = (any::<u32>(), select(units)).prop_map(|(requests, unit)| RateQuota { requests, unit });
    let service = option::of((host(), any::<u16>()));
    let global = (service, duration(), any::<bool>(), name(), option::of(quota)).prop_map(
        |(service, timeout, fail_closed, domain, quota)| {
            Counted::Global(GlobalLimit { service, timeout, fail_closed, domain, quota })
        },
    );
    prop_oneof![local, global]
}

pub(super) fn rate_limit() -> impl Strategy<Value = RateLimit> {
    let about = (vec(any::<u16>(), 0..3), vec(text(), 0..3), vec(http_match(), 0..3));
    (name(), text(), about, vec(key(), 0..3), 400..600u16, any::<bool>(), counted()).prop_map(
        |(name, target, (ports, rules, matches), keys, status, shadow, counted)| RateLimit {
            name,
            target,
            ports,
            rules,
            matches,
            keys,
            status,
            shadow,
            counted,
        },
    )
}
