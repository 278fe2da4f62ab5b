//! WorkloadEntries, and the endpoints that ServiceEntries list, as workloads (api.md §5.4).
//!
//! A pod can have the address of such an entry. Proxies then take the address for the pod's (CAP-21, wire.md
//! §5.6); the entry is published all the same, since it stays an endpoint of its services.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::{Health, NamespacedHostname, NetworkMode, PortMap, Uid, Workload, WorkloadKind};

use super::{canonical_name, canonical_revision, policies, subset_labels, tunnel};
use crate::cluster::{
    Address, Attachment, Cluster, Facts, InlineEndpoint, Name, ServiceObject, WorkloadEntry,
};
use crate::labels;
use crate::objects::EntryVisibility;

/// The workload of that uid, if it can be reached.
pub(super) fn derive(cluster: &Cluster, uid: &Uid) -> Option<Workload> {
    if let Some(name) = cluster.workload_entry_of(uid) {
        let entry = cluster.workload_entries.get(&name)?;
        let workload_name = entry.facts.label(labels::WORKLOAD_NAME);
        let group = entry.facts.annotation(labels::REGISTRATION_GROUP);
        return build(
            cluster,
            uid,
            &name,
            entry,
            Described {
                facts: &entry.facts,
                workload_name: workload_name.or(group).map_or(name.name.clone(), Arc::from),
                waypoint: cluster.attachment_of_workload(&name.namespace, &entry.facts),
                services: services_of_entry(cluster, &name, entry),
            },
        );
    }
    let (name, address) = cluster.inline_endpoint_of(uid)?;
    let (name, object) = cluster.service_entries.get_entry(&name)?;
    if cluster.entry_visibility(&name.namespace) == EntryVisibility::None {
        return None;
    }
    let endpoint = object.find_endpoint(address)?;
    build(
        cluster,
        uid,
        name,
        &endpoint.workload,
        Described {
            facts: &object.facts,
            workload_name: name.name.clone(),
            waypoint: attachment_of_endpoint(cluster, name, endpoint),
            services: services_of_endpoint(cluster, ServiceObject::Entry(name, object), endpoint),
        },
    )
}

/// What differs between the two.
struct Described<'a> {
    /// Labels and annotations that describe it.
    facts: &'a Facts,
    workload_name: Arc<str>,
    waypoint: Attachment,
    services: BTreeMap<NamespacedHostname, PortMap>,
}

fn build(
    cluster: &Cluster,
    uid: &Uid,
    name: &Name,
    entry: &WorkloadEntry,
    described: Described<'_>,
) -> Option<Workload> {
    let (addresses, hostname) = match entry.address() {
        Address::Ip(ip) => (vec![ip], Arc::from("")),
        Address::Name(hostname) => (Vec::new(), hostname),
        Address::Unusable(_) => return None,
    };
    let Described { facts, workload_name, waypoint, services } = described;
    let settings = &cluster.settings;
    let (tunnel, native_tunnel) = tunnel(facts);
    Some(Workload {
        uid: uid.clone(),
        name: name.name.clone(),
        namespace: name.namespace.clone(),
        addresses,
        network: if entry.network.is_empty() { settings.network.clone() } else { entry.network.clone() },
        tunnel,
        native_tunnel,
        trust_domain: settings.trust_domain.clone(),
        service_account: entry.service_account.clone(),
        waypoint: waypoint.waypoint().map(|it| it.address),
        network_gateway: None,
        node: "".into(),
        canonical_name: canonical_name(facts, workload_name.clone()),
        canonical_revision: canonical_revision(facts),
        // The peer marks every one so; dashboards count on it.
        kind: WorkloadKind::Pod,
        workload_name,
        authorization_policies: policies(cluster, name, &entry.facts),
        health: Health::Healthy,
        cluster_id: settings.cluster_id.clone(),
        hostname,
        labels: subset_labels(cluster, &services, &entry.facts),
        services: services.into_iter().collect(),
        application_tunnel: None,
        locality: entry.locality.clone(),
        network_mode: NetworkMode::Standard,
        capacity: entry.capacity,
    })
}

/// A host that is its own endpoint is behind its service's waypoint, not behind one of its own.
fn attachment_of_endpoint(cluster: &Cluster, name: &Name, endpoint: &InlineEndpoint) -> Attachment {
    match endpoint.is_implicit() {
        true => Attachment::Unasked,
        false => cluster.attachment_of_workload(&name.namespace, &endpoint.workload.facts),
    }
}

/// EG-02: the Services and ServiceEntries whose selectors find it.
fn services_of_entry(
    cluster: &Cluster,
    name: &Name,
    entry: &WorkloadEntry,
) -> BTreeMap<NamespacedHostname, PortMap> {
    let labels = &entry.facts.labels;
    let services = cluster.services.in_namespace(&name.namespace);
    let selecting = services.filter(|(_, service)| service.selects(labels));
    let mut services: BTreeMap<_, _> = selecting
        .map(|(at, service)| (cluster.host_key(at), entry.ports_for_service(&service.ports)))
        .collect();
    let entries = cluster.service_entries.in_namespace(&name.namespace);
    for (at, object) in entries.filter(|(_, object)| object.selects(labels)) {
        let keys = cluster.services_of(ServiceObject::Entry(at, object)).into_iter();
        services.extend(keys.map(|key| (key, entry.ports_for_service_entry(&object.ports))));
    }
    services
}

/// EG-01: the hosts of the ServiceEntry that lists it.
fn services_of_endpoint(
    cluster: &Cluster,
    object: ServiceObject<'_>,
    endpoint: &InlineEndpoint,
) -> BTreeMap<NamespacedHostname, PortMap> {
    let keys = cluster.services_of(object).into_iter();
    let keys = keys.filter(|key| endpoint.only_host.as_ref().is_none_or(|host| *host == key.hostname));
    keys.map(|key| (key, endpoint.workload.ports_for_service_entry(object.ports()))).collect()
}
