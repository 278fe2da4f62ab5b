//! VirtualServices and DestinationRules: whether they decide about anything, and what is not honoured.

use std::collections::BTreeSet;

use super::condition::{Condition, observe, of_problems};
use crate::cluster::{Cluster, DestinationRule, MeshService, Name, ServiceObject, VirtualService};
use crate::resources::{
    Layer, Problem, Reason, find_stream_problems, find_traffic_problems, namespaces_in_force, ports_left,
    stream_ports_named, translate_virtual_service, winning_virtual_service,
};

pub(super) fn derive_virtual_service(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.virtual_services.get(name)?;
    let mut problems = translate_virtual_service(cluster, name, object, None).problems;
    problems.extend(missing_subsets(cluster, name, object));
    problems.extend(find_stream_problems(cluster, name, object));
    let mut conditions = vec![virtual_service_accepted(cluster, name, object)];
    conditions.extend(of_problems(&problems));
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}

fn virtual_service_accepted(cluster: &Cluster, name: &Name, object: &VirtualService) -> Condition {
    if !object.is_for_mesh() {
        let message = "spec.gateways: does not name the gateway \"mesh\", so no waypoint uses it";
        return Condition::fails("Accepted", "NotForMesh", message);
    }
    if object.hosts.is_empty() {
        return delegate_accepted(cluster, name);
    }
    let layers = [Layer::Requests, Layer::Streams].into_iter().filter(|layer| object.has_routes_for(*layer));
    let outcomes = layers.map(|layer| (layer, of_layer(cluster, name, object, layer)));
    let (in_force, without): (Vec<_>, Vec<_>) = outcomes.partition(|(_, it)| it.is_ok());
    let fields = |layer| match layer {
        Layer::Requests => "spec.http",
        Layer::Streams => "spec.tls and spec.tcp",
    };
    let reasons = without.into_iter().filter_map(|(layer, it)| Some((layer, it.err()?))).collect::<Vec<_>>();
    match (in_force.first(), reasons.into_iter().next()) {
        (_, None) => Condition::holds("Accepted", "Accepted", "The routes are in force"),
        (Some(_), Some((layer, (_, message)))) => {
            let message = format!("The routes are in force, but for {}: {message}", fields(layer));
            Condition::holds("Accepted", "Accepted", message)
        }
        (None, Some((_, (reason, message)))) => Condition::fails("Accepted", reason, message),
    }
}

/// Without hosts it can only continue another one.
fn delegate_accepted(cluster: &Cluster, name: &Name) -> Condition {
    let continued: Vec<String> = cluster.delegators(name).map(|(at, _)| at.to_string()).collect();
    if continued.is_empty() {
        let message = "spec.hosts: it has none, and no VirtualService delegates to it";
        return Condition::fails("Accepted", "NoMatchingService", message);
    }
    Condition::holds("Accepted", "Accepted", format!("It continues VirtualService {}", continued.join(", ")))
}

/// Whether the routes for a layer are in force at some service, or why at none.
fn of_layer(
    cluster: &Cluster,
    name: &Name,
    object: &VirtualService,
    layer: Layer,
) -> Result<(), (&'static str, String)> {
    let mut outcome = Err(("NoMatchingService", "spec.hosts: no service has one of these names".to_owned()));
    let hostnames: BTreeSet<_> = object.hosts.iter().flat_map(|host| host.hostnames(cluster)).collect();
    for service in hostnames.iter().flat_map(|hostname| cluster.services_of_hostname(hostname)) {
        let at = service.object.key();
        if !namespaces_in_force(cluster, service.object).contains(&name.namespace) {
            let message = format!("{at} and its waypoint are in other namespaces");
            outcome = Err(("NoMatchingService", message));
            continue;
        }
        let winner = winning_virtual_service(cluster, &service, layer).map(|(name, _)| name);
        let left = ports_left(cluster, service.object, layer);
        outcome = match (winner, layer) {
            (Some(winner), _) if winner != name => {
                Err(("Overridden", format!("VirtualService {winner} decides about {at}")))
            }
            (_, Layer::Streams) if !has_streams(object, service.object) => {
                let message =
                    format!("every port of {at} that they are for declares HTTP, which http routes are for");
                Err(("NoMatchingService", message))
            }
            (Some(_), _) if !left.is_empty() => return Ok(()),
            (_, Layer::Requests) => Err(("Overridden", format!("HTTPRoutes decide about {at}"))),
            (_, Layer::Streams) => {
                Err(("Overridden", format!("routes of the Gateway API decide about {at}")))
            }
        };
    }
    outcome
}

/// Whether some port that its routes for connections are for can have any.
fn has_streams(object: &VirtualService, service: ServiceObject<'_>) -> bool {
    let named = stream_ports_named(object);
    let concerned = |port: u16| named.as_ref().is_none_or(|named| named.contains(&port));
    service.ports().iter().any(|port| concerned(port.number) && Layer::Streams.is_on(port))
}

/// Destinations whose subset no DestinationRule declares; no endpoint is in such a subset.
fn missing_subsets(cluster: &Cluster, name: &Name, object: &VirtualService) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, destination) in object.destinations() {
        let Some(subset) = &destination.subset else { continue };
        let hostname = cluster.settings.hostname_meant(&name.namespace, &destination.host);
        // Of a service that does not exist, that is said already.
        let Some(service) = cluster.resolve_hostname(&name.namespace, &hostname) else { continue };
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
    let mut problems = find_traffic_problems(&object.spec);
    problems.extend(outranked(cluster, name, object));
    let partly = of_problems(&problems).into_iter().filter(|it| it.kind == "PartiallyInvalid");
    let mut conditions: Vec<_> = [accepted].into_iter().chain(partly).collect();
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}

fn destination_rule_accepted(cluster: &Cluster, name: &Name, object: &DestinationRule) -> Condition {
    let hostnames = object.host.hostnames(cluster);
    let services = hostnames.iter().flat_map(|hostname| cluster.services_of_hostname(hostname));
    let services: Vec<MeshService<'_>> = services.collect();
    if services.is_empty() {
        let message = format!("spec.host: no service has the name {:?}", object.spec.host);
        return Condition::fails("Accepted", "NoMatchingService", message);
    }
    let in_force =
        |at: &MeshService<'_>| cluster.destination_rules_of(at).iter().any(|(rule, _)| *rule == name);
    match services.iter().any(in_force) {
        true => Condition::holds("Accepted", "Accepted", "The rule is in force"),
        false => {
            let message =
                "Rules of other namespaces, or rules that name the host more closely, decide about it";
            Condition::fails("Accepted", "Overridden", message)
        }
    }
}

/// Of several rules for a host the oldest policy holds (api.md §3.4).
fn outranked(cluster: &Cluster, name: &Name, object: &DestinationRule) -> Option<Problem> {
    object.spec.traffic_policy.as_ref()?;
    let hostnames = object.host.hostnames(cluster);
    let services = hostnames.iter().flat_map(|hostname| cluster.services_of_hostname(hostname));
    let winners = services.filter_map(|service| {
        let rules = cluster.destination_rules_of(&service);
        let concerned = rules.iter().any(|(rule, _)| *rule == name);
        let winner = rules.iter().find(|(_, rule)| rule.spec.traffic_policy.is_some())?.0;
        (concerned && winner != name).then(|| (service.object.key(), winner))
    });
    let (service, winner) = winners.min()?;
    let message = format!("DestinationRule {winner} is older and decides about the traffic to {service}");
    Some(Problem::unsupported("spec.trafficPolicy", message))
}
