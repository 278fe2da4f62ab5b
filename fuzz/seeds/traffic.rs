//! What a DestinationRule asks of the traffic to a service, as a controller sends it.

use mesh_proto::adit::waypoint::v1 as routes;
use prost::Message;
use prost_types::Duration;
use routes::consistent_hash::{Algorithm, Key};
use routes::load_balancer::Choice;

use crate::Seed;

pub(crate) fn seeds() -> Vec<Seed> {
    let simple = Choice::Simple(routes::SimpleChoice::RoundRobin.into());
    let whole = routes::TrafficPolicy {
        load_balancer: Some(load_balancer(hash())),
        tcp: Some(tcp()),
        http: Some(http()),
        outlier_detection: Some(outlier_detection()),
        tls: Some(tls()),
        proxy_protocol: routes::ProxyProtocol::V2.into(),
        http_version: routes::UpstreamVersion::OfClient.into(),
        retry_budget: Some(routes::RetryBudget { percent: 20.0, min_concurrency: 3 }),
    };
    let other = routes::TrafficPolicy {
        load_balancer: Some(load_balancer(simple)),
        ..routes::TrafficPolicy::default()
    };
    let subset = routes::Subset {
        name: "v1".to_owned(),
        labels: [("version".to_owned(), "v1".to_owned())].into(),
        traffic: vec![routes::PortTraffic { port: 0, policy: Some(other) }],
    };
    let config = routes::ServiceConfig {
        namespace: "prod".to_owned(),
        hostname: "reviews.prod.svc.cluster.local".to_owned(),
        subsets: vec![subset],
        traffic: vec![routes::PortTraffic { port: 80, policy: Some(whole) }],
        ..routes::ServiceConfig::default()
    };
    vec![("xds_service_config", "traffic", config.encode_to_vec())]
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn hash() -> Choice {
    let attribute = routes::Header { name: "SameSite".to_owned(), value: "Lax".to_owned() };
    let cookie = routes::HashCookie {
        name: "user".to_owned(),
        path: "/".to_owned(),
        ttl: seconds(0),
        attributes: vec![attribute],
    };
    let algorithm = Some(Algorithm::MaglevTableSize(65_537));
    Choice::ConsistentHash(routes::ConsistentHash { key: Some(Key::Cookie(cookie)), algorithm })
}

fn load_balancer(choice: Choice) -> routes::LoadBalancer {
    let to = [("r/z/*".to_owned(), 80), ("r/y/*".to_owned(), 20)].into();
    let locality = routes::LocalityPreference {
        distribute: vec![routes::LocalityShares { from: "r/z/*".to_owned(), to }],
        failover: vec![routes::LocalityFailover { from: "r".to_owned(), to: "s".to_owned() }],
        failover_priority: vec!["topology.kubernetes.io/zone".to_owned()],
    };
    let warmup = routes::Warmup { duration: seconds(60), minimum_percent: 10.0, aggression: 1.0 };
    routes::LoadBalancer { choice: Some(choice), locality: Some(locality), warmup: Some(warmup) }
}

fn tcp() -> routes::TcpLimits {
    routes::TcpLimits {
        max_connections: Some(100),
        connect_timeout: seconds(1),
        keepalive: Some(routes::TcpKeepalive { probes: 3, time: seconds(7200), interval: seconds(75) }),
        max_connection_duration: seconds(600),
        idle_timeout: seconds(3600),
    }
}

fn http() -> routes::HttpLimits {
    routes::HttpLimits {
        max_pending_requests: Some(1),
        max_requests: Some(2),
        max_requests_per_connection: 10,
        max_retries: Some(3),
        idle_timeout: seconds(30),
        max_concurrent_streams: 100,
        http2_keepalive: Some(routes::Http2Keepalive { interval: seconds(30), timeout: seconds(5) }),
    }
}

fn outlier_detection() -> routes::OutlierDetection {
    routes::OutlierDetection {
        interval: seconds(10),
        base_ejection_time: seconds(30),
        max_ejection_percent: 10,
        min_health_percent: 50,
        consecutive_gateway_errors: 3,
        consecutive_errors: 5,
        split_local_origin_errors: true,
        consecutive_local_origin_failures: 5,
        error_codes: vec![429, 503],
    }
}

fn tls() -> routes::UpstreamTls {
    let trust = routes::tls_trust::Trust::File("/etc/ca.pem".to_owned());
    let client = routes::TlsClient {
        certificate_file: "/etc/tls.crt".to_owned(),
        key_file: "/etc/tls.key".to_owned(),
    };
    routes::UpstreamTls {
        sni: "api.example".to_owned(),
        subject_alt_names: vec!["api.example".to_owned()],
        trust: Some(routes::TlsTrust { trust: Some(trust) }),
        client: Some(client),
    }
}
