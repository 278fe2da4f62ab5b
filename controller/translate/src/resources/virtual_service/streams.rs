//! Routes of a VirtualService for connections: those by the name that TLS asks for come first, then the plain ones,
//! each in the order they are written (api.md §3.3).

use std::collections::{BTreeMap, BTreeSet};

use mesh_model::{Backend, Forward, InvalidSniHost, SniHost, StreamMatch, StreamRule};

use super::{Context, action};
use crate::cluster::{Cluster, Name, VirtualService};
use crate::objects::{
    IpBlock, L4MatchAttributes, L4RouteDestination, Port, TlsMatchAttributes, VirtualServiceSpec,
};
use crate::resources::problem::Problem;
use crate::resources::stream_route::{nowhere, plain};

/// The rules for connections to one port of a bound service.
pub(in crate::resources) fn translate(
    cluster: &Cluster,
    name: &Name,
    virtual_service: &VirtualService,
    port: u16,
) -> Vec<StreamRule> {
    let context = Context { cluster, namespace: &name.namespace, port: Some(port) };
    translate_all(context, name, &virtual_service.spec, &mut Vec::new())
}

/// What is not done as asked, on whatever port.
pub(crate) fn find_problems(
    cluster: &Cluster,
    name: &Name,
    virtual_service: &VirtualService,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let context = Context { cluster, namespace: &name.namespace, port: None };
    translate_all(context, name, &virtual_service.spec, &mut problems);
    problems
}

/// The ports its routes for connections name; `None` if one of them is for all ports.
pub(crate) fn ports_named(virtual_service: &VirtualService) -> Option<BTreeSet<u16>> {
    entries(&virtual_service.spec)
        .flat_map(|entry| match entry.matches.is_empty() {
            true => vec![None],
            false => entry.matches.iter().map(|it| it.port).collect(),
        })
        .map(|port| port.map(|port| port.0))
        .collect()
}

/// An entry of `tls` or `tcp`.
struct Entry<'a> {
    /// For instance `tls[0]`.
    field: String,
    matches: Vec<Written<'a>>,
    route: &'a [L4RouteDestination],
}

/// What both kinds of matches have.
struct Written<'a> {
    sni_hosts: &'a [String],
    destination_subnets: &'a [IpBlock],
    port: Option<Port>,
    source_subnet: Option<IpBlock>,
    source_labels: &'a BTreeMap<String, String>,
    gateways: &'a [String],
    source_namespace: Option<&'a str>,
}

impl<'a> From<&'a TlsMatchAttributes> for Written<'a> {
    fn from(it: &'a TlsMatchAttributes) -> Self {
        Written {
            sni_hosts: &it.sni_hosts,
            destination_subnets: &it.destination_subnets,
            port: it.port,
            source_subnet: None,
            source_labels: &it.source_labels,
            gateways: &it.gateways,
            source_namespace: it.source_namespace.as_deref(),
        }
    }
}

impl<'a> From<&'a L4MatchAttributes> for Written<'a> {
    fn from(it: &'a L4MatchAttributes) -> Self {
        Written {
            sni_hosts: &[],
            destination_subnets: &it.destination_subnets,
            port: it.port,
            source_subnet: it.source_subnet,
            source_labels: &it.source_labels,
            gateways: &it.gateways,
            source_namespace: it.source_namespace.as_deref(),
        }
    }
}

fn entries(spec: &VirtualServiceSpec) -> impl Iterator<Item = Entry<'_>> {
    let tls = spec.tls.iter().enumerate().map(|(at, it)| Entry {
        field: format!("tls[{at}]"),
        matches: it.matches.iter().map(Written::from).collect(),
        route: &it.route,
    });
    let tcp = spec.tcp.iter().enumerate().map(|(at, it)| Entry {
        field: format!("tcp[{at}]"),
        matches: it.matches.iter().map(Written::from).collect(),
        route: &it.route,
    });
    tls.chain(tcp)
}

fn translate_all(
    context: Context<'_>,
    name: &Name,
    spec: &VirtualServiceSpec,
    problems: &mut Vec<Problem>,
) -> Vec<StreamRule> {
    let rules = entries(spec).filter_map(|entry| {
        let path = format!("spec.{}", entry.field);
        let matches = matches(context, &entry, &path, problems);
        // Said even of routes that take nothing on this port.
        let backends = backends(context, entry.route, &path, problems);
        Some(StreamRule {
            name: format!("VirtualService/{name}/{}", entry.field).into(),
            matches: matches?,
            forward: Forward { backends },
        })
    });
    rules.collect()
}

/// The alternatives that can match at a waypoint, for connections to this port; `None` if there are none. What
/// cannot be judged takes its alternative with it: a route must not catch more than it was written for.
fn matches(
    context: Context<'_>,
    entry: &Entry<'_>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<StreamMatch>> {
    if entry.matches.is_empty() {
        return Some(Vec::new());
    }
    let mut matches = Vec::new();
    for (at, written) in entry.matches.iter().enumerate() {
        if !context.concerns(written.gateways, written.port) {
            continue;
        }
        match translate_one(written) {
            Ok(matched) => matches.push(matched),
            Err((field, message)) => {
                let message = format!("{message}; this match is left out");
                problems.push(Problem::unsupported(format!("{path}.match[{at}].{field}"), message));
            }
        }
    }
    if matches.is_empty() {
        return None;
    }
    // One alternative that takes everything is enough.
    let takes_all = matches.contains(&StreamMatch::default());
    Some(if takes_all { Vec::new() } else { matches })
}

fn translate_one(written: &Written<'_>) -> Result<StreamMatch, (&'static str, String)> {
    if !written.source_labels.is_empty() {
        return Err(("sourceLabels", "a waypoint does not know the labels of callers".into()));
    }
    // Any name at all, and none: L7-17.
    let any = written.sni_hosts.iter().any(|host| host == "*");
    let hosts = written.sni_hosts.iter().filter(|_| !any).map(|host| host.parse());
    let hosts: Result<Vec<SniHost>, InvalidSniHost> = hosts.collect();
    Ok(StreamMatch {
        sni_hosts: hosts.map_err(|error| ("sniHosts", error.to_string()))?,
        source_namespace: written.source_namespace.map(Into::into),
        source_subnets: written.source_subnet.iter().map(|it| it.0).collect(),
        destination_subnets: written.destination_subnets.iter().map(|it| it.0).collect(),
    })
}

fn backends(
    context: Context<'_>,
    route: &[L4RouteDestination],
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Backend> {
    let alone = route.len() == 1;
    let backends = route.iter().enumerate().map(|(at, it)| {
        let target = action::resolve(context, &it.destination).unwrap_or_else(|(reason, message)| {
            let message = format!("{message}; its share of connections is closed");
            problems.push(Problem::new(format!("{path}.route[{at}].destination"), reason, message));
            nowhere()
        });
        plain(target, action::share(alone, it.weight))
    });
    backends.collect()
}
