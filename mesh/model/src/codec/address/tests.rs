//! Defaults and rejects of workloads and services.

use std::net::IpAddr;

use mesh_proto::istio::workload as proto;
use mesh_proto::type_urls::LABELS_EXTENSION;
use proto::address::Type;
use proto::gateway_address::Destination;

use super::{AddressResource, decode};
use crate::{
    HealthPolicy, LoadBalancing, LoadBalancingMode, NetworkMode, Service, TunnelProtocol, Visibility,
    Workload, WorkloadKind,
};

fn workload(change: impl FnOnce(&mut proto::Workload)) -> Result<Workload, String> {
    let mut wire = proto::Workload { uid: "Kubernetes//Pod/prod/web-1".into(), ..Default::default() };
    change(&mut wire);
    match decode(proto::Address { r#type: Some(Type::Workload(wire)) }) {
        Ok(AddressResource::Workload(workload)) => Ok(workload),
        Ok(AddressResource::Service(_)) => panic!("a workload became a service"),
        Err(error) => Err(error.to_string()),
    }
}

fn service(change: impl FnOnce(&mut proto::Service)) -> Result<Service, String> {
    let mut wire = proto::Service { hostname: "web.prod".into(), ..Default::default() };
    change(&mut wire);
    match decode(proto::Address { r#type: Some(Type::Service(wire)) }) {
        Ok(AddressResource::Service(service)) => Ok(service),
        Ok(AddressResource::Workload(_)) => panic!("a service became a workload"),
        Err(error) => Err(error.to_string()),
    }
}

fn gateway(address: &[u8], port: u32) -> proto::GatewayAddress {
    proto::GatewayAddress {
        destination: Some(Destination::Address(network_address(address, None))),
        hbone_mtls_port: port,
    }
}

fn network_address(address: &[u8], length: Option<u32>) -> proto::NetworkAddress {
    proto::NetworkAddress { network: "n".into(), address: address.into(), length }
}

#[test]
fn missing_values_become_their_defaults() {
    let bare = workload(|_| {}).unwrap();
    assert_eq!(
        bare.identity().to_string(),
        "spiffe://cluster.local/ns//sa/default",
        "trust domain and service account"
    );
    assert_eq!(&*bare.cluster_id, "Kubernetes");
    assert_eq!(bare.capacity, 1);
    assert_eq!(bare.tunnel, TunnelProtocol::Tcp);
    assert_eq!(bare.network_mode, NetworkMode::Standard);
    assert_eq!(bare.kind, WorkloadKind::Deployment);
    assert!(bare.labels.is_empty());
    assert_eq!(workload(|wire| wire.capacity = Some(0)).unwrap().capacity, 0, "zero is not missing");

    let bare = service(|_| {}).unwrap();
    assert_eq!(bare.load_balancing, LoadBalancing::default());
    assert_eq!(bare.load_balancing.mode, LoadBalancingMode::Standard);
    assert_eq!(bare.load_balancing.health_policy, HealthPolicy::OnlyHealthy);
    assert_eq!(bare.visibility, Visibility::Public);
}

#[test]
fn unknown_visibility_is_public() {
    assert_eq!(service(|wire| wire.visibility = 77).unwrap().visibility, Visibility::Public);
    assert_eq!(service(|wire| wire.visibility = 1).unwrap().visibility, Visibility::Namespace);
}

#[test]
fn lb_17_addresses_with_a_length_are_blocks() {
    let service = service(|wire| {
        wire.addresses =
            vec![network_address(&[10, 0, 0, 9], None), network_address(&[10, 0, 0, 9], Some(24))];
    })
    .unwrap();
    assert_eq!(service.addresses[0].ip, IpAddr::from([10, 0, 0, 9]));
    assert_eq!(service.cidrs[0].cidr.to_string(), "10.0.0.0/24", "host bits are cleared");
}

#[test]
fn lb_20_only_spiffe_names_are_kept() {
    let names = vec!["spiffe://td/ns/a/sa/b".to_owned(), "example.com".to_owned()];
    let service = service(|wire| wire.subject_alt_names = names).unwrap();
    assert_eq!(service.subject_alt_names, vec!["spiffe://td/ns/a/sa/b".parse().unwrap()]);
}

#[test]
fn sec_09_bad_workloads_are_rejected_with_field_and_reason() {
    type Change = fn(&mut proto::Workload);
    let table: Vec<(&str, Change)> = vec![
        ("workload.uid: empty", |wire| wire.uid.clear()),
        ("workload.addresses[1]: 5 bytes, an IP address has 4 or 16", |wire| {
            wire.addresses = vec![vec![1; 4], vec![1; 5]];
        }),
        ("workload.addresses[0]: 0 bytes, an IP address has 4 or 16", |wire| wire.addresses = vec![vec![]]),
        ("workload.addresses: 20000 items, at most 16384 are taken", |wire| {
            wire.addresses = vec![vec![1; 4]; 20_000];
        }),
        ("workload.tunnel_protocol: 3 is not a value of this enum", |wire| wire.tunnel_protocol = 3),
        ("workload.tunnel_protocol: LEGACY_ISTIO_MTLS is not spoken here", |wire| wire.tunnel_protocol = 2),
        ("workload.workload_type: 4 is not a value of this enum", |wire| wire.workload_type = 4),
        ("workload.status: -1 is not a value of this enum", |wire| wire.status = -1),
        ("workload.network_mode: 2 is not a value of this enum", |wire| wire.network_mode = 2),
        ("workload.waypoint.hbone_mtls_port: 65536 is not a port", |wire| {
            wire.waypoint = Some(gateway(&[1; 4], 65_536));
        }),
        ("workload.waypoint.address: 3 bytes, an IP address has 4 or 16", |wire| {
            wire.waypoint = Some(gateway(&[1; 3], 15_008));
        }),
        ("workload.network_gateway.destination: missing", |wire| {
            wire.network_gateway = Some(proto::GatewayAddress::default());
        }),
        ("workload.waypoint.address: a block of addresses where one address is needed", |wire| {
            let destination = Some(Destination::Address(network_address(&[1; 4], Some(8))));
            wire.waypoint = Some(proto::GatewayAddress { destination, hbone_mtls_port: 15_008 });
        }),
        ("workload.application_tunnel.protocol: 9 is not a value of this enum", |wire| {
            wire.application_tunnel = Some(proto::ApplicationTunnel { protocol: 9, port: 1 });
        }),
        ("workload.services[0].ports[0].target_port: 70000 is not a port", |wire| {
            let port = proto::Port { service_port: 80, target_port: 70_000, app_protocol: 0 };
            wire.services.insert("prod/web".into(), proto::PortList { ports: vec![port] });
        }),
        ("workload.services[0]: \"web\" is not of the form namespace/name", |wire| {
            wire.services.insert("web".into(), proto::PortList::default());
        }),
        ("workload.authorization_policies[0]: \"x\" is not of the form namespace/name", |wire| {
            wire.authorization_policies = vec!["x".into()];
        }),
        ("workload.extensions.config: missing", |wire| {
            wire.extensions = vec![proto::Extension { name: LABELS_EXTENSION.into(), config: None }];
        }),
        ("workload.extensions: adit.io/labels holds a \"x\"", |wire| {
            let config = Some(prost_types::Any { type_url: "x".into(), value: Vec::new() });
            wire.extensions = vec![proto::Extension { name: LABELS_EXTENSION.into(), config }];
        }),
    ];
    for (reason, change) in table {
        assert_eq!(workload(change), Err(reason.to_owned()));
    }
}

#[test]
fn sec_09_bad_services_are_rejected_with_field_and_reason() {
    type Change = fn(&mut proto::Service);
    let table: Vec<(&str, Change)> = vec![
        ("service.hostname: empty", |wire| wire.hostname.clear()),
        ("service.addresses[0]: 33 is no prefix length for 10.0.0.1", |wire| {
            wire.addresses = vec![network_address(&[10, 0, 0, 1], Some(33))];
        }),
        ("service.addresses[0]: 300 is no prefix length for 10.0.0.1", |wire| {
            wire.addresses = vec![network_address(&[10, 0, 0, 1], Some(300))];
        }),
        ("service.ports[0].service_port: 65536 is not a port", |wire| {
            wire.ports = vec![proto::Port { service_port: 65_536, ..Default::default() }];
        }),
        ("service.ports[0].app_protocol: 6 is not a value of this enum", |wire| {
            wire.ports = vec![proto::Port { app_protocol: 6, ..Default::default() }];
        }),
        ("service.ip_families: 4 is not a value of this enum", |wire| wire.ip_families = 4),
        ("service.load_balancing.mode: 4 is not a value of this enum", |wire| {
            wire.load_balancing = Some(proto::LoadBalancing { mode: 4, ..Default::default() });
        }),
        ("service.load_balancing.health_policy: 2 is not a value of this enum", |wire| {
            wire.load_balancing = Some(proto::LoadBalancing { health_policy: 2, ..Default::default() });
        }),
        ("service.load_balancing.routing_preference[1]: no scope given", |wire| {
            let routing_preference = vec![1, 0];
            wire.load_balancing = Some(proto::LoadBalancing { routing_preference, ..Default::default() });
        }),
        ("service.load_balancing.routing_preference[0]: 7 is not a value of this enum", |wire| {
            let routing_preference = vec![7];
            wire.load_balancing = Some(proto::LoadBalancing { routing_preference, ..Default::default() });
        }),
        ("service.weighted_waypoints[0].destination: missing", |wire| {
            wire.weighted_waypoints = vec![proto::WeightedWaypoint::default()];
        }),
    ];
    for (reason, change) in table {
        assert_eq!(service(change), Err(reason.to_owned()));
    }
    let nothing = decode(proto::Address { r#type: None });
    assert_eq!(nothing.unwrap_err().to_string(), "type: missing");
}
