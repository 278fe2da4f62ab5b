//! Small meshes for the tests of this crate.

use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::{
    Action, AppProtocol, GatewayAddress, GatewayDestination, Health, IpFamilies, LoadBalancing, Locality,
    NamespacedHostname, NetworkAddress, NetworkMode, Policy, PolicyKey, Rule, Scope, Service, ServicePort,
    SmallMap, TunnelProtocol, Uid, Visibility, Workload, WorkloadKind,
};

use crate::balance::{pick, ranked};
use crate::{Edit, Endpoint, Snapshot};

/// What is known after these changes.
pub(crate) fn snapshot(change: impl FnOnce(&mut Edit<'_>)) -> Arc<Snapshot> {
    let (writer, reader) = crate::new();
    writer.change(change);
    reader.snapshot()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An address on the only network.
pub(crate) fn address(text: &str) -> NetworkAddress {
    NetworkAddress::new("", ip(text))
}

/// The service `name` of the namespace `prod`.
pub(crate) fn key(name: &str) -> NamespacedHostname {
    NamespacedHostname::new("prod", format!("{name}.prod"))
}

/// A pod of the namespace `prod` that speaks HBONE and has no address.
pub(crate) fn workload(name: &str) -> Workload {
    Workload {
        uid: Uid::from(format!("Kubernetes//Pod/prod/{name}").as_str()),
        name: name.into(),
        namespace: "prod".into(),
        addresses: Vec::new(),
        network: "".into(),
        tunnel: TunnelProtocol::Hbone,
        native_tunnel: false,
        trust_domain: "td".into(),
        service_account: name.into(),
        waypoint: None,
        network_gateway: None,
        node: "".into(),
        canonical_name: name.into(),
        canonical_revision: "".into(),
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

/// One of the endpoints of a service's port 80 that a filter takes, as resolution would pick it.
pub(crate) fn choose(
    snapshot: &Snapshot,
    source: &Workload,
    service: &Arc<Service>,
    filter: impl Fn(&Workload) -> bool,
) -> Option<Endpoint> {
    let endpoints = ranked(snapshot, source, service, 80, ip("10.96.0.1"));
    let wanted = endpoints.map(|(endpoint, _)| endpoint).filter(|endpoint| filter(&endpoint.workload));
    pick(&service.load_balancing, source, wanted, |endpoint| &endpoint.workload)
}

/// A pod with an address.
pub(crate) fn pod(name: &str, address: &str) -> Workload {
    Workload { addresses: vec![ip(address)], ..workload(name) }
}

/// A pod with an address that backs a service of `prod`, by the service's own target ports.
pub(crate) fn endpoint(name: &str, address: &str, service: &str) -> Workload {
    Workload { services: SmallMap::from([(key(service), SmallMap::new())]), ..pod(name, address) }
}

/// A service of `prod` with one port, 80 to 8080.
pub(crate) fn service(name: &str, vips: &[&str]) -> Service {
    Service {
        name: name.into(),
        key: key(name),
        addresses: vips.iter().map(|vip| address(vip)).collect(),
        cidrs: Vec::new(),
        ports: vec![port(80, 8080)],
        subject_alt_names: Vec::new(),
        waypoint: None,
        weighted_waypoints: Vec::new(),
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::Automatic,
        canonical: false,
        ingress_use_waypoint: false,
        visibility: Visibility::Public,
    }
}

pub(crate) fn port(service_port: u16, target_port: u16) -> ServicePort {
    ServicePort { service_port, target_port, app_protocol: AppProtocol::Unknown }
}

/// The same service in another namespace.
pub(crate) fn in_namespace(namespace: &str, service: Service) -> Service {
    let key = NamespacedHostname::new(namespace, service.key.hostname.clone());
    Service { key, ..service }
}

/// A waypoint by the host name of its service in `prod`.
pub(crate) fn gateway(service: &str) -> GatewayAddress {
    GatewayAddress { destination: GatewayDestination::Hostname(key(service)), hbone_mtls_port: 15008 }
}

/// A waypoint or network gateway by address.
pub(crate) fn gateway_at(network: &str, address: &str) -> GatewayAddress {
    let address = NetworkAddress::new(network, ip(address));
    GatewayAddress { destination: GatewayDestination::Address(address), hbone_mtls_port: 15008 }
}

/// A policy that allows everything.
pub(crate) fn policy(namespace: &str, name: &str, scope: Scope) -> Policy {
    Policy {
        key: PolicyKey::new(namespace, name),
        scope,
        action: Action::Allow,
        rules: vec![Rule::default()],
        dry_run: false,
    }
}
