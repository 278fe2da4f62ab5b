//! Names for a controller that is asked only for what is needed (wire.md §5.1): which
//! resources a connection leans on, whether they are known, and what a name has brought in.

use std::fmt;
use std::sync::Arc;

use mesh_model::{GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress, Service, Uid};

use crate::resolve::Query;
use crate::waypoint::leads_to;
use crate::{Edit, Snapshot, former};

/// What the controller is asked by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResourceName {
    /// Whatever has an address: `network/ip`.
    Address(NetworkAddress),
    /// A workload by its uid.
    Workload(Uid),
    /// A service, or a workload with that host name: `namespace/hostname`.
    Host(NamespacedHostname),
}

/// A workload or service under the name it is removed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKey {
    /// A workload.
    Workload(Uid),
    /// A service.
    Service(NamespacedHostname),
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceName::Address(address) => address.fmt(f),
            ResourceName::Workload(uid) => uid.fmt(f),
            ResourceName::Host(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceKey::Workload(uid) => uid.fmt(f),
            ResourceKey::Service(key) => key.fmt(f),
        }
    }
}

impl ResourceKey {
    /// Removes it from the store.
    pub fn remove_from(&self, edit: &mut Edit<'_>) {
        match self {
            ResourceKey::Workload(uid) => edit.remove_workload(uid),
            ResourceKey::Service(key) => edit.remove_service(key),
        }
    }
}

impl From<&GatewayAddress> for ResourceName {
    fn from(gateway: &GatewayAddress) -> Self {
        match &gateway.destination {
            GatewayDestination::Hostname(name) => ResourceName::Host(name.clone()),
            GatewayDestination::Address(address) => ResourceName::Address(address.clone()),
        }
    }
}

/// The names [`resolve`](crate::resolve()) leans on for a connection, as far as can be told from what is
/// known: an answer to one of them may bring up the next, such as a service its waypoint.
pub fn needed(snapshot: &Snapshot, query: Query<'_>) -> Vec<ResourceName> {
    let address = NetworkAddress::new(query.source.network.clone(), query.destination.ip().to_canonical());
    let mut names = vec![ResourceName::Address(address.clone())];
    if let Some(workload) = snapshot.workloads.at(&address) {
        let waypoint = workload.waypoint.as_ref();
        let waypoint = waypoint.filter(|gateway| !leads_to(snapshot, gateway, query.source));
        names.extend(waypoint.into_iter().flat_map(|gateway| of_gateway(snapshot, query, gateway)));
    } else if let Some(service) = snapshot.services.at(&address, Some(&query.source.namespace)) {
        names.extend(former::of_service(service).flat_map(|gateway| of_gateway(snapshot, query, gateway)));
        names.extend(gateways_of(snapshot, query, &service.key));
    }
    names
}

/// A gateway, and the edges of networks its endpoints are behind.
fn of_gateway(snapshot: &Snapshot, query: Query<'_>, gateway: &GatewayAddress) -> Vec<ResourceName> {
    let mut names = vec![ResourceName::from(gateway)];
    let service = match &gateway.destination {
        GatewayDestination::Hostname(name) => snapshot.services.find(name),
        GatewayDestination::Address(address) => snapshot.services.at(address, Some(&query.source.namespace)),
    };
    names.extend(service.into_iter().flat_map(|service| gateways_of(snapshot, query, &service.key)));
    names
}

/// The edges of the other networks a service has endpoints on.
fn gateways_of(snapshot: &Snapshot, query: Query<'_>, service: &NamespacedHostname) -> Vec<ResourceName> {
    let far =
        snapshot.endpoints.of(service).iter().filter(|workload| workload.network != query.source.network);
    let mut names: Vec<_> =
        far.filter_map(|workload| workload.network_gateway.as_ref()).map(Into::into).collect();
    names.dedup();
    names
}

impl Snapshot {
    /// Whether a name leads to something, whoever asks.
    pub fn knows(&self, name: &ResourceName) -> bool {
        match name {
            ResourceName::Address(address) => {
                self.workloads.at(address).is_some() || self.services.all_at(address).next().is_some()
            }
            ResourceName::Workload(uid) => self.workloads.find(uid).is_some(),
            ResourceName::Host(name) => {
                self.services.find(name).is_some() || self.workloads.called(name).is_some()
            }
        }
    }

    /// Everything a controller sends for a name: the endpoints of a service come with it.
    pub fn brought_by(&self, name: &ResourceName) -> Vec<ResourceKey> {
        let with_endpoints = |service: &Arc<Service>| {
            let endpoints = self.endpoints.of(&service.key).iter();
            let endpoints = endpoints.map(|workload| ResourceKey::Workload(workload.uid.clone()));
            endpoints.chain([ResourceKey::Service(service.key.clone())]).collect::<Vec<_>>()
        };
        let workload = |uid: &Uid| ResourceKey::Workload(uid.clone());
        match name {
            ResourceName::Address(address) => {
                let services = self.services.all_at(address).flat_map(with_endpoints);
                self.workloads
                    .at(address)
                    .map(|found| workload(&found.uid))
                    .into_iter()
                    .chain(services)
                    .collect()
            }
            ResourceName::Workload(uid) => {
                self.workloads.find(uid).map(|_| workload(uid)).into_iter().collect()
            }
            ResourceName::Host(name) => match self.services.find(name) {
                Some(service) => with_endpoints(service),
                None => self.workloads.called(name).map(|found| workload(&found.uid)).into_iter().collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
