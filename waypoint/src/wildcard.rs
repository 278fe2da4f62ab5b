//! Services whose host is a wildcard (EG-15…18): which of its hosts a request or a connection means, and where that
//! is. Clients choose the name, so it is looked up with care, and what it leads to must be somebody outside.

mod address;
mod host;

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::{LoadBalancingMode, Service, ServicePort};
use mesh_state::{Snapshot, endpoint_of_host, is_guarded_address, is_guarded_service, usable_addresses};

use crate::balance::{Caller, Chosen, NoEndpoint};
use crate::outside::rivals;
use crate::routes::Destination;
use crate::tunnel::Tunnel;
use address::is_own;
use host::{broader_names, host_under};

/// A port of a service that stands for many hosts.
pub(crate) struct Wildcard {
    service: Arc<Service>,
    port: ServicePort,
}

/// The wildcard that a destination is; none if it is a service with endpoints of its own, or one whose traffic goes
/// wherever it was going.
pub(crate) fn find(tunnel: &Tunnel, destination: &Destination) -> Option<Wildcard> {
    let Destination::Service { service, port, .. } = destination else { return None };
    if !service.hostname.starts_with('*') {
        return None;
    }
    let service = tunnel.worker.reader.snapshot().find_service_by_key(service)?;
    let port = *service.find_port(*port)?;
    (service.load_balancing.mode != LoadBalancingMode::Passthrough).then_some(Wildcard { service, port })
}

/// The host that a caller wants, looked up; if possible at an address that was not tried before.
pub(crate) async fn fetch_endpoint(
    tunnel: &Tunnel,
    Wildcard { service, port }: &Wildcard,
    caller: &Caller<'_>,
    tried: &[SocketAddr],
) -> Result<Chosen, NoEndpoint> {
    let asked = caller.authority().and_then(|authority| host_under(&service.key.hostname, authority));
    let host = asked.ok_or(NoEndpoint::OutsideWildcard)?;
    let worker = &tunnel.worker;
    if is_elsewhere(&worker.reader.snapshot(), service, &host) {
        return Err(NoEndpoint::Forbidden);
    }
    // By the wildcard: names that clients choose make as many series as they like.
    worker.on_demand.used(&tunnel.source, &service.key.hostname);
    let addresses = worker.names.fetch_chosen(&host).await;
    let snapshot = worker.reader.snapshot();
    let me = snapshot.find_workload_by_uid(&worker.me.uid).ok_or(NoEndpoint::NoneHealthy)?;
    let mut usable = usable_addresses(&addresses, service.ip_families, tunnel.target.ip());
    if usable.is_empty() {
        return Err(NoEndpoint::NoneHealthy);
    }
    let is_mine = |ip| worker.me.ip == ip || me.addresses.contains(&ip);
    let is_reachable = |ip| worker.settings.reachable.iter().any(|block| block.contains(&ip));
    usable.retain(|ip| {
        !is_mine(*ip)
            && (!is_own(*ip) || is_reachable(*ip))
            && !is_guarded_address(&snapshot, &me.network, *ip)
    });
    let at = |ip| SocketAddr::new(ip, port.target_port);
    let fresh = usable.iter().find(|ip| !tried.contains(&at(**ip)));
    let Some(ip) = fresh.or(usable.first()) else {
        tracing::debug!(%host, ?addresses, "a host has only addresses that no client may choose");
        return Err(NoEndpoint::Forbidden);
    };
    let config = snapshot.service_config(&service.key);
    let races = config.is_some_and(|config| config.race_connections);
    let rivals = if races { rivals(*ip, &usable, port.target_port) } else { Vec::new() };
    let endpoint = Arc::new(endpoint_of_host(service, &host, &me.network, at(*ip)));
    Ok(Chosen { endpoint, app_protocol: port.app_protocol, rivals })
}

/// Whether a host is a service that is judged by rules of its own, or is under a wildcard that is: by this one
/// nobody comes around those.
fn is_elsewhere(snapshot: &Snapshot, wildcard: &Service, host: &str) -> bool {
    let names = broader_names(host).take_while(|name| **name != *wildcard.key.hostname);
    let mut known = names.filter_map(|name| snapshot.find_service_by_host(&name, &*wildcard.key.namespace));
    known.any(|service| is_guarded_service(snapshot, &service))
}
