//! Gateways by reference: where a waypoint (or a network's gateway) is, and
//! whether a workload is one for somebody (HB-06, WP-10…12, WP-24).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use mesh_model::{GatewayAddress, GatewayDestination, IpFamilies, NetworkAddress, Service, Workload};

use crate::balance::{Lottery, address_of, candidates, pick, target_port};
use crate::{Query, Snapshot, former};

/// What a waypoint serves.
#[derive(Clone, Debug, PartialEq)]
pub enum Served {
    /// A workload, addressed by itself.
    Workload(Arc<Workload>),
    /// A service.
    Service(Arc<Service>),
}

/// What is at an address, if `me` is its waypoint; nothing else may be asked of `me` (WP-14).
pub fn find_served(snapshot: &Snapshot, me: &Workload, address: &NetworkAddress) -> Option<Served> {
    let mine = |gateway: &GatewayAddress| leads_to(snapshot, gateway, me);
    find_by_waypoint(
        snapshot,
        address,
        |workload| former::of_workload(workload).any(mine),
        |service| former::of_service(service).any(mine),
    )
}

/// What is at an address, if `me` was its waypoint until a moment before `now`: its
/// clients may not know yet that this has changed (WP-02).
pub fn find_recently_served(
    snapshot: &Snapshot,
    me: &Workload,
    address: &NetworkAddress,
    now: Instant,
) -> Option<Served> {
    let mine = |gateway: &GatewayAddress| leads_to(snapshot, gateway, me);
    find_by_waypoint(
        snapshot,
        address,
        |workload| snapshot.left_by_workloads.of(&workload.uid, now).any(mine),
        |service| snapshot.left_by_services.of(&service.key, now).any(mine),
    )
}

/// The workload that has an address, or else the first service that has it, of those wanted.
fn find_by_waypoint(
    snapshot: &Snapshot,
    address: &NetworkAddress,
    wants_workload: impl Fn(&Workload) -> bool,
    wants_service: impl Fn(&Service) -> bool,
) -> Option<Served> {
    if let Some(workload) = snapshot.workloads.at(address) {
        return wants_workload(workload).then(|| Served::Workload(workload.clone()));
    }
    let wanted = |service: &&Arc<Service>| wants_service(service);
    snapshot.services.all_at(address).find(wanted).cloned().map(Served::Service)
}

/// Whether `me` is the waypoint of what is at an address of its network.
pub fn serves_as_waypoint_for(snapshot: &Snapshot, me: &Workload, ip: IpAddr) -> bool {
    find_served(snapshot, me, &NetworkAddress::new(me.network.clone(), ip.to_canonical())).is_some()
}

/// The waypoint of a new connection to a service: by weight if there are
/// weights, else the plain one (WP-24).
pub(crate) fn of_service(service: &Service) -> Option<&GatewayAddress> {
    let mut lottery = Lottery::default();
    for waypoint in &service.weighted_waypoints {
        lottery.offer(&waypoint.destination, waypoint.weight);
    }
    lottery.winner.or(service.waypoint.as_ref())
}

/// Whether a workload is behind a reference to a gateway.
pub(crate) fn leads_to(snapshot: &Snapshot, gateway: &GatewayAddress, workload: &Workload) -> bool {
    match &gateway.destination {
        GatewayDestination::Hostname(name) => {
            workload.services.contains_key(name)
                || (workload.hostname == name.hostname && workload.namespace == name.namespace)
        }
        GatewayDestination::Address(address) => {
            workload.own_addresses().any(|own| own == *address)
                || snapshot
                    .services
                    .all_at(address)
                    .any(|service| workload.services.contains_key(&service.key))
        }
    }
}

/// A gateway that can take a connection.
pub(crate) struct Located<'s> {
    pub(crate) workload: &'s Arc<Workload>,
    /// None when it is far, on another network.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) service: Option<&'s Arc<Service>>,
}

/// Finds a gateway by address, by the host name of its service or by its own.
pub(crate) fn locate<'s>(
    snapshot: &'s Snapshot,
    query: Query<'s>,
    gateway: &GatewayAddress,
    near: impl Fn(&Workload) -> bool,
) -> Option<Located<'s>> {
    let port = gateway.hbone_mtls_port;
    let (service, like) = match &gateway.destination {
        GatewayDestination::Address(address) => {
            if let Some(workload) = snapshot.workloads.at(address) {
                let ip = near(workload).then_some(address.ip);
                return Some(Located { workload, ip, port, service: None });
            }
            (snapshot.services.at(address, Some(&query.source.namespace))?, address.ip)
        }
        GatewayDestination::Hostname(name) => {
            let like = query.destination.ip();
            let Some(service) = snapshot.services.find(name) else {
                let workload = snapshot.workloads.called(name)?;
                let ip = address_of(workload, IpFamilies::Automatic, like)?;
                return Some(Located { workload, ip: near(workload).then_some(ip), port, service: None });
            };
            (service, like)
        }
    };
    // A gateway with an application tunnel need not declare the port (wire.md §2.3).
    let port_of = |workload: &Workload| {
        let undeclared = service.find_port(port).is_none() && workload.application_tunnel.is_some();
        target_port(service, workload, port).or_else(|| undeclared.then_some(port))
    };
    let candidates = candidates(snapshot, service, like, near, port_of);
    let chosen = pick(&service.load_balancing, query.source, candidates, |candidate| candidate.workload)?;
    Some(Located { workload: chosen.workload, ip: chosen.ip, port: chosen.port, service: Some(service) })
}

#[cfg(test)]
mod tests;
