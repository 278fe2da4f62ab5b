//! A waypoint has no waypoint itself (WP-32). Labels that ask for one have no effect, and the Gateway says so;
//! what a namespace asks for is meant for everything else in it.

use super::condition::Condition;
use crate::cluster::{Cluster, Gateway, Name, asked_by};
use crate::labels;

const BOUND: &str = "istio.io/WaypointBound";

pub(super) fn derive(cluster: &Cluster, name: &Name, gateway: &Gateway) -> Option<Condition> {
    let (place, asked) = find(cluster, name, gateway)?;
    let label = labels::USE_WAYPOINT;
    if let Some(circle) = circle(cluster, name, gateway) {
        let circle: Vec<_> = circle.iter().map(ToString::to_string).collect();
        let message = format!(
            "Label {label} goes round in a circle ({}), and waypoints have no waypoint: it has no effect; remove it",
            circle.join(" → ")
        );
        return Some(Condition::fails(BOUND, "CyclicWaypoint", message));
    }
    let message = format!(
        "Label {label} of {place} asks for waypoint {asked}, but a waypoint has none itself: it has no effect; remove it"
    );
    Some(Condition::fails(BOUND, "WaypointForWaypoint", message))
}

/// Which object asks, and for which waypoint: the Gateway, its Service, or a pod of it.
fn find(cluster: &Cluster, name: &Name, gateway: &Gateway) -> Option<(String, Name)> {
    if let Some(asked) = asked_by(&name.namespace, &gateway.facts) {
        return Some(("this Gateway".to_owned(), asked));
    }
    let service_name = Name::new(name.namespace.clone(), gateway.generated_name(name));
    let service = cluster.services.get(&service_name);
    let service = service.filter(|it| it.facts.label(labels::GATEWAY_NAME) == Some(&name.name));
    if let Some(asked) = service.and_then(|it| asked_by(&name.namespace, &it.facts)) {
        return Some((format!("its Service {service_name}"), asked));
    }
    let pods = cluster.pods.in_namespace(&name.namespace);
    let mut pods = pods.filter(|(at, pod)| pod.gateway(at).as_ref() == Some(name));
    pods.find_map(|(at, pod)| Some((format!("its pod {at}"), asked_by(&at.namespace, &pod.facts)?)))
}

/// The waypoints that lead back to this one, which stands at both ends.
fn circle(cluster: &Cluster, name: &Name, gateway: &Gateway) -> Option<Vec<Name>> {
    let mut circle = vec![name.clone()];
    let mut next = asked_by(&name.namespace, &gateway.facts);
    while let Some(at) = next {
        if circle.contains(&at) {
            let leads_back = at == *name;
            circle.push(at);
            return leads_back.then_some(circle);
        }
        let gateway = cluster.gateways.get(&at).filter(|gateway| cluster.is_waypoint(gateway))?;
        next = asked_by(&at.namespace, &gateway.facts);
        circle.push(at);
    }
    None
}
