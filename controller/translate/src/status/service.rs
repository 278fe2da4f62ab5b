//! Whether the traffic of a Service, a ServiceEntry or a WorkloadEntry goes through the waypoint that is asked for
//! (api.md §5.7, ST-02, ST-03, ST-08).

use super::condition::{Condition, observe};
use crate::cluster::{Attachment, Canary, CanaryRefusal, Cluster, Facts, Name, Refusal, ServiceObject};
use crate::labels;
use crate::objects::Kind;

const BOUND: &str = "istio.io/WaypointBound";
/// What becomes of traffic whose waypoint cannot be used (WP-05).
pub(super) const WITHOUT: &str = "; traffic goes without one";

/// Nothing is said about Services for which no waypoint is asked.
pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.find_service_object(&name.key(Kind::Service))?;
    let mut conditions = vec![bound(cluster, object)?];
    observe(&mut conditions, object.facts().generation);
    Some(conditions)
}

/// What is said of the waypoint for traffic to a service, if one is asked for.
pub(super) fn bound(cluster: &Cluster, object: ServiceObject<'_>) -> Option<Condition> {
    let more = format!("{}{}", ingress(object.facts()), canary(cluster.canary_of_service(object)));
    condition(cluster.attachment_of_service(object), "services", &more)
}

/// The same for traffic to a workload.
pub(super) fn workload_bound(cluster: &Cluster, namespace: &str, facts: &Facts) -> Option<Condition> {
    condition(cluster.attachment_of_workload(namespace, facts), "workloads", "")
}

/// `more`: what else is said where the waypoint is used.
fn condition(attachment: Attachment, asking: &str, more: &str) -> Option<Condition> {
    match attachment {
        Attachment::Unasked => None,
        Attachment::Bound(waypoint) => {
            let message = format!("Successfully attached to waypoint {}{more}", waypoint.gateway);
            Some(Condition::holds(BOUND, "WaypointAccepted", message))
        }
        Attachment::Refused { gateway, refusal } => {
            let (reason, message) = explain(&gateway, refusal, asking, WITHOUT);
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

/// ST-08: a canary that cannot be used changes nothing about the waypoint.
fn canary(canary: Canary) -> String {
    let (gateway, refusal) = match canary {
        Canary::Unasked => return String::new(),
        Canary::Bound { waypoint, weight } => {
            return format!(". Canary waypoint {} takes {weight}% of the connections", waypoint.gateway);
        }
        Canary::Refused { gateway, refusal } => (gateway, refusal),
    };
    let (reason, message) = match refusal {
        CanaryRefusal::Waypoint(refusal) => explain(&gateway, refusal, "services", ""),
        CanaryRefusal::Weight(written) => {
            let annotation = labels::CANARY_WEIGHT;
            let message = format!("Annotation {annotation} is {written:?}; use a whole number from 0 to 100");
            ("CanaryInvalidWeight", message)
        }
        CanaryRefusal::SameAsPrimary => {
            let message = format!("Label {} names the waypoint itself; name another", labels::CANARY);
            ("CanarySameAsPrimary", message)
        }
    };
    format!(". Canary waypoint {gateway} is not used ({reason}): {message}")
}

/// Why a waypoint is not used, in one word and in a sentence. `without`: what that means, where nothing can be done
/// but to wait.
pub(super) fn explain(
    gateway: &Name,
    refusal: Refusal,
    asking: &str,
    without: &str,
) -> (&'static str, String) {
    match refusal {
        Refusal::Missing => {
            ("WaypointIsNotReady", format!("There is no waypoint Gateway {gateway}{without}"))
        }
        Refusal::NotReady => ("WaypointIsNotReady", format!("Waypoint {gateway} is not ready{without}")),
        Refusal::NamespaceNotAllowed => (
            "AttachmentDenied",
            format!("Waypoint {gateway} does not admit this namespace; see allowedRoutes of its listener"),
        ),
        Refusal::OutOfSight => (
            "CrossNamespaceWaypointForbidden",
            format!(
                "Waypoint {gateway} is of another namespace, and serviceEntryVisibility keeps the object in its own; use a waypoint beside it"
            ),
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
