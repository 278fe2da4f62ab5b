//! Where a connection goes next: the table of wire.md §2.3 as a pure function
//! of what is known (and of chance, where several endpoints are as good).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::{
    GatewayAddress, GatewayDestination, Identity, LoadBalancingMode, NamespacedHostname, NetworkAddress,
    Service, TunnelProtocol, Workload,
};
use thiserror::Error;

use crate::balance::{candidates_and_names, pick, target_port};
use crate::{Snapshot, waypoint};

/// A connection that wants to go somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Where it comes from; its network is the one `destination` is on.
    pub source: &'a Workload,
    /// The address it was made to.
    pub destination: SocketAddr,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq)]
pub enum NextHop {
    /// To the workload.
    Direct(Endpoint),
    /// To a workload that is known by its host name alone.
    Named(NamedHop),
    /// To a waypoint.
    Waypoint(WaypointHop),
    /// To the edge of another network.
    Gateway(GatewayHop),
    /// To where it was going, as it is.
    Passthrough,
}

/// A workload and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The workload.
    pub workload: Arc<Workload>,
    /// The service it was chosen for, if one was addressed.
    pub service: Option<Arc<Service>>,
    /// Its address and target port; by HBONE the port travels inside.
    pub address: SocketAddr,
    /// How.
    pub tunnel: TunnelProtocol,
    /// Who may answer by mTLS.
    pub accepted: Vec<Identity>,
}

/// A workload without addresses: its host name has to be looked up (DNS-25).
#[derive(Clone, Debug, PartialEq)]
pub struct NamedHop {
    /// The workload.
    pub workload: Arc<Workload>,
    /// The service it was chosen for.
    pub service: Arc<Service>,
    /// Its target port.
    pub port: u16,
}

/// A waypoint on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct WaypointHop {
    /// The chosen waypoint.
    pub waypoint: Arc<Workload>,
    /// Its HBONE address.
    pub address: SocketAddr,
    /// What to ask it for: the original destination.
    pub target: SocketAddr,
    /// Who may answer.
    pub accepted: Vec<Identity>,
    /// The addressed service; none if a workload was.
    pub service: Option<Arc<Service>>,
}

/// The edge of another network: a tunnel to it, and in that a tunnel to an endpoint of its choice.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayHop {
    /// The gateway.
    pub gateway: Arc<Workload>,
    /// Its HBONE address.
    pub address: SocketAddr,
    /// The addressed service: both tunnels ask for its host name and `port`.
    pub service: Arc<Service>,
    /// The service port.
    pub port: u16,
    /// Who may answer the outer tunnel.
    pub outer_accepted: Vec<Identity>,
    /// Who may answer the inner tunnel.
    pub inner_accepted: Vec<Identity>,
}

/// Why a connection can go nowhere.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResolveError {
    /// The port is not declared.
    #[error("service {service} has no port {port}")]
    UnknownPort {
        /// The addressed service.
        service: NamespacedHostname,
        /// The port asked for.
        port: u16,
    },
    /// Nobody takes it.
    #[error("service {service} has no healthy endpoint for port {port}")]
    NoEndpoint {
        /// The addressed service.
        service: NamespacedHostname,
        /// The port asked for.
        port: u16,
    },
    /// The waypoint cannot be used.
    #[error("waypoint {0} is not known or has no healthy endpoint")]
    NoWaypoint(GatewayDestination),
    /// The way to another network cannot be used.
    #[error("network gateway {0} is not known or has no healthy endpoint")]
    NoGateway(GatewayDestination),
    /// Only services reach across networks.
    #[error("{0} is on another network, which only services reach")]
    OtherNetwork(GatewayDestination),
}

impl NamedHop {
    /// The workload at an address its host name has.
    pub fn at(&self, ip: IpAddr) -> Endpoint {
        Endpoint::of(&self.workload, Some(&self.service), SocketAddr::new(ip.to_canonical(), self.port))
    }
}

impl Endpoint {
    pub(crate) fn of(workload: &Arc<Workload>, service: Option<&Arc<Service>>, address: SocketAddr) -> Self {
        Endpoint {
            workload: workload.clone(),
            service: service.cloned(),
            address,
            tunnel: workload.tunnel,
            accepted: accepted(workload, service.map(|service| &**service)),
        }
    }
}

/// Where a connection goes next.
pub fn resolve(snapshot: &Snapshot, query: Query<'_>) -> Result<NextHop, ResolveError> {
    let ip = query.destination.ip().to_canonical();
    let query = Query { destination: SocketAddr::new(ip, query.destination.port()), ..query };
    let address = NetworkAddress::new(query.source.network.clone(), ip);
    if let Some(workload) = snapshot.workloads.at(&address) {
        return to_workload(snapshot, query, workload);
    }
    match snapshot.services.at(&address, Some(&query.source.namespace)) {
        Some(service) => to_service(snapshot, query, service),
        None => Ok(NextHop::Passthrough),
    }
}

