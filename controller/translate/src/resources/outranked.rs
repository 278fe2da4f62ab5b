//! Routes that have no say on a port because a route of another kind has: of several kinds on one port of a service
//! one decides, for the same callers (api.md §4.5).

use crate::cluster::{Cluster, Name, Route, ServiceObject};
use crate::objects::Kind;

use super::layer::Layer;
use super::service_config::{attached_ports, namespaces_in_force};

/// The kinds of routes, in the order in which they decide.
pub(super) const BY_PRECEDENCE: [Kind; 4] =
    [Kind::GrpcRoute, Kind::HttpRoute, Kind::TlsRoute, Kind::TcpRoute];

/// The route that decides on that port of a service instead of `route`; of several of its kind the oldest.
pub(crate) fn outranking<'a>(
    cluster: &'a Cluster,
    object: ServiceObject<'_>,
    (at, route): (&Name, &Route),
    port: u16,
) -> Option<(Kind, &'a Name)> {
    let producing = namespaces_in_force(cluster, object);
    // Routes of other namespaces count for the callers there alone.
    let callers = |at: &Name| (!producing.contains(&at.namespace)).then(|| at.namespace.clone());
    let concerned = callers(at);
    let declared = object.ports().iter().find(|it| it.number == port)?;
    let mut higher = BY_PRECEDENCE.into_iter().take_while(|kind| *kind != route.kind);
    higher.find_map(|kind| {
        // A route for requests does not keep a route for connections from a port that has no requests.
        if !route.is_for_requests() && !Layer::of(kind).is_on(declared) {
            return None;
        }
        let here = cluster.routes().filter(|(other, it)| {
            it.kind == kind
                && callers(other) == concerned
                && attached_ports(object, other, it).contains(&port)
        });
        here.min_by_key(|(other, it)| (it.facts.created, *other)).map(|(other, _)| (kind, other))
    })
}
