//! Workloads, services and rules to be changed where a test needs it.

use std::net::IpAddr;

use mesh_model::{
    AppProtocol, Backend, BackendTarget, Fault, Forward, GatewayAddress, GatewayDestination, HeaderChange,
    Health, HttpMatch, HttpRule, IpFamilies, LoadBalancing, Locality, NamespacedHostname, NetworkAddress,
    NetworkMode, PortConfig, Retry, RuleAction, Service, ServiceConfig, ServicePort, SmallMap,
    TunnelProtocol, Uid, ValueMatch, Visibility, Workload, WorkloadKind,
};

/// A pod of namespace `shop` with a service account of its own, reached as plain TCP.
pub(crate) fn workload(name: &str, ip: IpAddr) -> Workload {
    Workload {
        uid: Uid(format!("Kubernetes//Pod/shop/{name}").into()),
        name: name.into(),
        namespace: "shop".into(),
        addresses: vec![ip],
        network: "".into(),
        tunnel: TunnelProtocol::Tcp,
        native_tunnel: false,
        trust_domain: "cluster.local".into(),
        service_account: name.into(),
        waypoint: None,
        network_gateway: None,
        node: "node1".into(),
        canonical_name: name.into(),
        canonical_revision: "v1".into(),
        kind: WorkloadKind::Pod,
        workload_name: name.into(),
        authorization_policies: Vec::new(),
        health: Health::Healthy,
        cluster_id: "Kubernetes".into(),
        hostname: "".into(),
        services: SmallMap::new(),
        application_tunnel: None,
        locality: Locality::default(),
        network_mode: NetworkMode::Standard,
        capacity: 1,
        labels: SmallMap::new(),
    }
}

pub(crate) fn key(service: &str) -> NamespacedHostname {
    NamespacedHostname::new("shop", format!("{service}.shop.svc.cluster.local"))
}

/// A service behind the waypoint, with a port per protocol; endpoints name the target ports.
pub(crate) fn service(name: &str, vip: IpAddr, waypoint: IpAddr, ports: &[(u16, AppProtocol)]) -> Service {
    let port = |(service_port, app_protocol): &(u16, AppProtocol)| ServicePort {
        service_port: *service_port,
        target_port: 0,
        app_protocol: *app_protocol,
    };
    Service {
        name: name.into(),
        key: key(name),
        addresses: vec![NetworkAddress::new("", vip)],
        cidrs: Vec::new(),
        ports: ports.iter().map(port).collect(),
        subject_alt_names: Vec::new(),
        waypoint: Some(gateway(waypoint)),
        weighted_waypoints: Vec::new(),
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::Automatic,
        canonical: false,
        ingress_use_waypoint: false,
        visibility: Visibility::Public,
    }
}

pub(crate) fn gateway(waypoint: IpAddr) -> GatewayAddress {
    let destination = GatewayDestination::Address(NetworkAddress::new("", waypoint));
    GatewayAddress { destination, hbone_mtls_port: 15008 }
}

/// A rule that takes everything to the backends.
pub(crate) fn rule(name: &str, backends: Vec<Backend>) -> HttpRule {
    HttpRule {
        name: name.into(),
        matches: Vec::new(),
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
        action: RuleAction::Forward(Forward { backends }),
        rewrite: None,
        request_timeout: None,
        attempt_timeout: None,
        retry: Retry::default(),
        fault: Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        session: None,
    }
}

pub(crate) fn backend(service: &str, port: u16) -> Backend {
    Backend {
        target: BackendTarget::Service { service: key(service), port, subset: None },
        weight: 1,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
    }
}

pub(crate) fn prefix(path: &str) -> HttpMatch {
    HttpMatch { path: Some(ValueMatch::PathPrefix(path.into())), ..HttpMatch::default() }
}

/// Rules for every port of a service.
pub(crate) fn config(service: &str, rules: Vec<HttpRule>) -> ServiceConfig {
    let port = PortConfig { http_rules: rules, governed: true, ..PortConfig::default() };
    ServiceConfig {
        key: key(service),
        ports: [(0, port)].into(),
        subsets: Vec::new(),
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    }
}

pub(crate) fn headers(pairs: &[(&str, &str)]) -> Vec<(std::sync::Arc<str>, std::sync::Arc<str>)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}
