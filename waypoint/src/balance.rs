//! Which endpoint of a destination gets the next connection or attempt.

mod bond;
mod caller;
mod cycle;
mod draw;
mod group;
mod groups;
mod lineup;
mod locality;
mod maglev;
mod outcome;
mod outlier;
mod record;
mod ring;
mod shares;
mod table;
mod unwell;
mod warmup;

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use mesh_model::{AppProtocol, NamespacedHostname, TunnelProtocol};
use mesh_state::{Endpoint, Reader};
use mesh_telemetry::Party;
use thiserror::Error;

use crate::routes::Destination;
use crate::tunnel::Tunnel;
use crate::worker::Me;
pub(crate) use bond::{bond_of, is_bound};
pub(crate) use caller::{Caller, find_cookie};
pub(crate) use group::LeftOut;
pub(crate) use groups::{Groups, Lineups};
pub(crate) use lineup::includes;
pub(crate) use outcome::Outcome;
pub(crate) use record::OnItsWay;

/// An endpoint, and what its port is declared to speak.
pub(crate) struct Chosen {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) app_protocol: AppProtocol,
    /// Other addresses of the same host, where the one counts that answers first.
    pub(crate) rivals: Vec<SocketAddr>,
}

impl Chosen {
    pub(crate) fn new(endpoint: Arc<Endpoint>, app_protocol: AppProtocol) -> Chosen {
        Chosen { endpoint, app_protocol, rivals: Vec::new() }
    }
}

/// An endpoint as reports name it; who it is, is proven only by HBONE.
pub(crate) fn party_of(endpoint: &Endpoint) -> Party {
    let proven = endpoint.tunnel == TunnelProtocol::Hbone;
    Party {
        workload: Some(endpoint.workload.clone()),
        identity: proven.then(|| endpoint.workload.identity()),
    }
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoEndpoint {
    /// The rule leads nowhere.
    #[error("its rule leads to a backend that does not exist")]
    Invalid(StatusCode),
    /// Nobody is there to take it.
    #[error("no healthy endpoint")]
    NoneHealthy,
    /// The service is a wildcard, and who asks wants no host that it stands for.
    #[error("it asks for no host that the wildcard stands for")]
    OutsideWildcard,
    /// The service is a wildcard, and the host is one that nobody may reach by it.
    #[error(
        "the host it asks for is part of the mesh or of this machine; ask for it by its own name or address"
    )]
    Forbidden,
}

/// Chooses an endpoint of a service port for the waypoint's own requests.
pub(crate) fn choose_for_me(
    lineups: &Lineups,
    reader: &Reader,
    me: &Me,
    (service, port): (&NamespacedHostname, u16),
) -> Option<(Chosen, OnItsWay)> {
    let lineup = lineups.find(reader, &me.uid, (service, port, None, me.ip.is_ipv4()))?;
    let (endpoint, on_its_way) = lineup.choose(&mut Caller::new(me.ip, None), &[])?;
    Some((Chosen::new(endpoint, lineup.app_protocol), on_its_way))
}

/// Chooses an endpoint for a caller, if possible none of those tried before. While the second value lives, it
/// counts as busy with the caller.
pub(crate) fn choose(
    tunnel: &Tunnel,
    destination: &Destination,
    caller: &mut Caller<'_>,
    tried: &[SocketAddr],
) -> Result<(Chosen, OnItsWay), NoEndpoint> {
    let worker = &tunnel.worker;
    match destination {
        Destination::Invalid(status) => Err(NoEndpoint::Invalid(*status)),
        Destination::Workload(workload, address) => {
            // It may have been replaced since the tunnel was opened.
            let snapshot = worker.reader.snapshot();
            let workload = snapshot.find_workload_by_uid(&workload.uid).ok_or(NoEndpoint::NoneHealthy)?;
            let endpoint = Endpoint {
                address: *address,
                service: None,
                tunnel: workload.tunnel,
                accepted: vec![workload.identity()],
                workload,
            };
            let app_protocol = tunnel.plan.app_protocol();
            Ok((Chosen::new(Arc::new(endpoint), app_protocol), OnItsWay::default()))
        }
        Destination::Service { service, port, subset } => {
            let scope = (service, *port, subset.as_ref(), tunnel.target.is_ipv4());
            let lineup = worker.lineups.find(&worker.reader, &worker.me.uid, scope);
            let lineup = lineup.ok_or(NoEndpoint::NoneHealthy)?;
            let (endpoint, on_its_way) = lineup.choose(caller, tried).ok_or(NoEndpoint::NoneHealthy)?;
            Ok((Chosen::new(endpoint, lineup.app_protocol), on_its_way))
        }
    }
}
