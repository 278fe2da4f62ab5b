//! What a route is about: requests of HTTP, or whole connections; and which of the two a service port has.

use mesh_model::AppProtocol;

use super::app_protocol;
use crate::cluster::ServicePort;
use crate::objects::Kind;

/// What a route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Requests of HTTP.
    Requests,
    /// Connections that carry no HTTP, as far as anybody can see.
    Streams,
}

impl Layer {
    /// What routes of a kind are about.
    pub(crate) fn of(kind: Kind) -> Layer {
        match kind {
            Kind::TlsRoute | Kind::TcpRoute => Layer::Streams,
            _ => Layer::Requests,
        }
    }

    /// Whether there can be such a thing on a port, by what it declares. On a port that declares nothing there
    /// can be both: the first bytes of a connection tell.
    pub(crate) fn is_on(self, port: &ServicePort) -> bool {
        match declared(port) {
            AppProtocol::Unknown => true,
            AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => self == Layer::Requests,
            AppProtocol::Tls | AppProtocol::Tcp => self == Layer::Streams,
        }
    }
}

/// What a port says it speaks.
pub(super) fn declared(port: &ServicePort) -> AppProtocol {
    app_protocol::declared(port.app_protocol.as_deref(), port.name.as_deref())
}

/// Whether clients may speak gRPC-web on a port.
pub(super) fn is_grpc_web(port: &ServicePort) -> bool {
    app_protocol::is_grpc_web(port.app_protocol.as_deref(), port.name.as_deref())
}
