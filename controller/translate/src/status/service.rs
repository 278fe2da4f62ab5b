//! Whether a Service's traffic goes through the waypoint that is asked for (api.md §5.7, ST-02, ST-03).

use super::condition::{Condition, observe};
use crate::cluster::{Attachment, Cluster, Name, Refusal, Service};
use crate::labels;

const BOUND: &str = "istio.io/WaypointBound";

/// Nothing is said about Services for which no waypoint is asked.
pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let service = cluster.services.get(name).filter(|service| !service.external_name)?;
    let condition = match cluster.attachment_of_service(name, service) {
        Attachment::Unasked => return None,
        Attachment::Bound(waypoint) => {
            let message = format!("Successfully attached to waypoint {}", waypoint.gateway);
            Condition::holds(BOUND, "WaypointAccepted", message + ingress(service))
        }
        Attachment::Refused { gateway, refusal } => {
            let (reason, message) = explain(&gateway, refusal);
            Condition::fails(BOUND, reason, message)
        }
    };
    let mut conditions = vec![condition];
    observe(&mut conditions, service.facts.generation);
    Some(conditions)
}

/// ST-04: said only where the Service says something about it.
fn ingress(service: &Service) -> &'static str {
    match service.facts.label(labels::INGRESS_USE_WAYPOINT) {
        None => "",
        Some(text) if text.eq_ignore_ascii_case("true") => ". Ingress traffic will traverse the waypoint",
        Some(_) => ". Ingress traffic will not traverse the waypoint",
    }
}

/// Why a waypoint is not used, in one word and in a sentence.
pub(super) fn explain(gateway: &Name, refusal: Refusal) -> (&'static str, String) {
    match refusal {
        Refusal::Missing => (
            "WaypointIsNotReady",
            format!("There is no waypoint Gateway {gateway}; traffic goes without one"),
        ),
        Refusal::NotReady => {
            ("WaypointIsNotReady", format!("Waypoint {gateway} is not ready; traffic goes without it"))
        }
        Refusal::NamespaceNotAllowed => (
            "AttachmentDenied",
            format!("Waypoint {gateway} does not admit this namespace; see allowedRoutes of its listener"),
        ),
        Refusal::WrongTraffic => (
            "UnsupportedTrafficType",
            format!(
                "Waypoint {gateway} is not for traffic to services; see its label {}",
                labels::WAYPOINT_FOR
            ),
        ),
    }
}
