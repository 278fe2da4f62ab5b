//! What a waypoint needs of a service: the rules that hold on its ports, its subsets, and how its endpoints are chosen
//! and spoken to (`traffic.rs`).
//!
//! Rules come from the namespaces of the service and of its waypoint. Where an HTTPRoute is attached to
//! a port, HTTPRoutes alone decide there: their most-specific-first order and a VirtualService's
//! first-in-the-list order cannot be merged. Of several VirtualServices for a host, one decides. A GRPCRoute
//! decides before HTTPRoutes. Routes of other namespaces are for the callers there alone, and come first.
//! Connections that carry no HTTP have rules of their own (`stream_rules.rs`), and who may ask what is in
//! `security.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::{NamespacedHostname, PortConfig, ServiceConfig, SmallMap, Subset};

use super::layer::{Layer, is_grpc_web};
use super::resilience::{self, Resilience};
use super::traffic::Traffic;
use super::{backend_tls, rate_limit, route_rules, security, stream_rules, telemetry, virtual_service};
use crate::cluster::{
    Cluster, DestinationRule, MeshService, Name, Route, ServiceObject, ServicePort, VirtualService,
};
use crate::objects::{Kind, ObjectKey};

/// The config of that service, if there is anything to say.
pub(super) fn derive(cluster: &Cluster, key: &NamespacedHostname) -> Option<ServiceConfig> {
    let service = cluster.find_service(key)?;
    let rules = cluster.destination_rules_of(&service);
    let asked = Traffic::new(service.object.ports(), &rules, backend_tls::by_port(cluster, service.object));
    let (ports, traffic) = (ports(cluster, &service), asked.of_service());
    let subsets = subsets(&rules, &asked);
    let security = security::of_object(cluster, service.object);
    let telemetry = telemetry::of_service(cluster, &service);
    let rate_limits = rate_limit::of_object(cluster, service.object, &ports);
    let Resilience { health_check, hedging } =
        resilience::of_object(cluster, service.object, &key.hostname, &ports);
    let race_connections = match service.object {
        ServiceObject::Entry(_, entry) => entry.races(),
        ServiceObject::Service(..) => false,
    };
    let for_pages = service.object.ports().iter().filter(|port| is_grpc_web(port));
    let grpc_web_ports: BTreeSet<u16> = for_pages.map(|port| port.number).collect();
    let is_silent = ports.is_empty() && subsets.is_empty() && security.is_empty() && traffic.is_empty();
    let is_unlimited = rate_limits.is_empty() && health_check.is_none() && hedging.is_empty();
    let is_plain = !race_connections && is_unlimited && grpc_web_ports.is_empty();
    let says_anything = !is_silent || telemetry.is_some() || !is_plain;
    says_anything.then(|| ServiceConfig {
        key: key.clone(),
        ports,
        subsets,
        security,
        traffic,
        telemetry,
        rate_limits,
        race_connections,
        grpc_web_ports,
        health_check,
        hedging,
    })
}

fn ports(cluster: &Cluster, service: &MeshService<'_>) -> SmallMap<u16, PortConfig> {
    let producing = namespaces_in_force(cluster, service.object);
    let attached = route_rules::attached(cluster, service.object);
    let for_streams = stream_rules::attached(cluster, service.object);
    let fallback = winning_virtual_service(cluster, service, Layer::Requests);
    let mut ports = BTreeMap::new();
    for declared in service.object.ports() {
        let port = declared.number;
        let here = attached.iter().filter(|it| it.ports.contains(&port));
        let (producers, consumers): (Vec<_>, Vec<_>) =
            here.partition(|it| producing.contains(&it.name.namespace));
        let mut http_rules = route_rules::for_consumers(&consumers);
        let governed = if !producers.is_empty() {
            http_rules.extend(route_rules::of_one_audience(&producers));
            true
        } else if let Some((at, it)) = fallback {
            http_rules.extend(virtual_service::translate(cluster, at, it, Some(port)).rules);
            true
        } else {
            false
        };
        let stream_rules = stream_rules::of_port(cluster, service, &producing, &for_streams, declared);
        if governed || !http_rules.is_empty() || !stream_rules.is_empty() {
            ports.insert(port, PortConfig { http_rules, governed, stream_rules });
        }
    }
    same_everywhere(ports, service.object.ports().len())
}

