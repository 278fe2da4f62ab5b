//! Services of Kubernetes become services of the mesh (api.md §5.2).

use std::net::IpAddr;

use mesh_model::{
    HealthPolicy, IpFamilies, LoadBalancing, NamespacedHostname, NetworkAddress, Service, ServicePort,
    Visibility,
};

use super::{app_protocol, load_balancing};
use crate::cluster::{Cluster, Name, TargetPort};
use crate::{cluster, labels};

/// The service of that key, unless it is only an alias.
pub(super) fn derive(cluster: &Cluster, key: &NamespacedHostname) -> Option<Service> {
    let name = cluster.service_of_host(&key.hostname)?;
    let service = cluster.services.get(&name).filter(|service| !service.external_name)?;
    let network = &cluster.settings.network;
    let (preferences, mode) = load_balancing::derive(cluster, &name, service);
    let health_policy = match service.publish_not_ready {
        true => HealthPolicy::AllowAll,
        false => HealthPolicy::OnlyHealthy,
    };
    Some(Service {
        name: name.name.clone(),
        key: key.clone(),
        addresses: service.addresses.iter().map(|ip| NetworkAddress::new(network.clone(), *ip)).collect(),
        cidrs: Vec::new(),
        ports: service.ports.iter().map(port).collect(),
        subject_alt_names: Vec::new(),
        waypoint: cluster.attachment_of_service(&name, service).waypoint().map(|it| it.address),
        weighted_waypoints: Vec::new(),
        load_balancing: LoadBalancing { preferences, mode, health_policy },
        ip_families: ip_families(&service.addresses),
        canonical: true,
        ingress_use_waypoint: ingress_use_waypoint(cluster, &name, service),
        visibility: Visibility::Public,
    })
}

fn port(port: &cluster::ServicePort) -> ServicePort {
    ServicePort {
        service_port: port.number,
        // A named port is a matter between the service and each endpoint.
        target_port: match port.target {
            TargetPort::Number(number) => number,
            TargetPort::Name(_) => 0,
        },
        app_protocol: app_protocol::declared(port.app_protocol.as_deref(), port.name.as_deref()),
    }
}

fn ip_families(addresses: &[IpAddr]) -> IpFamilies {
    match addresses {
        [] => IpFamilies::Automatic,
        [IpAddr::V4(_)] => IpFamilies::Ipv4,
        [IpAddr::V6(_)] => IpFamilies::Ipv6,
        _ => IpFamilies::Dual,
    }
}

/// Its own label, or else its namespace's.
fn ingress_use_waypoint(cluster: &Cluster, name: &Name, service: &cluster::Service) -> bool {
    let namespace = cluster.namespaces.get(&name.namespace);
    let own = service.facts.label(labels::INGRESS_USE_WAYPOINT);
    let text = own.or_else(|| namespace?.facts.label(labels::INGRESS_USE_WAYPOINT));
    text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
