//! Whether the traffic of a Service, a ServiceEntry or a WorkloadEntry goes through the waypoint that is asked for
//! (api.md §5.7, ST-02, ST-03).

use super::condition::{Condition, observe};
use crate::cluster::{Attachment, Cluster, Facts, Name, Refusal, ServiceObject};
use crate::labels;
use crate::objects::Kind;

const BOUND: &str = "istio.io/WaypointBound";

/// Nothing is said about Services for which no waypoint is asked.
pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.find_service_object(&name.key(Kind::Service))?;
    let mut conditions = vec![bound(cluster, object)?];
    observe(&mut conditions, object.facts().generation);
    Some(conditions)
}

/// What is said of the waypoint for traffic to a service, if one is asked for.
pub(super) fn bound(cluster: &Cluster, object: ServiceObject<'_>) -> Option<Condition> {
    condition(cluster.attachment_of_service(object), "services", ingress(object.facts()))
}

/// The same for traffic to a workload.
pub(super) fn workload_bound(cluster: &Cluster, namespace: &str, facts: &Facts) -> Option<Condition> {
    condition(cluster.attachment_of_workload(namespace, facts), "workloads", "")
}

fn condition(attachment: Attachment, asking: &str, ingress: &str) -> Option<Condition> {
    match attachment {
        Attachment::Unasked => None,
        Attachment::Bound(waypoint) => {
            let message = format!("Successfully attached to waypoint {}{ingress}", waypoint.gateway);
            Some(Condition::holds(BOUND, "WaypointAccepted", message))
        }
        Attachment::Refused { gateway, refusal } => {
            let (reason, message) = explain(&gateway, refusal, asking);
            Some(Condition::fails(BOUND, reason, message))
        }
    }
}

/// ST-04: said only where the object says something about it.
fn ingress(facts: &Facts) -> &'static str {
    match facts.label(labels::INGRESS_USE_WAYPOINT) {
        None => "",
        Some(text) if text.eq_ignore_ascii_case("true") => ". Ingress traffic will traverse the waypoint",
        Some(_) => ". Ingress traffic will not traverse the waypoint",
    }
}

/// Why a waypoint is not used, in one word and in a sentence.
pub(super) fn explain(gateway: &Name, refusal: Refusal, asking: &str) -> (&'static str, String) {
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
                "Waypoint {gateway} is not for traffic to {asking}; see its label {}",
                labels::WAYPOINT_FOR
            ),
        ),
    }
}
