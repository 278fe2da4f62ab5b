//! Defaults and rejects of traffic policies.

use std::time::Duration;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::consistent_hash::{Algorithm, Key};
use proto::load_balancer::Choice as Wire;

use super::{decode, encode};
use crate::{Choice, HashAlgorithm, HashKey, TcpKeepalive, TlsTrust, TrafficPolicy};

/// Decodes a policy for port 80.
fn policy(change: impl FnOnce(&mut proto::TrafficPolicy)) -> Result<TrafficPolicy, String> {
    let mut policy = proto::TrafficPolicy::default();
    change(&mut policy);
    let wire = vec![proto::PortTraffic { port: 80, policy: Some(policy) }];
    match decode("traffic", wire) {
        Ok(ports) => Ok(ports.get(&80).unwrap().clone()),
        Err(error) => Err(error.to_string()),
    }
}

fn duration(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn hash(key: Option<Key>, algorithm: Option<Algorithm>) -> Option<proto::LoadBalancer> {
    let choice = Some(Wire::ConsistentHash(proto::ConsistentHash { key, algorithm }));
    Some(proto::LoadBalancer { choice, ..proto::LoadBalancer::default() })
}

fn header() -> Option<Key> {
    Some(Key::Header("X-User".into()))
}

fn outliers(change: impl FnOnce(&mut proto::OutlierDetection)) -> Option<proto::OutlierDetection> {
    let mut wire = proto::OutlierDetection {
        interval: duration(10),
        base_ejection_time: duration(30),
        ..proto::OutlierDetection::default()
    };
    change(&mut wire);
    Some(wire)
}

fn tls(trust: Option<proto::tls_trust::Trust>) -> Option<proto::UpstreamTls> {
    Some(proto::UpstreamTls { trust: Some(proto::TlsTrust { trust }), ..proto::UpstreamTls::default() })
}

#[test]
fn nothing_on_the_wire_is_as_without_any_policy() {
    assert_eq!(policy(|_| {}), Ok(TrafficPolicy::default()));
    let nothing = [(80, TrafficPolicy::default())].into();
    let wire = vec![proto::PortTraffic { port: 80, policy: Some(proto::TrafficPolicy::default()) }];
    assert_eq!(encode(&nothing), wire);
}

#[test]
fn zero_is_no_limit_but_where_it_can_be_one() {
    let policy = policy(|wire| {
        wire.tcp = Some(proto::TcpLimits {
            max_connections: Some(0),
            connect_timeout: duration(0),
            keepalive: Some(proto::TcpKeepalive { probes: 0, time: duration(0), interval: duration(7) }),
            ..proto::TcpLimits::default()
        });
        wire.http = Some(proto::HttpLimits { max_requests: Some(0), ..proto::HttpLimits::default() });
    })
    .unwrap();
    assert_eq!((policy.tcp.max_connections, policy.tcp.connect_timeout), (Some(0), None));
    let interval = Some(Duration::from_secs(7));
    assert_eq!(policy.tcp.keepalive, Some(TcpKeepalive { interval, ..TcpKeepalive::default() }));
    assert_eq!((policy.http.max_requests, policy.http.max_requests_per_connection), (Some(0), None));
}

#[test]
fn lb_21_a_hash_has_a_ring_where_nothing_else_is_said() {
    let policy = policy(|wire| wire.load_balancer = hash(header(), None)).unwrap();
    let Choice::ConsistentHash(hash) = policy.load_balancer.choice else { panic!("{policy:?}") };
    assert_eq!(hash.algorithm, HashAlgorithm::Ring { minimum_size: 1024 });
    assert_eq!(hash.key, HashKey::Header("x-user".into()), "names of headers are in lower case");
}

#[test]
fn certificates_that_are_no_text_trust_nobody() {
    use proto::tls_trust::Trust;
    let policy = policy(|wire| wire.tls = tls(Some(Trust::Pem(String::new())))).unwrap();
    assert_eq!(policy.tls.unwrap().trust, TlsTrust::Pem("".into()));
}

type Change = fn(&mut proto::TrafficPolicy);

fn assert_rejected(table: Vec<(&str, Change)>) {
    for (reason, change) in table {
        assert_eq!(policy(change), Err(format!("traffic[0].policy.{reason}")));
    }
}

#[test]
fn sec_09_bad_load_balancers_are_rejected_with_field_and_reason() {
    assert_rejected(vec![
        ("load_balancer.simple: 9 is not a value of this enum", |wire| {
            let choice = Some(Wire::Simple(9));
            wire.load_balancer = Some(proto::LoadBalancer { choice, ..Default::default() });
        }),
        ("load_balancer.consistent_hash.key: missing", |wire| wire.load_balancer = hash(None, None)),
        ("load_balancer.consistent_hash.source_ip: false has no meaning", |wire| {
            wire.load_balancer = hash(Some(Key::SourceIp(false)), None);
        }),
        ("load_balancer.consistent_hash.header: \"a b\" is not the name of a header", |wire| {
            wire.load_balancer = hash(Some(Key::Header("a b".into())), None);
        }),
        ("load_balancer.consistent_hash.cookie.name: \"a;b\" is not a token of HTTP", |wire| {
            let cookie = proto::HashCookie { name: "a;b".into(), ..Default::default() };
            wire.load_balancer = hash(Some(Key::Cookie(cookie)), None);
        }),
        (
            "load_balancer.consistent_hash.cookie.path: \"/; Domain=x\" cannot be an attribute of a cookie",
            |wire| {
                let path = "/; Domain=x".into();
                let cookie = proto::HashCookie { name: "a".into(), path, ..Default::default() };
                wire.load_balancer = hash(Some(Key::Cookie(cookie)), None);
            },
        ),
        ("load_balancer.consistent_hash.ring_size: 8388609 is not possible; use 1 to 8388608", |wire| {
            wire.load_balancer = hash(header(), Some(Algorithm::RingSize(8_388_609)))
        }),
        (
            "load_balancer.consistent_hash.maglev_table_size: 65536 is not possible; use a prime number up to 5000011",
            |wire| wire.load_balancer = hash(header(), Some(Algorithm::MaglevTableSize(65_536))),
        ),
        ("load_balancer.locality.distribute[0].to: 101 is not a percentage", |wire| {
            let shares = proto::LocalityShares { from: "*".into(), to: [("a".into(), 101)].into() };
            let locality = proto::LocalityPreference { distribute: vec![shares], ..Default::default() };
            wire.load_balancer = Some(proto::LoadBalancer { locality: Some(locality), ..Default::default() });
        }),
        ("load_balancer.warmup.aggression: NaN is not possible; use 1 or more", |wire| {
            let warmup = proto::Warmup { aggression: f64::NAN, ..Default::default() };
            wire.load_balancer = Some(proto::LoadBalancer { warmup: Some(warmup), ..Default::default() });
        }),
        ("load_balancer.warmup.duration: missing", |wire| {
            let warmup = proto::Warmup { aggression: 1.0, ..Default::default() };
            wire.load_balancer = Some(proto::LoadBalancer { warmup: Some(warmup), ..Default::default() });
        }),
    ]);
}

#[test]
fn sec_09_bad_limits_are_rejected_with_field_and_reason() {
    assert_rejected(vec![
        ("tcp.connect_timeout: a duration cannot be negative", |wire| {
            wire.tcp = Some(proto::TcpLimits { connect_timeout: duration(-1), ..Default::default() });
        }),
        ("http.http2_keepalive.interval: has to be more than nothing", |wire| {
            let keepalive = proto::Http2Keepalive { interval: duration(0), timeout: duration(1) };
            wire.http = Some(proto::HttpLimits { http2_keepalive: Some(keepalive), ..Default::default() });
        }),
        ("outlier_detection.interval: missing", |wire| {
            wire.outlier_detection = outliers(|it| it.interval = None);
        }),
        ("outlier_detection.max_ejection_percent: 101 is not a percentage", |wire| {
            wire.outlier_detection = outliers(|it| it.max_ejection_percent = 101);
        }),
        ("outlier_detection.error_codes[1]: 99 is not a status of HTTP", |wire| {
            wire.outlier_detection = outliers(|it| it.error_codes = vec![100, 99]);
        }),
        ("proxy_protocol: 3 is not a value of this enum", |wire| wire.proxy_protocol = 3),
        ("http_version: -1 is not a value of this enum", |wire| wire.http_version = -1),
        ("retry_budget.percent: NaN is not a percentage", |wire| {
            wire.retry_budget = Some(proto::RetryBudget { percent: f64::NAN, min_concurrency: 3 });
        }),
    ]);
}

#[test]
fn sec_09_bad_tls_is_rejected_with_field_and_reason() {
    use proto::tls_trust::Trust;
    assert_rejected(vec![
        ("tls.trust: missing", |wire| wire.tls = Some(proto::UpstreamTls::default())),
        ("tls.trust.trust: missing", |wire| wire.tls = tls(None)),
        ("tls.trust.unverified: false has no meaning", |wire| wire.tls = tls(Some(Trust::Unverified(false)))),
        ("tls.trust.file: empty", |wire| wire.tls = tls(Some(Trust::File(String::new())))),
        ("tls.trust.pem: 2000000 bytes, at most 1048576 are taken", |wire| {
            wire.tls = tls(Some(Trust::Pem("a".repeat(2_000_000))));
        }),
        ("tls.client.key_file: empty", |wire| {
            let client = proto::TlsClient { certificate_file: "a".into(), key_file: String::new() };
            wire.tls = tls(Some(Trust::System(true)));
            wire.tls.as_mut().unwrap().client = Some(client);
        }),
    ]);
}

#[test]
fn sec_09_doubled_and_empty_ports_are_rejected() {
    let entry = |policy| proto::PortTraffic { port: 80, policy };
    let whole = || entry(Some(proto::TrafficPolicy::default()));
    let reason = |wire| decode("traffic", wire).unwrap_err().to_string();
    assert_eq!(reason(vec![whole(), whole()]), "traffic: port 80 is there twice");
    assert_eq!(reason(vec![entry(None)]), "traffic[0].policy: missing");
}
