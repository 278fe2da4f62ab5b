//! What binds a session to an endpoint: a number that follows from the endpoint and from what it was chosen for, so
//! that a session sticks to the backend of a rule too.

use mesh_model::NamespacedHostname;
use mesh_state::Endpoint;
use xxhash_rust::xxh64::xxh64;

use crate::routes::Destination;
use crate::tunnel::Tunnel;

/// The number of an endpoint among those of a service port, or of a subset there.
pub(super) fn bond(
    service: &NamespacedHostname,
    port: u16,
    subset: Option<&str>,
    endpoint: &Endpoint,
) -> u64 {
    let scope = format!("{service}:{port}/{}", subset.unwrap_or_default());
    xxh64(endpoint.workload.uid.0.as_bytes(), xxh64(scope.as_bytes(), 0))
}

/// The number of an endpoint that was chosen for a destination; none where the next choice could not find it again.
pub(crate) fn bond_of(destination: &Destination, endpoint: &Endpoint) -> Option<u64> {
    let Destination::Service { service, port, subset } = destination else { return None };
    // Somebody at an address that a name has now.
    if !endpoint.workload.hostname.is_empty() {
        return None;
    }
    Some(bond(service, *port, subset.as_deref(), endpoint))
}

/// Whether one of a destination's endpoints that take requests has the number.
pub(crate) fn is_bound(tunnel: &Tunnel, destination: &Destination, bond: u64) -> bool {
    let Destination::Service { service, port, subset } = destination else { return false };
    let worker = &tunnel.worker;
    let scope = (service, *port, subset.as_ref(), tunnel.target.is_ipv4());
    let lineup = worker.lineups.find(&worker.reader, &worker.me.uid, scope);
    lineup.is_some_and(|lineup| lineup.is_bound(bond))
}
