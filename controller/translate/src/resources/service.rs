//! Services of Kubernetes and hosts of ServiceEntries become services of the mesh (api.md §5.2, §5.4).

mod entry;

use std::net::IpAddr;

use mesh_model::{
    HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, NamespacedHostname, NetworkAddress,
    RoutingScope, Service, ServicePort, Visibility, WeightedWaypoint,
};

use super::{app_protocol, load_balancing};
use crate::cluster::{Canary, Cluster, MeshService, Name, ServiceObject};
use crate::{cluster, labels};

/// The service of that key, unless it is only an alias.
pub(super) fn derive(cluster: &Cluster, key: &NamespacedHostname) -> Option<Service> {
    let found = cluster.find_service(key)?;
    match found.object {
        ServiceObject::Service(name, service) => Some(of_kubernetes(cluster, &found, name, service)),
        ServiceObject::Entry(name, entry) => cluster
            .takes_effect(&key.hostname, found.object)
            .then(|| entry::derive(cluster, &found, name, entry)),
    }
}

fn of_kubernetes(
    cluster: &Cluster,
    found: &MeshService<'_>,
    name: &Name,
    service: &cluster::Service,
) -> Service {
    let network = &cluster.settings.network;
    let (preferences, mode) = match service.internal_traffic_local {
        true => (vec![RoutingScope::Node], LoadBalancingMode::Strict),
        false => {
            load_balancing::by_distribution(cluster, found.object, service.traffic_distribution.as_deref())
        }
    };
    let health_policy = match service.publish_not_ready {
        true => HealthPolicy::AllowAll,
        false => HealthPolicy::OnlyHealthy,
    };
    Service {
        name: name.name.clone(),
        key: found.key.clone(),
        addresses: service.addresses.iter().map(|ip| NetworkAddress::new(network.clone(), *ip)).collect(),
        cidrs: Vec::new(),
        ports: service.ports.iter().map(port).collect(),
        subject_alt_names: Vec::new(),
        waypoint: cluster.attachment_of_service(found.object).waypoint().map(|it| it.address),
        weighted_waypoints: weighted_waypoints(cluster, found.object),
        load_balancing: LoadBalancing { preferences, mode, health_policy },
        ip_families: ip_families(&service.addresses),
        canonical: true,
        ingress_use_waypoint: ingress_use_waypoint(cluster, found.object),
        visibility: Visibility::Public,
    }
}

fn port(port: &cluster::ServicePort) -> ServicePort {
    ServicePort {
        service_port: port.number,
        // A named port is a matter between the service and each endpoint.
        target_port: port.target.number().unwrap_or(0),
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

/// The shares of a waypoint and of its canary, which serves already while it has none; empty without a canary
/// (WP-19, WP-20).
fn weighted_waypoints(cluster: &Cluster, object: ServiceObject<'_>) -> Vec<WeightedWaypoint> {
    let primary = cluster.attachment_of_service(object).waypoint();
    match (primary, cluster.canary_of_service(object)) {
        (Some(primary), Canary::Bound { waypoint: canary, weight }) => vec![
            WeightedWaypoint { destination: primary.address, weight: 100 - weight },
            WeightedWaypoint { destination: canary.address, weight },
        ],
        _ => Vec::new(),
    }
}

/// Its own label, or else its namespace's.
fn ingress_use_waypoint(cluster: &Cluster, object: ServiceObject<'_>) -> bool {
    let namespace = cluster.namespaces.get(&object.name().namespace);
    let own = object.facts().label(labels::INGRESS_USE_WAYPOINT);
    let text = own.or_else(|| namespace?.facts.label(labels::INGRESS_USE_WAYPOINT));
    text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
