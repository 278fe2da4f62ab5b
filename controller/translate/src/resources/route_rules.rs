//! The rules of the routes attached to a service, put together: for callers of one namespace, or for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::{DirectResponse, Fault, HeaderChange, HttpMatch, HttpRule, Retry, RuleAction};

use super::precedence::{self, Entry};
use super::{http_route, service_config::attached_ports};
use crate::cluster::{Cluster, Name, ServiceObject};
use crate::objects::Kind;

/// A route that is attached to some ports of a service.
pub(super) struct Attached<'a> {
    pub(super) name: &'a Name,
    kind: Kind,
    pub(super) ports: BTreeSet<u16>,
    entries: Vec<Entry>,
}

/// The routes for requests attached to a service, of any namespace.
pub(super) fn attached<'a>(cluster: &'a Cluster, object: ServiceObject<'_>) -> Vec<Attached<'a>> {
    let attach = |(at, route)| {
        let ports = attached_ports(object, at, route);
        (!ports.is_empty()).then(|| Attached {
            name: at,
            kind: route.kind,
            ports,
            entries: http_route::translate(cluster, at, route).entries,
        })
    };
    cluster.routes().filter(|(_, route)| route.is_for_requests()).filter_map(attach).collect()
}

/// The rules of routes for the same callers. Where there are GRPCRoutes, they alone decide (api.md §4.5).
pub(super) fn of_one_audience(routes: &[&Attached<'_>]) -> Vec<HttpRule> {
    let kind = deciding_kind(routes);
    let deciding = routes.iter().filter(|it| it.kind == kind);
    precedence::sort(deciding.flat_map(|it| it.entries.iter().cloned()).collect())
}

fn deciding_kind(routes: &[&Attached<'_>]) -> Kind {
    match routes.iter().any(|it| it.kind == Kind::GrpcRoute) {
        true => Kind::GrpcRoute,
        false => Kind::HttpRoute,
    }
}

/// GW-09: routes of other namespaces, each for the callers of its own. They stand before the others' rules,
/// and what none of them takes gets no further: a route replaces what holds without it.
pub(super) fn for_consumers(routes: &[&Attached<'_>]) -> Vec<HttpRule> {
    let mut by_namespace: BTreeMap<&Arc<str>, Vec<&Attached<'_>>> = BTreeMap::new();
    for route in routes {
        by_namespace.entry(&route.name.namespace).or_default().push(route);
    }
    let mut rules = Vec::new();
    for (namespace, routes) in by_namespace {
        let from_there = |matched| HttpMatch { source_namespace: Some(namespace.clone()), ..matched };
        for mut rule in of_one_audience(&routes) {
            if rule.matches.is_empty() {
                rule.matches.push(HttpMatch::default());
            }
            rule.matches = rule.matches.into_iter().map(from_there).collect();
            rules.push(rule);
        }
        rules.push(HttpRule {
            name: format!("{}/{namespace}/none", deciding_kind(&routes)).into(),
            matches: vec![from_there(HttpMatch::default())],
            request_headers: HeaderChange::default(),
            response_headers: HeaderChange::default(),
            action: RuleAction::DirectResponse(DirectResponse { status: 404, body: Arc::from([]) }),
            rewrite: None,
            request_timeout: None,
            attempt_timeout: None,
            retry: Retry::default(),
            fault: Fault::default(),
            mirrors: Vec::new(),
            cors: None,
            session: None,
        });
    }
    rules
}
