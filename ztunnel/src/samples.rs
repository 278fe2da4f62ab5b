//! A small mesh for tests: workloads and services to be changed where a test needs it.

use std::sync::Arc;

use mesh_model::{
    AppProtocol, GatewayAddress, GatewayDestination, Health, HealthPolicy, IpFamilies, LoadBalancing,
    LoadBalancingMode, Locality, NamespacedHostname, NetworkAddress, NetworkMode, Policy, Service,
    ServicePort, SmallMap, TunnelProtocol, Uid, Visibility, Workload, WorkloadKind,
};
use mesh_state::Snapshot;

/// A pod of namespace `default` with a service account of its own, reached by HBONE.
pub(crate) fn workload(name: &str, ip: &str) -> Workload {
    Workload {
        uid: Uid(format!("Kubernetes//Pod/default/{name}").into()),
        name: name.into(),
        namespace: "default".into(),
        addresses: vec![ip.parse().unwrap()],
        network: "".into(),
        tunnel: TunnelProtocol::Hbone,
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

/// A service of namespace `default` with one port.
pub(crate) fn service(name: &str, vip: &str, port: u16, target_port: u16) -> Service {
    Service {
        name: name.into(),
        key: key(name),
        addresses: vec![NetworkAddress::new("", vip.parse().unwrap())],
        cidrs: Vec::new(),
        ports: vec![ServicePort { service_port: port, target_port, app_protocol: AppProtocol::Unknown }],
        subject_alt_names: Vec::new(),
        waypoint: None,
        weighted_waypoints: Vec::new(),
        load_balancing: LoadBalancing {
            preferences: Vec::new(),
            mode: LoadBalancingMode::Standard,
            health_policy: HealthPolicy::OnlyHealthy,
        },
        ip_families: IpFamilies::Automatic,
        canonical: false,
        ingress_use_waypoint: false,
        visibility: Visibility::Public,
    }
}

pub(crate) fn key(service: &str) -> NamespacedHostname {
    NamespacedHostname::new("default", format!("{service}.default.svc.cluster.local"))
}

/// The workload as an endpoint of a service, with the service's target ports.
pub(crate) fn behind(mut workload: Workload, service: &str) -> Workload {
    workload.services.insert(key(service), SmallMap::new());
    workload
}

/// A waypoint's address in the form resources name it.
pub(crate) fn gateway(ip: &str, port: u16) -> GatewayAddress {
    GatewayAddress {
        destination: GatewayDestination::Address(NetworkAddress::new("", ip.parse().unwrap())),
        hbone_mtls_port: port,
    }
}

pub(crate) fn snapshot(workloads: &[Workload], services: &[Service], policies: &[Policy]) -> Arc<Snapshot> {
    let (writer, reader) = mesh_state::new();
    writer.change(|edit| {
        workloads.iter().for_each(|workload| edit.insert_workload(workload.clone()));
        services.iter().for_each(|service| edit.insert_service(service.clone()));
        policies.iter().for_each(|policy| edit.insert_policy(policy.clone()));
    });
    reader.snapshot()
}
