//! Endpoints of ServiceEntries whose addresses the mesh does not say: those known by host names alone (resolution
//! DNS), and whoever is where a connection was going (resolution NONE). Asked for where no other takes the traffic.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::AppProtocol;
use mesh_state::{Endpoint, NamedHop, choose_named, original_destination, usable_addresses};

use crate::balance::{Caller, Chosen, NoEndpoint, OnItsWay, choose, includes};
use crate::routes::Destination;
use crate::tunnel::Tunnel;

/// An endpoint for a caller, looked up by its name if it has to be; if possible one that was not tried before. While
/// the second value lives, the endpoint counts as busy with the caller.
pub(crate) async fn fetch_endpoint(
    tunnel: &Tunnel,
    destination: &Destination,
    caller: &mut Caller<'_>,
    tried: &[SocketAddr],
) -> Result<(Chosen, OnItsWay), NoEndpoint> {
    match choose(tunnel, destination, caller, tried) {
        // Most endpoints are known, and all requests would carry the room that looking up takes.
        Err(none) => Ok((Box::pin(fetch(tunnel, destination, tried, none)).await?, OnItsWay::default())),
        chosen => chosen,
    }
}

/// An endpoint where there is `none` with an address of its own.
async fn fetch(
    tunnel: &Tunnel,
    destination: &Destination,
    tried: &[SocketAddr],
    none: NoEndpoint,
) -> Result<Chosen, NoEndpoint> {
    let (hop, app_protocol) = match find(tunnel, destination, none)? {
        (Found::Endpoint(endpoint), app_protocol) => {
            return Ok(Chosen { endpoint: Arc::new(endpoint), app_protocol });
        }
        (Found::Named(hop), app_protocol) => (hop, app_protocol),
    };
    let host = &hop.workload.hostname;
    tunnel.worker.on_demand.used(&tunnel.source, host);
    let addresses = tunnel.worker.names.fetch(host).await;
    let usable = usable_addresses(&addresses, hop.service.ip_families, tunnel.target.ip());
    let fresh = usable.iter().find(|ip| !tried.contains(&SocketAddr::new(**ip, hop.port)));
    let address = fresh.or(usable.first()).ok_or(none)?;
    Ok(Chosen { endpoint: Arc::new(hop.at(*address)), app_protocol })
}

enum Found {
    Endpoint(Endpoint),
    /// To be looked up.
    Named(NamedHop),
}

fn find(
    tunnel: &Tunnel,
    destination: &Destination,
    none: NoEndpoint,
) -> Result<(Found, AppProtocol), NoEndpoint> {
    let (Destination::Service { service, port, subset }, NoEndpoint::NoneHealthy) = (destination, none)
    else {
        return Err(none);
    };
    let snapshot = tunnel.worker.reader.snapshot();
    let me = snapshot.find_workload_by_uid(&tunnel.worker.me.uid).ok_or(none)?;
    let config = snapshot.service_config(service);
    let part = match subset {
        None => None,
        Some(name) => {
            let mut declared = config.iter().flat_map(|config| &config.subsets);
            Some(declared.find(|part| part.name == *name).ok_or(none)?)
        }
    };
    let service = snapshot.find_service_by_key(service).ok_or(none)?;
    let app_protocol = service.find_port(*port).map(|port| port.app_protocol).unwrap_or_default();
    // Whoever was going elsewhere and was routed here says nothing of where here is.
    let addressed = tunnel.plan.service().is_some_and(|addressed| addressed.key == service.key);
    if let Some(endpoint) =
        original_destination(&snapshot, &me, &service, tunnel.target).filter(|_| addressed && part.is_none())
    {
        return Ok((Found::Endpoint(endpoint), app_protocol));
    }
    let hop = choose_named(&snapshot, &me, &service, *port, |workload| includes(part, workload));
    Ok((Found::Named(hop.ok_or(none)?), app_protocol))
}
