//! A host of a ServiceEntry as a service (api.md §5.4).

use ipnet::IpNet;
use mesh_model::{
    HealthPolicy, Identity, IpFamilies, LoadBalancing, LoadBalancingMode, NetworkAddress, NetworkCidr,
    Service, Visibility,
};

use super::{ingress_use_waypoint, port, weighted_waypoints};
use crate::cluster::{Cluster, MeshService, Name, ServiceEntry};
use crate::objects::{EntryVisibility, Resolution};
use crate::resources::load_balancing;

pub(super) fn derive(
    cluster: &Cluster,
    found: &MeshService<'_>,
    name: &Name,
    entry: &ServiceEntry,
) -> Service {
    let network = &cluster.settings.network;
    let hostname = &found.key.hostname;
    let (single, blocks): (Vec<IpNet>, Vec<IpNet>) =
        entry.addresses.iter().partition(|it| it.prefix_len() == it.max_prefix_len());
    let addresses = single.iter().map(IpNet::addr);
    let addresses = addresses.chain(cluster.auto_addresses_in_use(name, entry, hostname));
    let cidrs = blocks.into_iter().map(|block| NetworkCidr { network: network.clone(), cidr: block });
    Service {
        name: name.name.clone(),
        key: found.key.clone(),
        addresses: addresses.map(|ip| NetworkAddress::new(network.clone(), ip)).collect(),
        cidrs: cidrs.collect(),
        ports: entry.ports.iter().map(port).collect(),
        subject_alt_names: identities(entry),
        waypoint: cluster.attachment_of_service(found.object).waypoint().map(|it| it.address),
        weighted_waypoints: weighted_waypoints(cluster, found.object),
        load_balancing: load_balancing_of(cluster, found, entry),
        // Of endpoints that only DNS knows nothing can be said.
        ip_families: IpFamilies::Automatic,
        canonical: cluster.is_canonical(found),
        ingress_use_waypoint: ingress_use_waypoint(cluster, found.object),
        visibility: match cluster.visibility_of(found.object) {
            EntryVisibility::Namespace => Visibility::Namespace,
            // There is no service that nobody can see.
            EntryVisibility::Public | EntryVisibility::None => Visibility::Public,
        },
    }
}

/// The names in `subjectAltNames` that a workload of the mesh can have.
fn identities(entry: &ServiceEntry) -> Vec<Identity> {
    entry.subject_alt_names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn load_balancing_of(cluster: &Cluster, found: &MeshService<'_>, entry: &ServiceEntry) -> LoadBalancing {
    if entry.resolution == Resolution::None {
        return LoadBalancing {
            preferences: Vec::new(),
            mode: LoadBalancingMode::Passthrough,
            health_policy: HealthPolicy::AllowAll,
        };
    }
    let (preferences, mode) = load_balancing::by_distribution(cluster, found.object, None);
    LoadBalancing { preferences, mode, health_policy: HealthPolicy::OnlyHealthy }
}
