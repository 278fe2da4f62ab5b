//! ServiceEntries and WorkloadEntries: which hosts are in effect, which addresses they get, which waypoint is used
//! (api.md §5.7, ST-05).

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::condition::{Condition, observe, of_problems};
use super::service::{bound, workload_bound};
use crate::cluster::{
    Address, Attachment, Cluster, MeshService, Name, ServiceEntry, ServiceObject, is_wildcard,
};
use crate::labels;
use crate::objects::EntryVisibility;
use crate::resources::Problem;

const MISSING: &str = "istio.io/WaypointMissing";

/// The status of a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceEntryStatus {
    /// Addresses for hosts that have none of their own.
    pub addresses: Vec<HostAddress>,
    /// What holds of it.
    pub conditions: Vec<Condition>,
}

/// An address that nobody wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostAddress {
    /// The address.
    pub value: IpAddr,
    /// Whose it is.
    pub host: String,
}

pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<ServiceEntryStatus> {
    let (name, entry) = cluster.service_entries.get_entry(name)?;
    let object = ServiceObject::Entry(name, entry);
    let hosts = entry.hosts.iter().enumerate().filter(|(at, host)| !entry.hosts[..*at].contains(*host));
    let addresses = hosts.flat_map(|(_, host)| {
        let addresses = cluster.auto_addresses(name, entry, host).into_iter();
        addresses.map(|value| HostAddress { value, host: host.to_string() })
    });
    let addresses = addresses.collect();
    let mut conditions = vec![accepted(cluster, object, entry)];
    conditions.extend(bound(cluster, object));
    conditions.extend(missing(cluster, object, entry));
    conditions.extend(visibility(cluster, object));
    let mut problems = overridden(cluster, object, entry);
    problems.extend(unsupported(entry));
    conditions.extend(of_problems(&problems).into_iter().filter(|it| it.kind == "PartiallyInvalid"));
    observe(&mut conditions, entry.facts.generation);
    Some(ServiceEntryStatus { addresses, conditions })
}

fn accepted(cluster: &Cluster, object: ServiceObject<'_>, entry: &ServiceEntry) -> Condition {
    if !cluster.services_of(object).is_empty() {
        return Condition::holds("Accepted", "Accepted", "The hosts are known to the mesh");
    }
    if cluster.visibility_of(object) == EntryVisibility::None {
        let message = "serviceEntryVisibility of the mesh hides it from everybody, so it has no effect";
        return Condition::fails("Accepted", "Hidden", message);
    }
    if overridden(cluster, object, entry).len() == entry.hosts.len() {
        let message = "Other objects decide about all of its hosts, so it has no effect";
        return Condition::fails("Accepted", "Overridden", message);
    }
    Condition::fails("Accepted", "NoWaypoint", "Its hosts are wildcards, which only a waypoint can serve")
}

/// ST-07: who can see it, if the mesh says anything about that.
fn visibility(cluster: &Cluster, object: ServiceObject<'_>) -> Option<Condition> {
    cluster.mesh.service_entry_visibility.as_ref()?;
    let (reason, message) = match cluster.visibility_of(object) {
        EntryVisibility::Public => ("Public", "Every namespace sees its hosts"),
        EntryVisibility::Namespace => ("Namespace", "Only its own namespace sees its hosts"),
        EntryVisibility::None => return None,
    };
    Some(Condition::holds("istio.io/VisibilityApplied", reason, message))
}

/// ST-05: what needs a waypoint and has none.
fn missing(cluster: &Cluster, object: ServiceObject<'_>, entry: &ServiceEntry) -> Option<Condition> {
    if let Attachment::Bound(_) = cluster.attachment_of_service(object) {
        return None;
    }
    let label = labels::USE_WAYPOINT;
    if entry.hosts.iter().any(|host| is_wildcard(host)) {
        let message =
            format!("Wildcard hosts have no effect without a waypoint that is ready; set label {label}");
        return Some(Condition::holds(MISSING, "NoWaypointForWildcardService", message));
    }
    entry.races().then(|| {
        let message =
            format!("{} needs a waypoint that is ready; set label {label}", labels::CONNECT_STRATEGY);
        Condition::holds(MISSING, "NoWaypointForRacingConnectStrategy", message)
    })
}

/// Hosts that another object decides about.
fn overridden(cluster: &Cluster, object: ServiceObject<'_>, entry: &ServiceEntry) -> Vec<Problem> {
    let winners = |host: &str| cluster.services_of_hostname(host);
    let here = |it: &MeshService<'_>| it.key.namespace == object.name().namespace;
    let hosts = entry.hosts.iter().enumerate().filter_map(|(at, host)| {
        let winner = winners(host).into_iter().find(here)?.object.key();
        let message = format!("{winner} decides about {host:?}");
        (winner != object.key()).then(|| Problem::unsupported(format!("spec.hosts[{at}]"), message))
    });
    hosts.collect()
}

fn unsupported(entry: &ServiceEntry) -> Vec<Problem> {
    let mut problems = Vec::new();
    if entry.export_to.iter().any(|it| it != "*") {
        let message = "is not honoured in an ambient mesh; every namespace sees the hosts";
        problems.push(Problem::unsupported("spec.exportTo", message));
    }
    for (at, name) in entry.subject_alt_names.iter().enumerate() {
        if let Err(error) = name.parse::<mesh_model::Identity>() {
            let message = format!("{error}; only identities of the mesh are honoured");
            problems.push(Problem::unsupported(format!("spec.subjectAltNames[{at}]"), message));
        }
    }
    let mut seen = BTreeSet::new();
    for (at, endpoint) in entry.endpoints.iter().enumerate().filter(|(_, it)| !it.is_implicit()) {
        let path = format!("spec.endpoints[{at}].address");
        if let Address::Unusable(reason) = endpoint.workload.address() {
            problems.push(Problem::unsupported(path, format!("{reason}; the endpoint is left out")));
        } else if !seen.insert(&endpoint.workload.written) {
            problems
                .push(Problem::unsupported(path, "is there twice; the first of the two endpoints counts"));
        }
    }
    problems
}

/// Something is said only where a waypoint is asked for, or where the entry has no effect.
pub(super) fn derive_workload_entry(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let entry = cluster.workload_entries.get(name)?;
    let unusable = match entry.address() {
        Address::Unusable(reason) => {
            let message = format!("spec.address: {reason}; the entry has no effect");
            Some(Condition::fails("Accepted", "UnsupportedValue", message))
        }
        Address::Ip(_) | Address::Name(_) => None,
    };
    let bound = workload_bound(cluster, &name.namespace, &entry.facts);
    let mut conditions: Vec<Condition> = unusable.into_iter().chain(bound).collect();
    observe(&mut conditions, entry.facts.generation);
    (!conditions.is_empty()).then_some(conditions)
}
