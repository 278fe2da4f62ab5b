//! Which endpoints of a service are preferred (api.md §2 and §5.2).

use mesh_model::{LoadBalancingMode, RoutingScope};

use crate::cluster::{Cluster, Name, Service};
use crate::labels;

/// Scopes, most significant first, and how strictly they apply.
pub(super) fn derive(
    cluster: &Cluster,
    name: &Name,
    service: &Service,
) -> (Vec<RoutingScope>, LoadBalancingMode) {
    if service.internal_traffic_local {
        return (vec![RoutingScope::Node], LoadBalancingMode::Strict);
    }
    let namespace = cluster.namespaces.get(&name.namespace);
    let annotation = service.facts.annotation(labels::TRAFFIC_DISTRIBUTION);
    let inherited = namespace.and_then(|it| it.facts.annotation(labels::TRAFFIC_DISTRIBUTION));
    let text = service.traffic_distribution.as_deref().or(annotation).or(inherited);
    let mut scopes = vec![RoutingScope::Network, RoutingScope::Region, RoutingScope::Zone];
    match text.unwrap_or_default().to_ascii_lowercase().as_str() {
        "preferclose" | "prefersamezone" => {}
        "prefersamenode" => scopes.extend([RoutingScope::Subzone, RoutingScope::Node]),
        _ => return (Vec::new(), LoadBalancingMode::Standard),
    }
    (scopes, LoadBalancingMode::Failover)
}
