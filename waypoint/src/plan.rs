//! What the target of a tunnel means to this waypoint: a pure function of what
//! is known. It takes what is attached to it and nothing else (WP-14, SEC-15).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mesh_hbone::{StatusCode, Target};
use mesh_model::{AppProtocol, NetworkAddress, Service, ServicePort, Workload};
use mesh_state::{Served, Snapshot, balance, find_recently_served, find_served};
use thiserror::Error;

/// Ports of the mesh itself, which nothing may be tunnelled to (HB-11).
const RESERVED_PORTS: [u16; 3] = [15001, 15006, 15008];

/// What a tunnel is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// A service, on one of its declared ports.
    Service(Arc<Service>, ServicePort),
    /// One workload, by its own address; what is spoken there, if a service says so.
    Workload(Arc<Workload>, AppProtocol),
}

/// Why a tunnel is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Host names are for gateways between networks.
    #[error("{0} is a host name; a waypoint takes addresses")]
    Hostname(Target),
    /// It would lead back into the mesh's own machinery.
    #[error("port {0} is reserved for the mesh")]
    ReservedPort(u16),
    /// It is not ours.
    #[error("{0} is not attached to this waypoint")]
    NotAttached(SocketAddr),
    /// The service does not have it.
    #[error("service {service} has no port {port}")]
    UndeclaredPort { service: String, port: u16 },
}

impl Refusal {
    /// What the far end is told.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::Hostname(_) => StatusCode::BAD_REQUEST,
            Refusal::ReservedPort(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NotAttached(_) | Refusal::UndeclaredPort { .. } => StatusCode::NOT_FOUND,
        }
    }

    /// Whether news from the controller may change it.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Refusal::Hostname(_) | Refusal::ReservedPort(_) => false,
            Refusal::NotAttached(_) | Refusal::UndeclaredPort { .. } => true,
        }
    }
}

impl Plan {
    /// What to do with a tunnel to `target`.
    pub(crate) fn make(snapshot: &Snapshot, me: &Workload, target: &Target) -> Result<Plan, Refusal> {
        let Target::Address(address) = *target else { return Err(Refusal::Hostname(target.clone())) };
        if RESERVED_PORTS.contains(&address.port()) {
            return Err(Refusal::ReservedPort(address.port()));
        }
        let place = NetworkAddress::new(me.network.clone(), address.ip());
        let served = find_served(snapshot, me, &place)
            .or_else(|| find_recently_served(snapshot, me, &place, Instant::now()));
        match served {
            Some(Served::Service(service)) => match service.find_port(address.port()).copied() {
                Some(port) => Ok(Plan::Service(service, port)),
                None => {
                    Err(Refusal::UndeclaredPort { service: service.key.to_string(), port: address.port() })
                }
            },
            Some(Served::Workload(workload)) => {
                let spoken = spoken_on(snapshot, &workload, address.port());
                Ok(Plan::Workload(workload, spoken))
            }
            None => Err(Refusal::NotAttached(address)),
        }
    }

    /// What is spoken, as far as it is declared.
    pub(crate) fn app_protocol(&self) -> AppProtocol {
        match self {
            Plan::Service(_, port) => port.app_protocol,
            Plan::Workload(_, spoken) => *spoken,
        }
    }

    /// The service, if one was addressed.
    pub(crate) fn service(&self) -> Option<&Arc<Service>> {
        match self {
            Plan::Service(service, _) => Some(service),
            Plan::Workload(..) => None,
        }
    }
}

/// What the services in front of a workload say of one of its ports.
fn spoken_on(snapshot: &Snapshot, workload: &Workload, port: u16) -> AppProtocol {
    let services = workload.services.keys().filter_map(|key| snapshot.find_service_by_key(key));
    let mut declared = services.flat_map(|service| {
        let leads_here = |declared: &ServicePort| {
            balance::target_port(&service, workload, declared.service_port) == Some(port)
        };
        service.ports.iter().copied().filter(leads_here).map(|port| port.app_protocol).collect::<Vec<_>>()
    });
    declared.find(|protocol| *protocol != AppProtocol::Unknown).unwrap_or_default()
}

#[cfg(test)]
mod tests;
