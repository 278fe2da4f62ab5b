//! Which endpoint of a destination gets the next connection or attempt.

use std::net::SocketAddr;

use http::StatusCode;
use mesh_model::{AppProtocol, Subset, TunnelProtocol, Workload};
use mesh_state::{Endpoint, balance};
use mesh_telemetry::Party;

use crate::routes::Destination;
use crate::tunnel::Tunnel;

/// An endpoint, and what its port is declared to speak.
pub(crate) struct Chosen {
    pub(crate) endpoint: Endpoint,
    pub(crate) app_protocol: AppProtocol,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEndpoint {
    /// The rule leads nowhere.
    Invalid(StatusCode),
    /// Nobody is there to take it.
    NoneHealthy,
}

/// Chooses an endpoint, if possible none of those tried before.
pub(crate) fn choose(
    tunnel: &Tunnel,
    destination: &Destination,
    tried: &[SocketAddr],
) -> Result<Chosen, NoEndpoint> {
    let snapshot = tunnel.worker.reader.snapshot();
    match destination {
        Destination::Invalid(status) => Err(NoEndpoint::Invalid(*status)),
        Destination::Workload(workload, address) => {
            // It may have been replaced since the tunnel was opened.
            let workload = snapshot.find_workload_by_uid(&workload.uid).ok_or(NoEndpoint::NoneHealthy)?;
            let endpoint = Endpoint {
                address: *address,
                service: None,
                tunnel: workload.tunnel,
                accepted: vec![workload.identity()],
                workload,
            };
            Ok(Chosen { endpoint, app_protocol: tunnel.plan.app_protocol() })
        }
        Destination::Service { service, port, subset } => {
            let me = tunnel.worker.find_me(&snapshot).ok_or(NoEndpoint::NoneHealthy)?;
            let config = snapshot.service_config(service);
            let subset = match subset {
                None => None,
                Some(name) => {
                    let mut declared = config.iter().flat_map(|config| &config.subsets);
                    Some(declared.find(|subset| subset.name == *name).ok_or(NoEndpoint::NoneHealthy)?)
                }
            };
            let service = snapshot.find_service_by_key(service).ok_or(NoEndpoint::NoneHealthy)?;
            let app_protocol = service.find_port(*port).map(|port| port.app_protocol).unwrap_or_default();
            let like = tunnel.target.ip();
            let fresh = |workload: &Workload| {
                includes(subset, workload)
                    && !tried.iter().any(|tried| workload.addresses.contains(&tried.ip()))
            };
            balance::choose(&snapshot, &me, &service, *port, like, fresh)
                .or_else(|| balance::choose(&snapshot, &me, &service, *port, like, |w| includes(subset, w)))
                .map(|endpoint| Chosen { endpoint, app_protocol })
                .ok_or(NoEndpoint::NoneHealthy)
        }
    }
}

/// Whether a workload has all labels of a subset (L7-04).
pub(crate) fn includes(subset: Option<&Subset>, workload: &Workload) -> bool {
    subset.is_none_or(|subset| {
        subset.labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value))
    })
}
