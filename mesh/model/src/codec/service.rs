//! A service, both ways.

use mesh_proto::istio::workload as proto;
use proto::load_balancing as wire_balancing;

use super::DecodeError;
use super::address::{Vip, decode_gateway, decode_vip, encode_block, encode_gateway, encode_network_address};
use super::field::{at, each, known, named, port, required};
use crate::{
    AppProtocol, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, NamespacedHostname,
    RoutingScope, Service, ServicePort, Visibility, WeightedWaypoint,
};

pub(super) fn decode(wire: proto::Service) -> Result<Service, DecodeError> {
    let vips: Vec<Vip> = each("addresses", wire.addresses, |address| decode_vip(&address))?;
    let (mut addresses, mut cidrs) = (Vec::new(), Vec::new());
    for vip in vips {
        match vip {
            Vip::One(address) => addresses.push(address),
            Vip::Block(block) => cidrs.push(block),
        }
    }
    Ok(Service {
        key: NamespacedHostname::new(wire.namespace, named("hostname", &wire.hostname)?),
        name: wire.name.into(),
        addresses,
        cidrs,
        ports: each("ports", wire.ports, decode_port)?,
        // Names that are not SPIFFE identities (ServiceEntries may have DNS names
        // here) cannot be proven over HBONE, so they are left out, as ztunnel does.
        subject_alt_names: wire.subject_alt_names.iter().filter_map(|name| name.parse().ok()).collect(),
        waypoint: at("waypoint", wire.waypoint.map(decode_gateway).transpose())?,
        weighted_waypoints: each("weighted_waypoints", wire.weighted_waypoints, weighted_waypoint)?,
        load_balancing: at(
            "load_balancing",
            wire.load_balancing.map_or_else(|| Ok(LoadBalancing::default()), load_balancing),
        )?,
        ip_families: match known("ip_families", wire.ip_families)? {
            proto::IpFamilies::Automatic => IpFamilies::Automatic,
            proto::IpFamilies::Ipv4Only => IpFamilies::Ipv4,
            proto::IpFamilies::Ipv6Only => IpFamilies::Ipv6,
            proto::IpFamilies::Dual => IpFamilies::Dual,
        },
        canonical: wire.canonical,
        ingress_use_waypoint: wire.ingress_use_waypoint,
        visibility: match proto::Visibility::try_from(wire.visibility) {
            Ok(proto::Visibility::Namespace) => Visibility::Namespace,
            // Unknown values included (wire.md §5.1).
            Ok(proto::Visibility::Public) | Err(_) => Visibility::Public,
        },
    })
}

pub(super) fn encode(service: &Service) -> proto::Service {
    let addresses = service.addresses.iter().map(encode_network_address);
    proto::Service {
        name: service.name.to_string(),
        namespace: service.key.namespace.to_string(),
        hostname: service.key.hostname.to_string(),
        addresses: addresses.chain(service.cidrs.iter().map(encode_block)).collect(),
        ports: service.ports.iter().map(encode_port).collect(),
        subject_alt_names: service.subject_alt_names.iter().map(ToString::to_string).collect(),
        waypoint: service.waypoint.as_ref().map(encode_gateway),
        load_balancing: encode_load_balancing(&service.load_balancing),
        ip_families: match service.ip_families {
            IpFamilies::Automatic => proto::IpFamilies::Automatic,
            IpFamilies::Ipv4 => proto::IpFamilies::Ipv4Only,
            IpFamilies::Ipv6 => proto::IpFamilies::Ipv6Only,
            IpFamilies::Dual => proto::IpFamilies::Dual,
        }
        .into(),
        extensions: Vec::new(),
        canonical: service.canonical,
        ingress_use_waypoint: service.ingress_use_waypoint,
        weighted_waypoints: service.weighted_waypoints.iter().map(encode_weighted_waypoint).collect(),
        visibility: match service.visibility {
            Visibility::Public => proto::Visibility::Public,
            Visibility::Namespace => proto::Visibility::Namespace,
        }
        .into(),
    }
}

fn decode_port(wire: proto::Port) -> Result<ServicePort, DecodeError> {
    Ok(ServicePort {
        service_port: port("service_port", wire.service_port)?,
        target_port: port("target_port", wire.target_port)?,
        app_protocol: match known("app_protocol", wire.app_protocol)? {
            proto::AppProtocol::Unknown => AppProtocol::Unknown,
            proto::AppProtocol::Http11 => AppProtocol::Http11,
            proto::AppProtocol::Http2 => AppProtocol::Http2,
            proto::AppProtocol::Grpc => AppProtocol::Grpc,
            proto::AppProtocol::Tcp => AppProtocol::Tcp,
            proto::AppProtocol::Tls => AppProtocol::Tls,
        },
    })
}

