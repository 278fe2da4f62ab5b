//! TCPRoutes and TLSRoutes whose parent is a Service or a ServiceEntry (api.md §4.5). They say nothing about a
//! connection but the name it may ask for, so all rules of one match the same, and its first rule decides.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use gateway_api::experimental::httproutes::{HttpRouteRules, HttpRouteRulesBackendRefs};
use mesh_model::{
    Backend, BackendTarget, Forward, HeaderChange, InvalidSniHost, SniHost, StreamMatch, StreamRule,
};

use super::http_route::Reference;
use super::problem::Problem;
use crate::cluster::{Cluster, Name, Route};

/// Of backends that lead nowhere; a connection has no status, so nobody sees it.
const UNAVAILABLE: u16 = 503;

/// What becomes of a route: a rule for each of the names it asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Translation {
    pub(super) entries: Vec<Entry>,
    pub(crate) problems: Vec<Problem>,
}

/// A rule with at most one name, and its place among others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) host: Option<SniHost>,
    pub(super) rule: StreamRule,
}

/// Smaller wins: a name before a wildcard, the longer wildcard before the shorter, then the older route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    host: HostRank,
    created: Option<i64>,
    route: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Under(Reverse<usize>),
    Anything,
}

/// Translates a route; what its rules after the first have to do is nothing, which the problems say.
pub(crate) fn translate(cluster: &Cluster, at: &Name, route: &Route) -> Translation {
    let mut problems = Vec::new();
    let rules = route.spec.rules.as_deref().unwrap_or_default();
    for index in 1..rules.len() {
        let message = format!(
            "no connection is left for it: all rules of a {} match the same, and the first one takes all; \
             make a route of its own of it",
            route.kind
        );
        problems.push(Problem::unsupported(format!("spec.rules[{index}]"), message));
    }
    let backends: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| backends(cluster, at, rule, index, &mut problems))
        .collect();
    let (Some(first), Some(backends)) = (rules.first(), backends.into_iter().next()) else {
        return Translation { entries: Vec::new(), problems };
    };
    let name = match &first.name {
        Some(rule) => format!("{}/{at}/{rule}", route.kind),
        None => format!("{}/{at}/0", route.kind),
    };
    let forward = Forward { backends };
    let (hosts, unusable) = hosts_of(route);
    for (index, error) in unusable {
        let message = format!("{error}; connections for it are not taken");
        problems.push(Problem::unsupported(format!("spec.hostnames[{index}]"), message));
    }
    let entries = hosts.into_iter().map(|host| {
        let sni_hosts: Vec<_> = host.iter().cloned().collect();
        let matches = match sni_hosts.is_empty() {
            true => Vec::new(),
            false => vec![StreamMatch { sni_hosts, ..StreamMatch::default() }],
        };
        Entry {
            rank: Rank::new(host.as_ref(), at, route),
            host,
            rule: StreamRule { name: name.as_str().into(), matches, forward: forward.clone() },
        }
    });
    Translation { entries: entries.collect(), problems }
}

impl Rank {
    fn new(host: Option<&SniHost>, at: &Name, route: &Route) -> Rank {
        let host = match host {
            Some(SniHost::Exact(_)) => HostRank::Exact,
            Some(SniHost::Under(suffix)) => HostRank::Under(Reverse(suffix.len())),
            None => HostRank::Anything,
        };
        Rank { host, created: route.facts.created, route: at.clone() }
    }
}

/// The names a route asks for, and what is none; one `None` where it takes connections whatever they ask for.
pub(super) fn hosts_of(route: &Route) -> (BTreeSet<Option<SniHost>>, Vec<(usize, InvalidSniHost)>) {
    let written = route.spec.hostnames.as_deref().unwrap_or_default();
    if written.is_empty() {
        return (BTreeSet::from([None]), Vec::new());
    }
    let (mut hosts, mut unusable) = (BTreeSet::new(), Vec::new());
    for (index, text) in written.iter().enumerate() {
        match text.parse() {
            Ok(host) => drop(hosts.insert(Some(host))),
            Err(error) => unusable.push((index, error)),
        }
    }
    (hosts, unusable)
}

fn backends(
    cluster: &Cluster,
    at: &Name,
    rule: &HttpRouteRules,
    index: usize,
    problems: &mut Vec<Problem>,
) -> Vec<Backend> {
    let written = rule.backend_refs.iter().flatten().enumerate();
    let backends = written.map(|(backend, reference)| {
        let target = target(cluster, at, reference).unwrap_or_else(|(reason, message)| {
            let field = format!("spec.rules[{index}].backendRefs[{backend}]");
            problems.push(Problem::new(field, reason, message));
            nowhere()
        });
        let weight = reference.weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0));
        plain(target, weight)
    });
    backends.collect()
}

fn target(
    cluster: &Cluster,
    at: &Name,
    reference: &HttpRouteRulesBackendRefs,
) -> Result<BackendTarget, (super::Reason, String)> {
    let resolved = Reference::from(reference).resolve(cluster, &at.namespace);
    resolved.map_err(|(reason, message)| (reason, format!("{message}; its share of connections is closed")))
}

/// A backend for connections.
pub(super) fn plain(target: BackendTarget, weight: u32) -> Backend {
    Backend {
        target,
        weight,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
    }
}

/// Where a destination leads that leads nowhere.
pub(super) fn nowhere() -> BackendTarget {
    BackendTarget::Invalid { status: UNAVAILABLE }
}
