//! Which endpoints of a service are preferred (api.md §2 and §5.2).

use mesh_model::{LoadBalancingMode, RoutingScope};

use crate::cluster::{Cluster, ServiceObject};
use crate::labels;

/// Scopes, most significant first, and how strictly they apply: by the spec, an annotation of the object or of
/// its namespace.
pub(super) fn by_distribution(
    cluster: &Cluster,
    object: ServiceObject<'_>,
    in_spec: Option<&str>,
) -> (Vec<RoutingScope>, LoadBalancingMode) {
    let namespace = cluster.namespaces.get(&object.name().namespace);
    let annotation = object.facts().annotation(labels::TRAFFIC_DISTRIBUTION);
    let inherited = namespace.and_then(|it| it.facts.annotation(labels::TRAFFIC_DISTRIBUTION));
    let text = in_spec.or(annotation).or(inherited);
    let mut scopes = vec![RoutingScope::Network, RoutingScope::Region, RoutingScope::Zone];
    match text.unwrap_or_default().to_ascii_lowercase().as_str() {
        "preferclose" | "prefersamezone" => {}
        "prefersamenode" => scopes.extend([RoutingScope::Subzone, RoutingScope::Node]),
        _ => return (Vec::new(), LoadBalancingMode::Standard),
    }
    (scopes, LoadBalancingMode::Failover)
}