fn encode_port(port: &ServicePort) -> proto::Port {
    proto::Port {
        service_port: port.service_port.into(),
        target_port: port.target_port.into(),
        app_protocol: match port.app_protocol {
            AppProtocol::Unknown => proto::AppProtocol::Unknown,
            AppProtocol::Http11 => proto::AppProtocol::Http11,
            AppProtocol::Http2 => proto::AppProtocol::Http2,
            AppProtocol::Grpc => proto::AppProtocol::Grpc,
            AppProtocol::Tcp => proto::AppProtocol::Tcp,
            AppProtocol::Tls => proto::AppProtocol::Tls,
        }
        .into(),
    }
}

fn weighted_waypoint(wire: proto::WeightedWaypoint) -> Result<WeightedWaypoint, DecodeError> {
    let destination = at("destination", decode_gateway(required("destination", wire.destination)?))?;
    Ok(WeightedWaypoint { destination, weight: wire.weight })
}

fn encode_weighted_waypoint(waypoint: &WeightedWaypoint) -> proto::WeightedWaypoint {
    proto::WeightedWaypoint {
        destination: Some(encode_gateway(&waypoint.destination)),
        weight: waypoint.weight,
    }
}

fn load_balancing(wire: proto::LoadBalancing) -> Result<LoadBalancing, DecodeError> {
    use wire_balancing::{HealthPolicy as Policy, Mode};
    Ok(LoadBalancing {
        preferences: each("routing_preference", wire.routing_preference, scope)?,
        mode: match known("mode", wire.mode)? {
            Mode::UnspecifiedMode => LoadBalancingMode::Standard,
            Mode::Strict => LoadBalancingMode::Strict,
            Mode::Failover => LoadBalancingMode::Failover,
            Mode::Passthrough => LoadBalancingMode::Passthrough,
        },
        health_policy: match known("health_policy", wire.health_policy)? {
            Policy::OnlyHealthy => HealthPolicy::OnlyHealthy,
            Policy::AllowAll => HealthPolicy::AllowAll,
        },
    })
}

fn encode_load_balancing(balancing: &LoadBalancing) -> Option<proto::LoadBalancing> {
    use wire_balancing::{HealthPolicy as Policy, Mode};
    (*balancing != LoadBalancing::default()).then(|| proto::LoadBalancing {
        routing_preference: balancing.preferences.iter().map(|scope| encode_scope(*scope).into()).collect(),
        mode: match balancing.mode {
            LoadBalancingMode::Standard => Mode::UnspecifiedMode,
            LoadBalancingMode::Strict => Mode::Strict,
            LoadBalancingMode::Failover => Mode::Failover,
            LoadBalancingMode::Passthrough => Mode::Passthrough,
        }
        .into(),
        health_policy: match balancing.health_policy {
            HealthPolicy::OnlyHealthy => Policy::OnlyHealthy,
            HealthPolicy::AllowAll => Policy::AllowAll,
        }
        .into(),
    })
}

fn scope(wire: i32) -> Result<RoutingScope, DecodeError> {
    use wire_balancing::Scope;
    match known("", wire)? {
        Scope::UnspecifiedScope => Err(DecodeError::new("no scope given")),
        Scope::Region => Ok(RoutingScope::Region),
        Scope::Zone => Ok(RoutingScope::Zone),
        Scope::Subzone => Ok(RoutingScope::Subzone),
        Scope::Node => Ok(RoutingScope::Node),
        Scope::Cluster => Ok(RoutingScope::Cluster),
        Scope::Network => Ok(RoutingScope::Network),
    }
}

fn encode_scope(scope: RoutingScope) -> wire_balancing::Scope {
    use wire_balancing::Scope;
    match scope {
        RoutingScope::Region => Scope::Region,
        RoutingScope::Zone => Scope::Zone,
        RoutingScope::Subzone => Scope::Subzone,
        RoutingScope::Node => Scope::Node,
        RoutingScope::Cluster => Scope::Cluster,
        RoutingScope::Network => Scope::Network,
    }
}