/// One entry for all ports, where they are all alike.
pub(super) fn same_everywhere<T: Clone + PartialEq>(
    ports: BTreeMap<u16, T>,
    count: usize,
) -> SmallMap<u16, T> {
    let mut configs = ports.values();
    match configs.next() {
        Some(first) if ports.len() == count && configs.all(|it| it == first) => {
            SmallMap::from([(0, first.clone())])
        }
        _ => ports.into_iter().collect(),
    }
}

/// The ports of a service on which VirtualServices decide about a layer: those that have it, and to which no route
/// is attached that holds for every caller there.
pub(crate) fn ports_left(cluster: &Cluster, object: ServiceObject<'_>, layer: Layer) -> BTreeSet<u16> {
    let namespaces = namespaces_in_force(cluster, object);
    let routes = cluster.routes().filter(|(at, _)| namespaces.contains(&at.namespace));
    let attached: Vec<_> = routes.map(|(at, it)| (it.kind, attached_ports(object, at, it))).collect();
    let has_route = |port: &ServicePort| {
        attached.iter().any(|(kind, ports)| {
            let counts = match layer {
                Layer::Requests => Layer::of(*kind) == Layer::Requests,
                Layer::Streams => Layer::of(*kind).is_on(port),
            };
            counts && ports.contains(&port.number)
        })
    };
    let ports = object.ports().iter().filter(|port| layer == Layer::Requests || layer.is_on(port));
    ports.filter(|port| !has_route(port)).map(|port| port.number).collect()
}

/// The namespaces whose routes hold for every caller of a service.
pub(crate) fn namespaces_in_force(cluster: &Cluster, object: ServiceObject<'_>) -> BTreeSet<Arc<str>> {
    let waypoint = cluster.attachment_of_service(object).waypoint();
    let waypoint = waypoint.map(|waypoint| waypoint.gateway.namespace);
    waypoint.into_iter().chain([object.name().namespace.clone()]).collect()
}

/// The ports of a service that a route is attached to.
pub(crate) fn attached_ports(object: ServiceObject<'_>, at: &Name, route: &Route) -> BTreeSet<u16> {
    let key = object.key();
    let parents = route.spec.parent_refs.iter().flatten();
    let parents = parents.filter(|parent| parent_service(at, parent).as_ref() == Some(&key));
    let parents: Vec<_> = parents.collect();
    let ports = object.ports().iter().map(|port| port.number);
    ports
        .filter(|port| parents.iter().any(|it| it.port.is_none_or(|wanted| wanted == i32::from(*port))))
        .collect()
}

/// The Service or ServiceEntry a parent reference names, if it names one.
pub(crate) fn parent_service(
    route: &Name,
    parent: &gateway_api::experimental::httproutes::HttpRouteParentRefs,
) -> Option<ObjectKey> {
    let kind = match (parent.group.as_deref()?, parent.kind.as_deref()?) {
        ("" | "core", "Service") => Kind::Service,
        ("networking.istio.io", "ServiceEntry") => Kind::ServiceEntry,
        _ => return None,
    };
    let namespace = parent.namespace.as_deref().unwrap_or(&route.namespace);
    Some(ObjectKey::new(kind, namespace, parent.name.as_str()))
}

/// The VirtualService that decides about a layer of a host: of those that have routes for it the one that names the
/// host most closely, then the oldest.
pub(crate) fn winning_virtual_service<'a>(
    cluster: &'a Cluster,
    service: &MeshService<'_>,
    layer: Layer,
) -> Option<(&'a Name, &'a VirtualService)> {
    let namespaces = namespaces_in_force(cluster, service.object);
    let all = namespaces.into_iter().flat_map(|namespace| cluster.virtual_services.in_namespace(&namespace));
    let candidates = all.filter(|(_, it)| it.is_for_mesh() && it.has_routes_for(layer));
    let ranked = candidates.filter_map(|(at, it)| Some((it.rank(&service.key.hostname)?, at, it)));
    let best = ranked.min_by_key(|(rank, at, it)| (Reverse(*rank), it.facts.created, *at))?;
    Some((best.1, best.2))
}

/// The named parts of a service; of several with one name, the first counts.
fn subsets(rules: &[(&Name, &DestinationRule)], asked: &Traffic<'_>) -> Vec<Subset> {
    let mut subsets: Vec<Subset> = Vec::new();
    for subset in rules.iter().flat_map(|(_, rule)| &rule.spec.subsets) {
        if subsets.iter().any(|it| it.name.as_ref() == subset.name) {
            continue;
        }
        let labels = subset.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        subsets.push(Subset {
            name: subset.name.as_str().into(),
            labels: labels.collect(),
            traffic: asked.of_subset(subset.traffic_policy.as_ref()),
        });
    }
    subsets
}
