//! Where a request for a tunnel leads, or why it leads nowhere (wire.md §2.4):
//! pure, from the request and what is known of the mesh.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mesh_hbone::{StatusCode, Target};
use mesh_model::{ApplicationTunnel, ApplicationTunnelProtocol, Service, Workload};
use mesh_state::balance::target_port;
use mesh_state::{Snapshot, serves_as_waypoint_for};
use thiserror::Error;

use crate::ports;

/// A request that arrived at a pod.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// The pod.
    pub(crate) local: &'a Workload,
    /// The address its tunnel connection was made to.
    pub(crate) address: IpAddr,
    /// What it asks for.
    pub(crate) target: &'a Target,
    /// Application tunnels are delivered on the loopback address.
    pub(crate) localhost: bool,
}

/// Where a request leads.
#[derive(Debug, PartialEq)]
pub(crate) struct Delivery {
    /// As policies see it: the pod's own address and port (L4-11).
    pub(crate) destination: SocketAddr,
    /// Where to connect.
    pub(crate) upstream: SocketAddr,
    /// The destination a PROXY header has to name; none: no header.
    pub(crate) announced: Option<SocketAddr>,
    /// The service that was asked for by name.
    pub(crate) service: Option<Arc<Service>>,
}

/// Why a request leads nowhere.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum Refusal {
    /// HB-05.
    #[error("ip mismatch: the tunnel was made to {address}, the request is for {target}")]
    OtherAddress { address: IpAddr, target: SocketAddr },
    #[error("the controller has not named this pod's workload")]
    UnknownWorkload,
    #[error("no service is known by the name {0}")]
    UnknownService(Arc<str>),
    #[error("service {hostname} does not lead port {port} to this pod")]
    UnknownPort { hostname: Arc<str>, port: u16 },
    #[error("service {0} has no address a PROXY header could name")]
    NoServiceAddress(Arc<str>),
    /// HB-11.
    #[error("port {0} is the proxy's own")]
    ReservedPort(u16),
}

impl Refusal {
    /// What the far end is told.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::OtherAddress { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The checks in their order.
pub(crate) fn deliver(snapshot: &Snapshot, arrival: Arrival<'_>) -> Result<Delivery, Refusal> {
    let delivery = match arrival.local.application_tunnel {
        Some(tunnel) => through_application_tunnel(snapshot, arrival, tunnel)?,
        None => to_pod(snapshot, arrival)?,
    };
    match delivery.destination.port() {
        port if ports::is_reserved(port) => Err(Refusal::ReservedPort(port)),
        _ => Ok(delivery),
    }
}

fn to_pod(snapshot: &Snapshot, arrival: Arrival<'_>) -> Result<Delivery, Refusal> {
    let Arrival { local, address, target, .. } = arrival;
    let (port, service) = match target {
        Target::Address(asked) => {
            if asked.ip() != address && !serves_as_waypoint_for(snapshot, local, asked.ip()) {
                return Err(Refusal::OtherAddress { address, target: *asked });
            }
            (asked.port(), None)
        }
        Target::Hostname(hostname, port) => {
            let service = find_service(snapshot, local, hostname)?;
            let unknown = || Refusal::UnknownPort { hostname: Arc::clone(hostname), port: *port };
            (target_port(&service, local, *port).ok_or_else(unknown)?, Some(service))
        }
    };
    let destination = SocketAddr::new(address, port);
    Ok(Delivery { destination, upstream: destination, announced: None, service })
}

/// The pod is a proxy itself: it may be asked for anything and is told what it was (HB-24).
fn through_application_tunnel(
    snapshot: &Snapshot,
    arrival: Arrival<'_>,
    tunnel: ApplicationTunnel,
) -> Result<Delivery, Refusal> {
    let Arrival { local, address, target, localhost } = arrival;
    let port = if tunnel.port == 0 { target.port() } else { tunnel.port };
    let destination = SocketAddr::new(address, port);
    if tunnel.protocol == ApplicationTunnelProtocol::None {
        return Ok(Delivery { destination, upstream: destination, announced: None, service: None });
    }
    let (announced, service) = match target {
        Target::Address(asked) => (*asked, None),
        Target::Hostname(hostname, port) => {
            let service = find_service(snapshot, local, hostname)?;
            let no_address = || Refusal::NoServiceAddress(Arc::clone(hostname));
            let address = address_on(&service, &local.network).ok_or_else(no_address)?;
            (SocketAddr::new(address, *port), Some(service))
        }
    };
    let loopback: IpAddr =
        if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let upstream = SocketAddr::new(if localhost { loopback } else { address }, port);
    Ok(Delivery { destination, upstream, announced: Some(announced), service })
}

fn find_service(snapshot: &Snapshot, local: &Workload, hostname: &Arc<str>) -> Result<Arc<Service>, Refusal> {
    let found = snapshot.find_service_by_host(hostname, &*local.namespace);
    found.ok_or_else(|| Refusal::UnknownService(Arc::clone(hostname)))
}

/// IPv4 first.
fn address_on(service: &Service, network: &str) -> Option<IpAddr> {
    let own = service.addresses.iter().filter(|address| *address.network == *network);
    own.map(|address| address.ip).min_by_key(IpAddr::is_ipv6)
}
