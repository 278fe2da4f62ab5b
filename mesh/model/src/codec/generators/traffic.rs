//! Random traffic policies.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{duration, name, small_map, text};
use crate::{
    Choice, ConsistentHash, HashAlgorithm, HashCookie, HashKey, Http2Keepalive, HttpLimits, LoadBalancer,
    LocalityPreference, OutlierDetection, PortTraffic, ProxyProtocolVersion, RetryBudget, TcpKeepalive,
    TcpLimits, TlsClient, TlsTrust, TrafficPolicy, UpstreamTls, UpstreamVersion, Warmup,
};

fn hash() -> impl Strategy<Value = ConsistentHash> {
    let cookie = (name(), option::of(name()), option::of(duration()), vec((name(), text()), 0..3))
        .prop_map(|(name, path, ttl, attributes)| HashCookie { name, path, ttl, attributes });
    let key = prop_oneof![
        name().prop_map(HashKey::Header),
        cookie.prop_map(HashKey::Cookie),
        Just(HashKey::SourceIp),
        name().prop_map(HashKey::QueryParameter),
    ];
    let algorithm = prop_oneof![
        (1..=8_388_608u64).prop_map(|minimum_size| HashAlgorithm::Ring { minimum_size }),
        select(vec![2, 3, 101, 65_537, 5_000_011])
            .prop_map(|table_size| HashAlgorithm::Maglev { table_size }),
    ];
    (key, algorithm).prop_map(|(key, algorithm)| ConsistentHash { key, algorithm })
}

fn load_balancer() -> impl Strategy<Value = LoadBalancer> {
    let choice = prop_oneof![
        Just(Choice::LeastRequest),
        Just(Choice::Random),
        Just(Choice::RoundRobin),
        hash().prop_map(Choice::ConsistentHash),
    ];
    let shares = (text(), btree_map(text(), 0..=100u32, 0..3));
    let locality = (vec(shares, 0..3), vec((text(), text()), 0..3), vec(name(), 0..3)).prop_map(
        |(distribute, failover, failover_priority)| LocalityPreference {
            distribute,
            failover,
            failover_priority,
        },
    );
    let warmup = (duration(), 0.0..=100.0f64, 1.0..10.0f64)
        .prop_map(|(duration, minimum_percent, aggression)| Warmup { duration, minimum_percent, aggression });
    (choice, option::of(locality), option::of(warmup)).prop_map(|(choice, locality, warmup)| LoadBalancer {
        choice,
        locality,
        warmup,
    })
}

fn tcp() -> impl Strategy<Value = TcpLimits> {
    let keepalive = (option::of(1..9u32), option::of(duration()), option::of(duration()))
        .prop_map(|(probes, time, interval)| TcpKeepalive { probes, time, interval });
    let timeouts = (option::of(duration()), option::of(duration()), option::of(duration()));
    (option::of(any::<u32>()), timeouts, option::of(keepalive)).prop_map(
        |(max_connections, timeouts, keepalive)| TcpLimits {
            max_connections,
            connect_timeout: timeouts.0,
            keepalive,
            max_connection_duration: timeouts.1,
            idle_timeout: timeouts.2,
        },
    )
}

fn http() -> impl Strategy<Value = HttpLimits> {
    let keepalive =
        (duration(), duration()).prop_map(|(interval, timeout)| Http2Keepalive { interval, timeout });
    let any_limits = (option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>()));
    let limits = (option::of(1..=u32::MAX), option::of(1..=u32::MAX));
    (any_limits, limits, option::of(duration()), option::of(keepalive)).prop_map(
        |(any_limits, limits, idle_timeout, http2_keepalive)| HttpLimits {
            max_pending_requests: any_limits.0,
            max_requests: any_limits.1,
            max_requests_per_connection: limits.0,
            max_retries: any_limits.2,
            idle_timeout,
            max_concurrent_streams: limits.1,
            http2_keepalive,
        },
    )
}

fn outlier_detection() -> impl Strategy<Value = OutlierDetection> {
    let count = || option::of(1..=u32::MAX);
    (
        (duration(), duration(), 0..=100u32, 0..=100u32),
        (count(), count(), count(), any::<bool>()),
        vec(100..=599u16, 0..3),
    )
        .prop_map(|(times, counts, error_codes)| OutlierDetection {
            interval: times.0,
            base_ejection_time: times.1,
            max_ejection_percent: times.2,
            min_health_percent: times.3,
            consecutive_gateway_errors: counts.0,
            consecutive_errors: counts.1,
            consecutive_local_origin_failures: counts.2,
            split_local_origin_errors: counts.3,
            error_codes,
        })
}

fn tls() -> impl Strategy<Value = UpstreamTls> {
    let trust = prop_oneof![
        Just(TlsTrust::System),
        name().prop_map(TlsTrust::File),
        text().prop_map(TlsTrust::Pem),
        Just(TlsTrust::Unverified),
    ];
    let client =
        (name(), name()).prop_map(|(certificate_file, key_file)| TlsClient { certificate_file, key_file });
    (option::of(name()), vec(name(), 0..3), trust, option::of(client)).prop_map(
        |(sni, subject_alt_names, trust, client)| UpstreamTls { sni, subject_alt_names, trust, client },
    )
}

pub(super) fn port_traffic() -> impl Strategy<Value = PortTraffic> {
    use UpstreamVersion::{AsDeclared, Http1, Http2, OfClient};
    let proxy_protocol = select(vec![None, Some(ProxyProtocolVersion::V1), Some(ProxyProtocolVersion::V2)]);
    let budget = (0.0..=100.0f64, any::<u32>())
        .prop_map(|(percent, min_concurrency)| RetryBudget { percent, min_concurrency });
    let policy = (
        (load_balancer(), tcp(), http(), option::of(outlier_detection())),
        (option::of(tls()), proxy_protocol, select(vec![AsDeclared, Http1, Http2, OfClient])),
        option::of(budget),
    )
        .prop_map(|(limits, wire, retry_budget)| TrafficPolicy {
            load_balancer: limits.0,
            tcp: limits.1,
            http: limits.2,
            outlier_detection: limits.3,
            tls: wire.0,
            proxy_protocol: wire.1,
            http_version: wire.2,
            retry_budget,
        });
    small_map(any::<u16>(), policy)
}
