//! What the mesh knows about a question: pure, from a snapshot (DNS-02 to DNS-15).

use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::{Health, HealthPolicy, IpFamilies, Service, Workload};
use mesh_state::Snapshot;
use rand::seq::SliceRandom;

use super::names::{Domain, wildcards};

/// The kind of address that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// The mesh knows the host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// The name under which the addresses stand, where it is not the one asked for.
    pub(super) alias_of: Option<String>,
    /// None: the host has no address of that family.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) service: Arc<Service>,
}

impl Family {
    pub(super) fn has(self, ip: &IpAddr) -> bool {
        match self {
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        }
    }
}

/// The mesh's answer to a client, or none: then somebody else has to be asked.
pub(super) fn find_answer(
    snapshot: &Snapshot,
    client: &Workload,
    domain: &Domain,
    asked: &str,
    family: Family,
) -> Option<Answer> {
    domain.candidates(asked, &client.namespace).into_iter().find_map(|candidate| {
        let (service, by_wildcard) = find_service(snapshot, client, domain, &candidate.host)?;
        let mut addresses = addresses(snapshot, client, &service, family);
        // Whoever takes the first one is not always sent to the same place.
        addresses.shuffle(&mut rand::rng());
        // A wildcard has no name of its own that an alias could lead to.
        let alias_of = candidate.stripped.filter(|_| !by_wildcard && !addresses.is_empty());
        Some(Answer { alias_of, addresses, service })
    })
}

/// The service that a client means by a host, and whether a wildcard led to it.
fn find_service(
    snapshot: &Snapshot,
    client: &Workload,
    domain: &Domain,
    host: &str,
) -> Option<(Arc<Service>, bool)> {
    let called = |host: &str| {
        let service = snapshot.find_service_by_host(host, &*client.namespace)?;
        // One without addresses and outside the cluster is only known by DNS (DNS-12).
        let answered = !service.addresses.is_empty() || domain.has_service(&service.key.hostname);
        answered.then_some(service)
    };
    let exact = called(host).map(|service| (service, false));
    exact.or_else(|| wildcards(host).find_map(|host| Some((called(&host)?, true))))
}

fn addresses(snapshot: &Snapshot, client: &Workload, service: &Service, family: Family) -> Vec<IpAddr> {
    if !service.addresses.is_empty() {
        let near = service.addresses.iter().filter(|address| address.network == client.network);
        return near.map(|address| address.ip).filter(|ip| family.has(ip)).collect();
    }
    let used = match service.ip_families {
        IpFamilies::Ipv4 => family == Family::V4,
        IpFamilies::Ipv6 => family == Family::V6,
        IpFamilies::Automatic | IpFamilies::Dual => true,
    };
    let endpoints = snapshot.endpoints(&service.key).map(|(workload, _)| workload);
    let near = endpoints.filter(|workload| used && workload.network == client.network);
    let ready = near.filter(|workload| {
        let all = service.load_balancing.health_policy == HealthPolicy::AllowAll;
        all || workload.health == Health::Healthy
    });
    ready.flat_map(|workload| workload.addresses.iter().copied()).filter(|ip| family.has(ip)).collect()
}

#[cfg(test)]
mod tests;
