//! What a waypoint needs of a service: the rules that hold on its ports, and its subsets.
//!
//! Rules come from the namespaces of the service and of its waypoint. Where an HTTPRoute is attached to
//! a port, HTTPRoutes alone decide there: their most-specific-first order and a VirtualService's
//! first-in-the-list order cannot be merged. Of several VirtualServices for a host, one decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api::experimental::httproutes::HttpRouteSpec;
use mesh_model::{NamespacedHostname, PortConfig, ServiceConfig, Subset};

use super::{http_route, precedence, virtual_service};
use crate::cluster::{Cluster, Kept, Name, Service, VirtualService};

/// The config of that service, if there is anything to say.
pub(super) fn derive(cluster: &Cluster, key: &NamespacedHostname) -> Option<ServiceConfig> {
    let name = cluster.service_of_host(&key.hostname)?;
    let service = cluster.services.get(&name).filter(|service| !service.external_name)?;
    let ports = ports(cluster, &name, service);
    let subsets = subsets(cluster, &name);
    let says_anything = !ports.is_empty() || !subsets.is_empty();
    says_anything.then(|| ServiceConfig { key: key.clone(), ports, subsets })
}

fn ports(cluster: &Cluster, name: &Name, service: &Service) -> BTreeMap<u16, PortConfig> {
    let routes = routes_in_force(cluster, name, service);
    let routes: Vec<_> = routes
        .map(|(at, route)| {
            (attached_ports(name, service, at, route), http_route::translate(cluster, at, route))
        })
        .collect();
    let fallback = winning_virtual_service(cluster, name, service);
    let mut ports = BTreeMap::new();
    for port in service.ports.iter().map(|port| port.number) {
        let mut here = routes.iter().filter(|(ports, _)| ports.contains(&port)).peekable();
        let http_rules = if here.peek().is_some() {
            precedence::sort(here.flat_map(|(_, route)| route.entries.iter().cloned()).collect())
        } else if let Some((at, it)) = fallback {
            virtual_service::translate(cluster, at, it, Some(port)).rules
        } else {
            continue;
        };
        ports.insert(port, PortConfig { http_rules, governed: true });
    }
    same_everywhere(ports, service.ports.len())
}

/// One entry for all ports, where they are all alike.
fn same_everywhere(ports: BTreeMap<u16, PortConfig>, count: usize) -> BTreeMap<u16, PortConfig> {
    let mut configs = ports.values();
    match configs.next() {
        Some(first) if ports.len() == count && configs.all(|it| it == first) => {
            BTreeMap::from([(0, first.clone())])
        }
        _ => ports,
    }
}

/// The HTTPRoutes whose rules hold for a service at its waypoint.
pub(crate) fn routes_in_force<'a>(
    cluster: &'a Cluster,
    name: &'a Name,
    service: &'a Service,
) -> impl Iterator<Item = (&'a Name, &'a Kept<HttpRouteSpec>)> {
    let namespaces = namespaces_in_force(cluster, name, service);
    let routes = namespaces.into_iter().flat_map(|namespace| cluster.http_routes.in_namespace(&namespace));
    routes.filter(|(at, route)| !attached_ports(name, service, at, route).is_empty())
}

/// The namespaces whose routes hold for a service.
pub(crate) fn namespaces_in_force(cluster: &Cluster, name: &Name, service: &Service) -> BTreeSet<Arc<str>> {
    let waypoint = cluster.attachment_of_service(name, service).waypoint();
    let waypoint = waypoint.map(|waypoint| waypoint.gateway.namespace);
    waypoint.into_iter().chain([name.namespace.clone()]).collect()
}

/// The ports of a service that an HTTPRoute is attached to.
pub(crate) fn attached_ports(
    name: &Name,
    service: &Service,
    at: &Name,
    route: &Kept<HttpRouteSpec>,
) -> BTreeSet<u16> {
    let parents = route.spec.parent_refs.iter().flatten();
    let parents = parents.filter(|parent| parent_service(at, parent).as_ref() == Some(name));
    let parents: Vec<_> = parents.collect();
    let ports = service.ports.iter().map(|port| port.number);
    ports
        .filter(|port| parents.iter().any(|it| it.port.is_none_or(|wanted| wanted == i32::from(*port))))
        .collect()
}

/// The service a parent reference names, if it names one.
pub(crate) fn parent_service(
    route: &Name,
    parent: &gateway_api::experimental::httproutes::HttpRouteParentRefs,
) -> Option<Name> {
    let group = parent.group.as_deref().unwrap_or("gateway.networking.k8s.io");
    let is_service = matches!(group, "" | "core") && parent.kind.as_deref() == Some("Service");
    let namespace = parent.namespace.as_deref().unwrap_or(&route.namespace);
    is_service.then(|| Name::new(namespace, parent.name.as_str()))
}

/// The VirtualService that decides about a host: the one that names it most closely, then the oldest.
pub(crate) fn winning_virtual_service<'a>(
    cluster: &'a Cluster,
    name: &Name,
    service: &Service,
) -> Option<(&'a Name, &'a VirtualService)> {
    let host = cluster.hostname(name);
    let namespaces = namespaces_in_force(cluster, name, service);
    let all = namespaces.into_iter().flat_map(|namespace| cluster.virtual_services.in_namespace(&namespace));
    let candidates = all.filter(|(_, it)| it.is_for_mesh() && !it.spec.http.is_empty());
    let ranked = candidates.filter_map(|(at, it)| Some((it.rank(&host)?, at, it)));
    let best = ranked.min_by_key(|(rank, at, it)| (Reverse(*rank), it.facts.created, *at))?;
    Some((best.1, best.2))
}

/// The named parts of a service; of several with one name, the first counts.
fn subsets(cluster: &Cluster, name: &Name) -> Vec<Subset> {
    let rules = cluster.destination_rules_of(name);
    let mut subsets: Vec<Subset> = Vec::new();
    for subset in rules.iter().flat_map(|(_, rule)| &rule.spec.subsets) {
        if subsets.iter().any(|it| it.name.as_ref() == subset.name) {
            continue;
        }
        let labels = subset.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        subsets.push(Subset { name: subset.name.as_str().into(), labels: labels.collect() });
    }
    subsets
}
