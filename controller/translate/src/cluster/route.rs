//! Routes of the Gateway API for requests and for connections, whichever their kind.

use gateway_api::experimental::httproutes::HttpRouteSpec;

use super::Cluster;
use super::table::{Facts, Kept, Name};
use crate::objects::{self, Kind, grpc_route_as_http, stream_route_as_http};

/// What is used of a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    /// Which kind of route it is.
    pub(crate) kind: Kind,
    pub(crate) facts: Facts,
    /// A route of another kind is kept as the HTTPRoute that says the same.
    pub(crate) spec: HttpRouteSpec,
}

impl From<objects::HttpRoute> for Route {
    fn from(object: objects::HttpRoute) -> Self {
        let Kept { facts, spec } = Kept::new(&object.metadata, object.spec);
        Route { kind: Kind::HttpRoute, facts, spec }
    }
}

impl From<objects::GrpcRoute> for Route {
    fn from(object: objects::GrpcRoute) -> Self {
        let Kept { facts, spec } = Kept::new(&object.metadata, grpc_route_as_http(&object.spec));
        Route { kind: Kind::GrpcRoute, facts, spec }
    }
}

impl From<objects::TlsRoute> for Route {
    fn from(object: objects::TlsRoute) -> Self {
        let Kept { facts, spec } = Kept::new(&object.metadata, stream_route_as_http(&object.spec));
        Route { kind: Kind::TlsRoute, facts, spec }
    }
}

impl From<objects::TcpRoute> for Route {
    fn from(object: objects::TcpRoute) -> Self {
        let Kept { facts, spec } = Kept::new(&object.metadata, stream_route_as_http(&object.spec));
        Route { kind: Kind::TcpRoute, facts, spec }
    }
}

impl Route {
    /// It is about requests; the others are about connections.
    pub(crate) fn is_for_requests(&self) -> bool {
        matches!(self.kind, Kind::HttpRoute | Kind::GrpcRoute)
    }
}

impl Cluster {
    /// The routes of all kinds.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&Name, &Route)> {
        let for_requests = self.http_routes.iter().chain(self.grpc_routes.iter());
        for_requests.chain(self.tls_routes.iter()).chain(self.tcp_routes.iter())
    }

    pub(crate) fn find_route(&self, kind: Kind, name: &Name) -> Option<&Route> {
        match kind {
            Kind::HttpRoute => self.http_routes.get(name),
            Kind::GrpcRoute => self.grpc_routes.get(name),
            Kind::TlsRoute => self.tls_routes.get(name),
            Kind::TcpRoute => self.tcp_routes.get(name),
            _ => None,
        }
    }
}
