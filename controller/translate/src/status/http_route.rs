//! HTTPRoutes, once per parent (api.md §4.6).

use gateway_api::experimental::httproutes::{HttpRouteParentRefs, HttpRouteSpec};
use serde::Serialize;

use super::condition::{Condition, observe, of_problems};
use super::service::explain;
use crate::cluster::{Attachment, Cluster, Kept, Name, Service};
use crate::resources::{attached_ports, namespaces_in_force, parent_service, translate_http_route};

/// Routes are this controller's, whoever runs their waypoint.
const CONTROLLER: &str = "istio.io/gateway-controller";

/// The status of an HTTPRoute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpRouteStatus {
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
pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<HttpRouteStatus> {
    let route = cluster.http_routes.get(name)?;
    let of_rules = of_problems(&translate_http_route(cluster, name, route).problems);
    let parents = route.spec.parent_refs.iter().flatten().filter_map(|parent| {
        let mut conditions = of_parent(cluster, name, route, parent)?;
        conditions.extend(of_rules.iter().cloned());
        observe(&mut conditions, route.facts.generation);
        Some(ParentStatus { parent_ref: parent.into(), controller_name: CONTROLLER, conditions })
    });
    let parents: Vec<_> = parents.collect();
    (!parents.is_empty()).then_some(HttpRouteStatus { parents })
}

fn of_parent(
    cluster: &Cluster,
    name: &Name,
    route: &Kept<HttpRouteSpec>,
    parent: &HttpRouteParentRefs,
) -> Option<Vec<Condition>> {
    let Some(service_name) = parent_service(name, parent) else {
        return of_other_parent(cluster, name, parent).map(|condition| vec![condition]);
    };
    let Some(service) = cluster.services.get(&service_name).filter(|it| !it.external_name) else {
        let message = format!("There is no Service {service_name}");
        return Some(vec![Condition::fails("Accepted", "NoMatchingParent", message)]);
    };
    let waypoint = resolved_waypoint(cluster, &service_name, service);
    let accepted = if attached_ports(&service_name, service, name, route).is_empty() {
        let port = parent.port.map_or_else(String::new, |port| format!(" {port}"));
        let message = format!("Service {service_name} has no TCP port{port}");
        Condition::fails("Accepted", "NoMatchingParent", message)
    } else if !namespaces_in_force(cluster, &service_name, service).contains(&name.namespace) {
        let message = format!(
            "Routes for the callers of one namespace are not supported; \
             move the route to namespace {} or to that of its waypoint",
            service_name.namespace
        );
        Condition::fails("Accepted", "UnsupportedValue", message)
    } else {
        Condition::holds("Accepted", "Accepted", "Route was valid")
    };
    Some(vec![accepted, waypoint])
}

fn resolved_waypoint(cluster: &Cluster, name: &Name, service: &Service) -> Condition {
    let (holds, message) = match cluster.attachment_of_service(name, service) {
        Attachment::Bound(waypoint) => (true, format!("Service {name} uses waypoint {}", waypoint.gateway)),
        Attachment::Unasked => {
            let message = format!(
                "Service {name} uses no waypoint, so the route has no effect; set label {}",
                crate::labels::USE_WAYPOINT
            );
            (false, message)
        }
        Attachment::Refused { gateway, refusal } => (false, explain(&gateway, refusal).1),
    };
    Condition::new("ResolvedWaypoints", holds, "ResolvedWaypoints", message)
}

/// Parents that are no Services: some are ours to refuse, most are somebody else's.
fn of_other_parent(cluster: &Cluster, route: &Name, parent: &HttpRouteParentRefs) -> Option<Condition> {
    let group = parent.group.as_deref().unwrap_or("gateway.networking.k8s.io");
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    let name = Name::new(parent.namespace.as_deref().unwrap_or(&route.namespace), parent.name.as_str());
    match (group, kind) {
        ("gateway.networking.k8s.io", "Gateway") => {
            cluster.gateways.get(&name).filter(|gateway| cluster.is_waypoint(gateway))?;
            let message =
                format!("Gateway {name} is a waypoint, which takes no routes; attach the route to Services");
            Some(Condition::fails("Accepted", "NotAllowedByListeners", message))
        }
        ("networking.istio.io", "ServiceEntry") => {
            let message = "Routes for a ServiceEntry are not supported by this release";
            Some(Condition::fails("Accepted", "NoMatchingParent", message))
        }
        _ => None,
    }
}
