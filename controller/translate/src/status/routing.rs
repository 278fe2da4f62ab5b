//! VirtualServices and DestinationRules: whether they decide about anything, and what is not honoured.

use std::collections::BTreeSet;

use super::condition::{Condition, observe, of_problems};
use crate::cluster::{Cluster, DestinationRule, Name, VirtualService};
use crate::resources::{
    Problem, Reason, attached_ports, namespaces_in_force, routes_in_force, translate_virtual_service,
    winning_virtual_service,
};

pub(super) fn derive_virtual_service(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.virtual_services.get(name)?;
    let mut problems = translate_virtual_service(cluster, name, object, None).problems;
    problems.extend(missing_subsets(cluster, name, object));
    for (field, entries) in [("spec.tcp", &object.spec.tcp), ("spec.tls", &object.spec.tls)] {
        if !entries.is_empty() {
            problems.push(Problem::unsupported(field, "is not supported by this release; it is left out"));
        }
    }
    let mut conditions = vec![virtual_service_accepted(cluster, name, object)];
    conditions.extend(of_problems(&problems));
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}

fn virtual_service_accepted(cluster: &Cluster, name: &Name, object: &VirtualService) -> Condition {
    let fails = |reason, message: String| Condition::fails("Accepted", reason, message);
    if !object.is_for_mesh() {
        let message = "spec.gateways: does not name the gateway \"mesh\", so no waypoint uses it";
        return fails("NotForMesh", message.into());
    }
    let mut outcome = fails("NoMatchingService", "spec.hosts: no service has one of these names".into());
    for at in &object.hosts.iter().flat_map(|host| host.services(cluster)).collect::<BTreeSet<_>>() {
        let Some(service) = cluster.services.get(at).filter(|service| !service.external_name) else {
            continue;
        };
        if !namespaces_in_force(cluster, at, service).contains(&name.namespace) {
            let message = format!("Service {at} and its waypoint are in other namespaces");
            outcome = fails("NoMatchingService", message);
            continue;
        }
        let winner = winning_virtual_service(cluster, at, service).map(|(name, _)| name);
        let routes = routes_in_force(cluster, at, service);
        let routed: BTreeSet<u16> =
            routes.flat_map(|(it, route)| attached_ports(at, service, it, route)).collect();
        match winner {
            Some(winner) if winner == name && routed.len() < service.ports.len() => {
                return Condition::holds("Accepted", "Accepted", "The routes are in force");
            }
            Some(winner) if winner != name => {
                outcome = fails("Overridden", format!("VirtualService {winner} decides about Service {at}"));
            }
            _ => outcome = fails("Overridden", format!("HTTPRoutes decide about Service {at}")),
        }
    }
    outcome
}

/// Destinations whose subset no DestinationRule declares; no endpoint is in such a subset.
fn missing_subsets(cluster: &Cluster, name: &Name, object: &VirtualService) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, destination) in object.destinations() {
        let Some(subset) = &destination.subset else { continue };
        let service = cluster.settings.service_named(&name.namespace, &destination.host);
        // Of a service that does not exist, that is said already.
        let Some(service) = service.filter(|it| cluster.services.get(it).is_some()) else { continue };
        let rules = cluster.destination_rules_of(&service);
        let mut declared = rules.iter().flat_map(|(_, rule)| &rule.spec.subsets);
        if !declared.any(|it| it.name == *subset) {
            let message = format!("no DestinationRule declares subset {subset:?} of {:?}", destination.host);
            problems.push(Problem::new(format!("{field}.subset"), Reason::BackendNotFound, message));
        }
    }
    problems
}

pub(super) fn derive_destination_rule(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.destination_rules.get(name)?;
    let accepted = destination_rule_accepted(cluster, name, object);
    let partly = of_problems(&unsupported(object)).into_iter().filter(|it| it.kind == "PartiallyInvalid");
    let mut conditions: Vec<_> = [accepted].into_iter().chain(partly).collect();
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}

fn destination_rule_accepted(cluster: &Cluster, name: &Name, object: &DestinationRule) -> Condition {
    let mut services = object.host.services(cluster);
    services.retain(|at| cluster.services.get(at).is_some());
    if services.is_empty() {
        let message = format!("spec.host: no service has the name {:?}", object.spec.host);
        return Condition::fails("Accepted", "NoMatchingService", message);
    }
    let in_force = |at: &Name| cluster.destination_rules_of(at).iter().any(|(rule, _)| *rule == name);
    match services.iter().any(in_force) {
        true => Condition::holds("Accepted", "Accepted", "The rule is in force"),
        false => {
            let message =
                "Rules of other namespaces, or rules that name the host more closely, decide about it";
            Condition::fails("Accepted", "Overridden", message)
        }
    }
}

fn unsupported(object: &DestinationRule) -> Vec<Problem> {
    let mut fields = Vec::new();
    if object.spec.traffic_policy.is_some() {
        fields.push("spec.trafficPolicy".to_owned());
    }
    if object.spec.workload_selector.is_some() {
        fields.push("spec.workloadSelector".to_owned());
    }
    let subsets = object.spec.subsets.iter().enumerate();
    let policies = subsets.filter(|(_, subset)| subset.traffic_policy.is_some());
    fields.extend(policies.map(|(at, _)| format!("spec.subsets[{at}].trafficPolicy")));
    let message = "is not honoured by this release";
    fields.into_iter().map(|field| Problem::unsupported(field, message)).collect()
}
