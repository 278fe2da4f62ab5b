//! Whether a route for connections has effect at a parent: it has where the port has connections to route, where no
//! route of a kind that goes first is attached, and for names that no older route has taken (api.md §4.5).

use std::collections::BTreeSet;

use super::condition::Condition;
use super::route::CONFLICTED;
use crate::cluster::{Cluster, Name, Route, ServiceObject, ServicePort};
use crate::objects::Kind;
use crate::resources::{Layer, Lost, find_lost, outranking};

/// How a route stands on one port.
enum Standing<'a> {
    /// It takes what it asks for.
    InForce,
    /// The same, where the port does not declare what it speaks.
    Undeclared,
    /// The port declares HTTP.
    Requests,
    /// A route of another kind decides.
    Outranked(Kind, &'a Name),
    /// Older routes of its kind have taken some of its names, or all.
    Late(Lost<'a>),
}

pub(super) fn accepted(
    cluster: &Cluster,
    object: ServiceObject<'_>,
    route: (&Name, &Route),
    ports: &BTreeSet<u16>,
) -> Condition {
    let declared = object.ports().iter().filter(|port| ports.contains(&port.number));
    let standings: Vec<_> =
        declared.map(|port| (port.number, standing(cluster, object, route, port))).collect();
    let notes = notes(&standings, route.1.kind);
    if standings.iter().any(|(_, it)| it.has_effect()) {
        let message = [vec!["Route was valid".to_owned()], notes].concat().join("; ");
        return Condition::holds("Accepted", "Accepted", message);
    }
    let only_requests = standings.iter().all(|(_, it)| matches!(it, Standing::Requests));
    let reason = if only_requests { "UnsupportedValue" } else { CONFLICTED };
    let (key, notes) = (object.key(), notes.join("; "));
    let message = format!("{key}: {notes}. So this route has no effect; attach it elsewhere");
    Condition::fails("Accepted", reason, message)
}

fn standing<'a>(
    cluster: &'a Cluster,
    object: ServiceObject<'_>,
    route: (&Name, &Route),
    port: &ServicePort,
) -> Standing<'a> {
    if let Some((kind, winner)) = outranking(cluster, object, route, port.number) {
        return Standing::Outranked(kind, winner);
    }
    if !Layer::Streams.is_on(port) {
        return Standing::Requests;
    }
    match find_lost(cluster, object, route, port.number) {
        Some(lost) => Standing::Late(lost),
        None if Layer::Requests.is_on(port) => Standing::Undeclared,
        None => Standing::InForce,
    }
}

impl Standing<'_> {
    fn has_effect(&self) -> bool {
        match self {
            Standing::InForce | Standing::Undeclared => true,
            Standing::Late(lost) => !lost.all,
            Standing::Requests | Standing::Outranked(..) => false,
        }
    }
}

/// What has to be said, about several ports at once where it is the same.
fn notes(standings: &[(u16, Standing<'_>)], kind: Kind) -> Vec<String> {
    let mut notes = Vec::new();
    let numbers = |wanted: fn(&Standing<'_>) -> bool| {
        let matching = standings.iter().filter(|(_, it)| wanted(it)).map(|(port, _)| port.to_string());
        let numbers = matching.collect::<Vec<_>>().join(", ");
        (!numbers.is_empty()).then_some(numbers)
    };
    for (port, standing) in standings {
        match standing {
            Standing::Outranked(kind, winner) => {
                notes.push(format!("{kind} {winner} decides on port {port}"))
            }
            Standing::Late(lost) => {
                let names: Vec<_> = lost.names.iter().flatten().map(ToString::to_string).collect();
                let what = if names.is_empty() { "all connections".to_owned() } else { names.join(", ") };
                let winner = lost.taken_by;
                notes.push(format!("the older {kind} {winner} takes {what} on port {port}"));
            }
            Standing::InForce | Standing::Undeclared | Standing::Requests => {}
        }
    }
    if let Some(numbers) = numbers(|it| matches!(it, Standing::Requests)) {
        notes.push(format!("port {numbers} declares HTTP, which it does not route"));
    }
    if let Some(numbers) = numbers(|it| matches!(it, Standing::Undeclared)) {
        notes.push(format!(
            "port {numbers} declares no protocol, so it takes what does not begin with HTTP there"
        ));
    }
    notes
}