fn to_workload(
    snapshot: &Snapshot,
    query: Query<'_>,
    workload: &Arc<Workload>,
) -> Result<NextHop, ResolveError> {
    // A waypoint that calls a workload it serves has been traversed already (WP-10).
    let waypoint = workload.waypoint.as_ref();
    match waypoint.filter(|gateway| !waypoint::leads_to(snapshot, gateway, query.source)) {
        Some(gateway) => through_waypoint(snapshot, query, gateway, None),
        None => Ok(NextHop::Direct(Endpoint::of(workload, None, query.destination))),
    }
}

fn to_service(
    snapshot: &Snapshot,
    query: Query<'_>,
    service: &Arc<Service>,
) -> Result<NextHop, ResolveError> {
    let passthrough = service.load_balancing.mode == LoadBalancingMode::Passthrough;
    let port = query.destination.port();
    if !passthrough && service.find_port(port).is_none() {
        return Err(ResolveError::UnknownPort { service: service.key.clone(), port });
    }
    if let Some(gateway) = waypoint::of_service(service) {
        return through_waypoint(snapshot, query, gateway, Some(service));
    }
    if passthrough {
        return Ok(NextHop::Passthrough);
    }
    let like = query.destination.ip();
    let port_of = |workload: &Workload| target_port(service, workload, port);
    let near = |workload: &Workload| workload.network == query.source.network;
    let candidates = candidates_and_names(snapshot, service, like, near, port_of);
    let chosen = pick(&service.load_balancing, query.source, candidates, |candidate| candidate.workload)
        .ok_or_else(|| ResolveError::NoEndpoint { service: service.key.clone(), port })?;
    match chosen.ip {
        Some(ip) => {
            let address = SocketAddr::new(ip, chosen.port);
            Ok(NextHop::Direct(Endpoint::of(chosen.workload, Some(service), address)))
        }
        None if chosen.named => Ok(NextHop::Named(NamedHop {
            workload: chosen.workload.clone(),
            service: service.clone(),
            port: chosen.port,
        })),
        None => through_gateway(snapshot, query, chosen.workload, service, service.subject_alt_names.clone()),
    }
}

fn through_waypoint(
    snapshot: &Snapshot,
    query: Query<'_>,
    gateway: &GatewayAddress,
    service: Option<&Arc<Service>>,
) -> Result<NextHop, ResolveError> {
    let near = |workload: &Workload| workload.network == query.source.network;
    let located = waypoint::locate(snapshot, query, gateway, near)
        .ok_or_else(|| ResolveError::NoWaypoint(gateway.destination.clone()))?;
    let accepted = accepted(located.workload, located.service.map(|service| &**service));
    match (located.ip, service) {
        (Some(ip), _) => Ok(NextHop::Waypoint(WaypointHop {
            waypoint: located.workload.clone(),
            address: SocketAddr::new(ip, located.port),
            target: query.destination,
            accepted,
            service: service.cloned(),
        })),
        (None, Some(service)) => through_gateway(snapshot, query, located.workload, service, accepted),
        (None, None) => Err(ResolveError::OtherNetwork(gateway.destination.clone())),
    }
}

/// To a workload on another network, for a service.
fn through_gateway(
    snapshot: &Snapshot,
    query: Query<'_>,
    workload: &Workload,
    service: &Arc<Service>,
    inner_accepted: Vec<Identity>,
) -> Result<NextHop, ResolveError> {
    let port = query.destination.port();
    let gateway = workload.network_gateway.as_ref();
    let gateway = gateway.ok_or_else(|| ResolveError::NoEndpoint { service: service.key.clone(), port })?;
    // The edge of another network is reached by its address, whatever network it is on.
    let (located, ip) = waypoint::locate(snapshot, query, gateway, |_| true)
        .and_then(|located| located.ip.map(|ip| (located, ip)))
        .ok_or_else(|| ResolveError::NoGateway(gateway.destination.clone()))?;
    Ok(NextHop::Gateway(GatewayHop {
        gateway: located.workload.clone(),
        address: SocketAddr::new(ip, located.port),
        service: service.clone(),
        port,
        outer_accepted: accepted(located.workload, located.service.map(|service| &**service)),
        inner_accepted,
    }))
}

/// A workload's own identity and those its service declares (LB-20).
fn accepted(workload: &Workload, service: Option<&Service>) -> Vec<Identity> {
    let mut accepted = vec![workload.identity()];
    accepted.extend(service.into_iter().flat_map(|service| service.subject_alt_names.iter().cloned()));
    accepted
}

#[cfg(test)]
mod tests;
