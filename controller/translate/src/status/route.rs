//! Routes of the Gateway API, once per parent (api.md §4.6).

use std::collections::BTreeSet;

use gateway_api::experimental::httproutes::HttpRouteParentRefs;
use serde::Serialize;

use super::condition::{Condition, observe, of_problems};
use super::service::{WITHOUT, explain};
use super::stream_route;
use crate::cluster::{Attachment, Cluster, Name, Route, ServiceObject};
use crate::objects::Kind;
use crate::resources::{
    attached_ports, outranking, parent_service, translate_http_route, translate_stream_route,
};

/// Routes are this controller's, whoever runs their waypoint.
const CONTROLLER: &str = "istio.io/gateway-controller";
/// Another kind of route decides (GEP-1426).
pub(super) const CONFLICTED: &str = "RouteReasonConflicted";

/// The status of a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteStatus {
    /// One entry for each parent that is our business.
    pub parents: Vec<ParentStatus>,
}

/// What holds of a route at one of its parents.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// As the route has it.
    pub parent_ref: ParentRef,
    /// Who says so.
    pub controller_name: &'static str,
    /// What holds.
    pub conditions: Vec<Condition>,
}

/// A parent, as the route names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the API's reference documents the fields
pub struct ParentRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

impl ParentRef {
    /// What a policy in its own namespace is for: group, kind and name, and a section of that.
    pub(crate) fn of_target(
        policy: &Name,
        (group, kind, name): (&str, &str, &str),
        section: Option<&str>,
    ) -> ParentRef {
        ParentRef {
            group: Some(group.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(policy.namespace.to_string()),
            name: name.to_owned(),
            section_name: section.map(str::to_owned),
            port: None,
        }
    }
}

impl From<&HttpRouteParentRefs> for ParentRef {
    fn from(it: &HttpRouteParentRefs) -> Self {
        ParentRef {
            group: it.group.clone(),
            kind: it.kind.clone(),
            namespace: it.namespace.clone(),
            name: it.name.clone(),
            section_name: it.section_name.clone(),
            port: it.port,
        }
    }
}

/// Nothing is said about routes of which no parent is our business.
pub(super) fn derive(cluster: &Cluster, kind: Kind, name: &Name) -> Option<RouteStatus> {
    let route = cluster.find_route(kind, name)?;
    let problems = match route.is_for_requests() {
        true => translate_http_route(cluster, name, route).problems,
        false => translate_stream_route(cluster, name, route).problems,
    };
    let of_rules = of_problems(&problems);
    let parents = route.spec.parent_refs.iter().flatten().filter_map(|parent| {
        let mut conditions = of_parent(cluster, name, route, parent)?;
        conditions.extend(of_rules.iter().cloned());
        observe(&mut conditions, route.facts.generation);
        Some(ParentStatus { parent_ref: parent.into(), controller_name: CONTROLLER, conditions })
    });
    let parents: Vec<_> = parents.collect();
    (!parents.is_empty()).then_some(RouteStatus { parents })
}

fn of_parent(
    cluster: &Cluster,
    name: &Name,
    route: &Route,
    parent: &HttpRouteParentRefs,
) -> Option<Vec<Condition>> {
    let Some(key) = parent_service(name, parent) else {
        return of_other_parent(cluster, name, parent).map(|condition| vec![condition]);
    };
    let Some(object) = cluster.find_service_object(&key) else {
        let message = format!("There is no {key}");
        return Some(vec![Condition::fails("Accepted", "NoMatchingParent", message)]);
    };
    let waypoint = resolved_waypoint(cluster, object);
    let mut ports = attached_ports(object, name, route);
    ports.retain(|port| parent.port.is_none_or(|wanted| wanted == i32::from(*port)));
    let accepted = if ports.is_empty() {
        let port = parent.port.map_or_else(String::new, |port| format!(" {port}"));
        let message = format!("{key} has no TCP port{port}");
        Condition::fails("Accepted", "NoMatchingParent", message)
    } else if route.is_for_requests() {
        accepted(cluster, object, (name, route), &ports)
    } else {
        stream_route::accepted(cluster, object, (name, route), &ports)
    };
    Some(vec![accepted, waypoint])
}

/// A route for requests has effect where no route of a kind that goes first is attached (GW-33).
fn accepted(
    cluster: &Cluster,
    object: ServiceObject<'_>,
    route: (&Name, &Route),
    ports: &BTreeSet<u16>,
) -> Condition {
    let outranked = ports.iter().filter_map(|port| {
        let winner = outranking(cluster, object, route, *port)?;
        Some((port.to_string(), winner))
    });
    let (numbers, winners): (Vec<_>, Vec<_>) = outranked.unzip();
    let (key, numbers) = (object.key(), numbers.join(", "));
    match winners.first() {
        Some((kind, winner)) if winners.len() == ports.len() => {
            let message = format!(
                "{kind} {winner} decides on port {numbers} of {key}, so this route has no effect; \
                 attach one of them elsewhere"
            );
            Condition::fails("Accepted", CONFLICTED, message)
        }
        Some((kind, winner)) => {
            let message = format!("Route was valid; on port {numbers} {kind} {winner} decides instead");
            Condition::holds("Accepted", "Accepted", message)
        }
        None => Condition::holds("Accepted", "Accepted", "Route was valid"),
    }
}

fn resolved_waypoint(cluster: &Cluster, object: ServiceObject<'_>) -> Condition {
    let key = object.key();
    let (holds, message) = match cluster.attachment_of_service(object) {
        Attachment::Bound(waypoint) => (true, format!("{key} uses waypoint {}", waypoint.gateway)),
        Attachment::Unasked => {
            let message = format!(
                "{key} uses no waypoint, so the route has no effect; set label {}",
                crate::labels::USE_WAYPOINT
            );
            (false, message)
        }
        Attachment::Refused { gateway, refusal } => {
            (false, explain(&gateway, refusal, "services", WITHOUT).1)
        }
    };
    Condition::new("ResolvedWaypoints", holds, "ResolvedWaypoints", message)
}

/// Parents that stand for no services: some are ours to refuse, most are somebody else's.
fn of_other_parent(cluster: &Cluster, route: &Name, parent: &HttpRouteParentRefs) -> Option<Condition> {
    let group = parent.group.as_deref().unwrap_or("gateway.networking.k8s.io");
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    let name = Name::new(parent.namespace.as_deref().unwrap_or(&route.namespace), parent.name.as_str());
    if (group, kind) != ("gateway.networking.k8s.io", "Gateway") {
        return None;
    }
    cluster.gateways.get(&name).filter(|gateway| cluster.is_waypoint(gateway))?;
    let message =
        format!("Gateway {name} is a waypoint, which takes no routes; attach the route to Services");
    Some(Condition::fails("Accepted", "NotAllowedByListeners", message))
}
