//! Which endpoint of a service takes a connection (wire.md §5.6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::{
    Health, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, RoutingScope, Service, Workload,
};
use rand::RngExt;

use crate::{Endpoint, Snapshot};

/// The endpoints of a service port that can take something, among those on the source's network; and
/// how many leading preferences of the service each meets, if it may be used by them at all. `like`
/// is an address of the family that is preferred.
pub fn ranked<'s>(
    snapshot: &'s Snapshot,
    source: &'s Workload,
    service: &'s Arc<Service>,
    service_port: u16,
    like: IpAddr,
) -> impl Iterator<Item = (Endpoint, Option<usize>)> + 's {
    let declared = service.find_port(service_port).is_some();
    let port_of = move |workload: &Workload| target_port(service, workload, service_port);
    let near = move |workload: &Workload| declared && workload.network == source.network;
    candidates(snapshot, service, like, near, port_of).filter_map(move |candidate| {
        let address = SocketAddr::new(candidate.ip?, candidate.port);
        let endpoint = Endpoint::of(candidate.workload, Some(service), address);
        let met = rank(&service.load_balancing, source, candidate.workload);
        (candidate.workload.capacity > 0).then_some((endpoint, met))
    })
}

/// The port of a workload that takes the traffic of a service port: its own
/// mapping, else the service's; none if neither names one (LB-03).
pub fn target_port(service: &Service, workload: &Workload, service_port: u16) -> Option<u16> {
    let own = workload.services.get(&service.key).and_then(|ports| ports.get(&service_port)).copied();
    own.or_else(|| service.find_port(service_port).map(|port| port.target_port)).filter(|port| *port != 0)
}

/// A workload that could take a connection, and where.
pub(crate) struct Candidate<'s> {
    pub(crate) workload: &'s Arc<Workload>,
    /// None when it is far: then its network gateway leads to it. None as well when it is `named`.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
    /// It is known by its host name alone.
    pub(crate) named: bool,
}

/// The endpoints of a service that take traffic and can be reached: at an
/// address of their own if they are near, else through their network's gateway.
pub(crate) fn candidates<'s>(
    snapshot: &'s Snapshot,
    service: &'s Service,
    like: IpAddr,
    near: impl Fn(&Workload) -> bool,
    port_of: impl Fn(&Workload) -> Option<u16>,
) -> impl Iterator<Item = Candidate<'s>> {
    candidates_and_names(snapshot, service, like, near, port_of).filter(|candidate| !candidate.named)
}

/// The same, and the near ones whose address somebody has to look up (DNS-25).
pub(crate) fn candidates_and_names<'s>(
    snapshot: &'s Snapshot,
    service: &'s Service,
    like: IpAddr,
    near: impl Fn(&Workload) -> bool,
    port_of: impl Fn(&Workload) -> Option<u16>,
) -> impl Iterator<Item = Candidate<'s>> {
    snapshot.endpoints(&service.key).filter_map(move |(workload, _)| {
        let near = near(workload);
        let named = near && workload.addresses.is_empty() && !workload.hostname.is_empty();
        let ip = if near && !named {
            Some(address_of(workload, service.ip_families, like)?)
        } else if near {
            None
        } else {
            workload.network_gateway.as_ref()?;
            None
        };
        let port = port_of(workload).filter(|_| takes_traffic(service, workload))?;
        Some(Candidate { workload, ip, port, named })
    })
}

/// Health and the service's opinion of it (LB-06).
fn takes_traffic(service: &Service, workload: &Workload) -> bool {
    workload.health == Health::Healthy || service.load_balancing.health_policy == HealthPolicy::AllowAll
}

/// The workload's address in a family the service uses, if possible the client's (LB-08).
pub(crate) fn address_of(workload: &Workload, families: IpFamilies, like: IpAddr) -> Option<IpAddr> {
    let used = |ip: &IpAddr| match families {
        IpFamilies::Ipv4 => ip.is_ipv4(),
        IpFamilies::Ipv6 => ip.is_ipv6(),
        IpFamilies::Automatic | IpFamilies::Dual => true,
    };
    let mut usable = workload.addresses.iter().copied().filter(used);
    let first = usable.next()?;
    if first.is_ipv4() == like.is_ipv4() {
        return Some(first);
    }
    Some(usable.find(|ip| ip.is_ipv4() == like.is_ipv4()).unwrap_or(first))
}

/// One of the candidates of the best rank, at random, weighted by capacity (LB-09…12).
pub(crate) fn pick<C>(
    balancing: &LoadBalancing,
    source: &Workload,
    candidates: impl Iterator<Item = C>,
    workload_of: impl Fn(&C) -> &Workload,
) -> Option<C> {
    let mut best_rank = 0;
    let mut lottery = Lottery::default();
    for candidate in candidates {
        let workload = workload_of(&candidate);
        let capacity = workload.capacity;
        let Some(rank) = rank(balancing, source, workload).filter(|_| capacity > 0) else {
            continue;
        };
        if rank > best_rank {
            best_rank = rank;
            lottery = Lottery::default();
        }
        if rank == best_rank {
            lottery.offer(candidate, capacity);
        }
    }
    lottery.winner
}

/// Draws one of the items offered, in proportion to their weights, keeping no other.
pub(crate) struct Lottery<T> {
    total: u64,
    pub(crate) winner: Option<T>,
}

impl<T> Default for Lottery<T> {
    fn default() -> Self {
        Lottery { total: 0, winner: None }
    }
}

impl<T> Lottery<T> {
    /// The newest item takes the place of the winner as often as its share of all weights so far.
    pub(crate) fn offer(&mut self, item: T, weight: u32) {
        self.total += u64::from(weight);
        if weight > 0 && rand::rng().random_range(0..self.total) < u64::from(weight) {
            self.winner = Some(item);
        }
    }
}

/// How many leading preferences a workload meets; none if it may not be used.
fn rank(balancing: &LoadBalancing, source: &Workload, workload: &Workload) -> Option<usize> {
    let met = || {
        let preferences = balancing.preferences.iter();
        preferences.take_while(|scope| shares(**scope, source, workload)).count()
    };
    match balancing.mode {
        LoadBalancingMode::Standard => Some(0),
        LoadBalancingMode::Failover => Some(met()),
        LoadBalancingMode::Strict => Some(met()).filter(|met| *met == balancing.preferences.len()),
        LoadBalancingMode::Passthrough => None,
    }
}

fn shares(scope: RoutingScope, source: &Workload, workload: &Workload) -> bool {
    match scope {
        RoutingScope::Region => source.locality.region == workload.locality.region,
        RoutingScope::Zone => source.locality.zone == workload.locality.zone,
        RoutingScope::Subzone => source.locality.subzone == workload.locality.subzone,
        RoutingScope::Node => source.node == workload.node,
        RoutingScope::Cluster => source.cluster_id == workload.cluster_id,
        RoutingScope::Network => source.network == workload.network,
    }
}

#[cfg(test)]
mod tests;
