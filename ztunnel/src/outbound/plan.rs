//! What to do with a captured connection: pure, from its addresses and what is
//! known of the mesh (wire.md §2.3). The files beside this one carry it out.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_hbone::Target;
use mesh_model::{Identity, NamespacedHostname, Service, TunnelProtocol, Workload};
use mesh_net::addr::{LocalAddress, OriginalDestination};
use mesh_state::{Endpoint, NamedHop, NextHop, Query, ResolveError, Snapshot, WaypointHop, resolve};
use thiserror::Error;

use crate::ports;

/// A connection as it was captured.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The pod's workload.
    pub(crate) source: &'a Workload,
    /// Where the client wants to go.
    pub(crate) destination: OriginalDestination,
    /// The pod's own address that the listener took it at; none where the client's destination was left as it was.
    pub(crate) listener: Option<LocalAddress>,
}

/// What to do with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    Plain(Plain),
    Tunnel(Tunnel),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Carry(Plan),
    /// Look up the name of the workload, and then [`at`] says what to do (DNS-25).
    LookUp(NamedHop),
}

/// Carry it as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plain {
    pub(crate) to: SocketAddr,
    pub(crate) workload: Option<Arc<Workload>>,
    pub(crate) service: Option<Arc<Service>>,
}

/// Carry it in a tunnel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tunnel {
    /// Where the tunnel's connection goes.
    pub(crate) next_hop: SocketAddr,
    /// Who is there.
    pub(crate) workload: Arc<Workload>,
    /// Who may answer.
    pub(crate) accepted: Vec<Identity>,
    /// What the far end is asked for.
    pub(crate) target: Target,
    /// The service the client addressed.
    pub(crate) service: Option<Arc<Service>>,
}

/// Why it is closed.
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum Refused {
    /// SEC-01.
    #[error("{0} is the proxy's own; a connection to it would go round in circles")]
    Loop(SocketAddr),
    /// Nobody can take it.
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
    /// Only a tunnel inside a tunnel gets there.
    #[error("service {0} is on another network, which this version does not reach")]
    OtherNetwork(NamespacedHostname),
}

/// The decision.
pub(crate) fn plan(snapshot: &Snapshot, call: Call<'_>) -> Result<Step, Refused> {
    let destination = call.destination.0;
    if is_own_listener(call) {
        return Err(Refused::Loop(destination));
    }
    Ok(Step::Carry(match resolve(snapshot, Query { source: call.source, destination })? {
        NextHop::Passthrough => Plan::Plain(Plain { to: destination, workload: None, service: None }),
        NextHop::Direct(endpoint) => direct(endpoint),
        NextHop::Named(hop) => return Ok(Step::LookUp(hop)),
        NextHop::Waypoint(hop) => Plan::Tunnel(through_waypoint(hop)),
        NextHop::Gateway(hop) => return Err(Refused::OtherNetwork(hop.service.key.clone())),
    }))
}

/// One of ztunnel's listeners in this very pod, under whatever address the client used.
fn is_own_listener(call: Call<'_>) -> bool {
    let destination = call.destination.0;
    let ip = destination.ip();
    let taken_there = call.listener.is_some_and(|listener| ip == listener.0.ip());
    let own = ip.is_loopback() || taken_there || call.source.addresses.contains(&ip);
    own && ports::is_reserved(destination.port())
}

/// What to do now that the name of a workload has an address.
pub(crate) fn at(ip: IpAddr, hop: &NamedHop, call: Call<'_>) -> Result<Plan, Refused> {
    let endpoint = hop.at(ip);
    let call = Call { destination: OriginalDestination::new(endpoint.address), ..call };
    if is_own_listener(call) {
        return Err(Refused::Loop(endpoint.address));
    }
    Ok(direct(endpoint))
}

fn direct(endpoint: Endpoint) -> Plan {
    let Endpoint { workload, service, address, tunnel, accepted } = endpoint;
    match tunnel {
        TunnelProtocol::Tcp => Plan::Plain(Plain { to: address, workload: Some(workload), service }),
        TunnelProtocol::Hbone => Plan::Tunnel(Tunnel {
            next_hop: SocketAddr::new(address.ip(), ports::HBONE),
            workload,
            accepted,
            target: Target::from(address),
            service,
        }),
    }
}

fn through_waypoint(hop: WaypointHop) -> Tunnel {
    let WaypointHop { waypoint, address, target, accepted, service } = hop;
    Tunnel { next_hop: address, workload: waypoint, accepted, target: Target::from(target), service }
}
