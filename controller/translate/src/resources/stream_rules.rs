//! The rules for connections on a service port, put together from the routes attached to it and from
//! VirtualServices: for callers of one namespace, or for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::{AppProtocol, BackendTarget, Forward, SniHost, StreamMatch, StreamRule};

use super::layer::{Layer, declared};
use super::outranked::BY_PRECEDENCE;
use super::service_config::{attached_ports, namespaces_in_force, winning_virtual_service};
use super::stream_route::{self, Entry, hosts_of, plain};
use super::virtual_service;
use crate::cluster::{Cluster, MeshService, Name, Route, ServiceObject, ServicePort};
use crate::objects::Kind;

/// A route that is attached to some ports of a service.
pub(super) struct Attached<'a> {
    name: &'a Name,
    route: &'a Route,
    ports: BTreeSet<u16>,
}

/// The routes attached to a service, of any kind and namespace.
pub(super) fn attached<'a>(cluster: &'a Cluster, object: ServiceObject<'_>) -> Vec<Attached<'a>> {
    let routes = cluster.routes().map(|(name, route)| {
        let ports = attached_ports(object, name, route);
        Attached { name, route, ports }
    });
    routes.filter(|it| !it.ports.is_empty()).collect()
}

/// The rules of a port. Where there are any, they say of every connection where it goes, or that it is closed:
/// what only a route by names governs is closed where no name fits. Routes of the `producing` namespaces hold for all.
pub(super) fn of_port(
    cluster: &Cluster,
    service: &MeshService<'_>,
    producing: &BTreeSet<Arc<str>>,
    attached: &[Attached<'_>],
    port: &ServicePort,
) -> Vec<StreamRule> {
    if !Layer::Streams.is_on(port) {
        return Vec::new();
    }
    let here =
        attached.iter().filter(|it| it.ports.contains(&port.number) && Layer::of(it.route.kind).is_on(port));
    let (producers, consumers): (Vec<_>, Vec<_>) =
        here.partition(|it| producing.contains(&it.name.namespace));
    let mut rules = for_consumers(cluster, &consumers);
    let of_all = match producers.is_empty() {
        false => of_one_audience(cluster, &producers),
        true => of_virtual_service(cluster, service, port),
    };
    let is_open = of_all.is_empty();
    rules.extend(of_all);
    if is_open && !rules.is_empty() {
        rules.push(straight(service, port));
    }
    rules
}

/// The rules of routes for the same callers: of several kinds one decides (api.md §4.5).
fn of_one_audience(cluster: &Cluster, routes: &[&Attached<'_>]) -> Vec<StreamRule> {
    let mut kinds = BY_PRECEDENCE.into_iter();
    let Some(kind) = kinds.find(|kind| routes.iter().any(|it| it.route.kind == *kind)) else {
        return Vec::new();
    };
    if Layer::of(kind) != Layer::Streams {
        return Vec::new();
    }
    let deciding = routes.iter().filter(|it| it.route.kind == kind);
    let entries = deciding.flat_map(|it| stream_route::translate(cluster, it.name, it.route).entries);
    in_order(entries.collect())
}

/// The entries in order of precedence, without those whose name another has taken, neighbours of one rule as one.
fn in_order(mut entries: Vec<Entry>) -> Vec<StreamRule> {
    entries.sort_by(|a, b| a.rank.cmp(&b.rank));
    let mut taken: BTreeSet<Option<SniHost>> = BTreeSet::new();
    let mut rules: Vec<StreamRule> = Vec::new();
    for Entry { host, rule, .. } in entries {
        if !taken.insert(host.clone()) {
            continue;
        }
        if let (Some(host), Some(last)) = (host, rules.last_mut())
            && last.name == rule.name
            && let Some(matched) = last.matches.first_mut()
        {
            matched.sni_hosts.push(host);
        } else {
            rules.push(rule);
        }
    }
    rules
}

/// GW-09: routes of other namespaces, each for the callers of its own. They stand before the others' rules,
/// and what none of them takes gets no further: a route replaces what holds without it.
fn for_consumers(cluster: &Cluster, routes: &[&Attached<'_>]) -> Vec<StreamRule> {
    let mut by_namespace: BTreeMap<&Arc<str>, Vec<&Attached<'_>>> = BTreeMap::new();
    for route in routes {
        by_namespace.entry(&route.name.namespace).or_default().push(route);
    }
    let mut all = Vec::new();
    for (namespace, routes) in by_namespace {
        let mut rules = of_one_audience(cluster, &routes);
        if rules.last().is_some_and(|last| !takes_all(last)) {
            let name = format!("{}/{namespace}/none", Kind::TlsRoute).into();
            rules.push(StreamRule { name, matches: Vec::new(), forward: Forward { backends: Vec::new() } });
        }
        for rule in &mut rules {
            if rule.matches.is_empty() {
                rule.matches.push(StreamMatch::default());
            }
            for matched in &mut rule.matches {
                matched.source_namespace = Some(namespace.clone());
            }
        }
        all.extend(rules);
    }
    all
}

/// The rules of the VirtualService that decides. As with the peer, what its routes leave goes to the service
/// itself, but for a port where they ask for names: there a connection for another name is not to slip through.
/// A port that declares plain TCP stays open all the same, for who speaks there may know nothing of names (WP-33).
fn of_virtual_service(cluster: &Cluster, service: &MeshService<'_>, port: &ServicePort) -> Vec<StreamRule> {
    let Some((at, found)) = winning_virtual_service(cluster, service, Layer::Streams) else {
        return Vec::new();
    };
    let mut rules = virtual_service::translate_streams(cluster, at, found, port.number);
    let is_open = rules.last().is_some_and(|last| !takes_all(last));
    if is_open && (declared(port) == AppProtocol::Tcp || !rules.iter().any(asks_for_names)) {
        rules.push(straight(service, port));
    }
    rules
}

fn takes_all(rule: &StreamRule) -> bool {
    rule.matches.is_empty()
}

fn asks_for_names(rule: &StreamRule) -> bool {
    rule.matches.iter().any(|it| !it.sni_hosts.is_empty())
}

/// The rule that says what holds without rules: on to where it was sent.
fn straight(service: &MeshService<'_>, port: &ServicePort) -> StreamRule {
    let target = BackendTarget::Service { service: service.key.clone(), port: port.number, subset: None };
    StreamRule {
        name: "default".into(),
        matches: Vec::new(),
        forward: Forward { backends: vec![plain(target, 1)] },
    }
}

/// What a route asks for in vain.
pub(crate) struct Lost<'a> {
    /// The names; `None` among them stands for connections whatever they ask for.
    pub(crate) names: Vec<Option<SniHost>>,
    /// It asks for nothing else.
    pub(crate) all: bool,
    /// Who takes the first of them.
    pub(crate) taken_by: &'a Name,
}

/// What a route asks for on a port that older routes of its kind have taken, for the same callers.
pub(crate) fn find_lost<'a>(
    cluster: &'a Cluster,
    object: ServiceObject<'_>,
    (at, route): (&Name, &Route),
    port: u16,
) -> Option<Lost<'a>> {
    let producing = namespaces_in_force(cluster, object);
    let callers = |at: &Name| (!producing.contains(&at.namespace)).then(|| at.namespace.clone());
    let concerned = callers(at);
    let older = cluster.routes().filter(|(other, it)| {
        it.kind == route.kind
            && (it.facts.created, *other) < (route.facts.created, at)
            && callers(other) == concerned
            && attached_ports(object, other, it).contains(&port)
    });
    let mut older: Vec<_> = older.collect();
    older.sort_by_key(|(other, it)| (it.facts.created, *other));
    let mut taken = BTreeMap::new();
    for (other, it) in older {
        for host in hosts_of(it).0 {
            taken.entry(host).or_insert(other);
        }
    }
    let asked = hosts_of(route).0;
    let taken_by = *asked.iter().find_map(|host| taken.get(host))?;
    let names: Vec<_> = asked.iter().filter(|host| taken.contains_key(*host)).cloned().collect();
    Some(Lost { all: names.len() == asked.len(), names, taken_by })
}
