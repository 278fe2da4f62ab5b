//! What can go wrong with a tunnel: one variant for each thing its user does about it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use mesh_identity::IdentityError;
use mesh_identity::tls::PeerError;

/// Why a TLS handshake did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer took too long.
    #[error("the TLS handshake did not end within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The peer is not one we talk to (HB-20, HB-21).
    #[error(transparent)]
    Refused(#[from] PeerError),
    /// The peer did not want us, or it was not TLS.
    #[error("the TLS handshake failed: {0}")]
    Failed(Arc<io::Error>),
}

/// Why there is no connection to carry a tunnel.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// We have no certificate for the source.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The TCP connection failed.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The next hop.
        address: SocketAddr,
        /// What the kernel says.
        source: Arc<io::Error>,
    },
    /// Nothing answered the TCP connection.
    #[error("no answer from {address} within {} s; a NetworkPolicy may block HBONE port {}", after.as_secs(), address.port())]
    ConnectTimeout {
        /// The next hop.
        address: SocketAddr,
        /// How long we waited.
        after: Duration,
    },
    /// The handshake failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why there is no tunnel.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection to carry it.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer speaks TLS but not HTTP/2.
    #[error("the HTTP/2 handshake failed: {0}")]
    Http2(Arc<h2::Error>),
    /// The far end answered no (HB-10).
    #[error("the far end refused the tunnel: {0}")]
    Refused(StatusCode),
    /// The connection or the stream ended before the answer.
    #[error("the connection to the far end was lost before it answered: {0}")]
    Lost(Arc<h2::Error>),
    /// The far end did not answer.
    #[error("the far end did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The request cannot be sent at all.
    #[error("the request cannot be sent: {0}")]
    Request(String),
}

/// Why serving a connection ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The peer did not begin with HTTP/2 in time.
    #[error("the HTTP/2 handshake did not end within {} s", .0.as_secs())]
    HandshakeTimeout(Duration),
    /// The peer broke the protocol, or the connection broke.
    #[error("the connection failed: {0}")]
    Failed(#[from] h2::Error),
    /// The peer did not answer a PING (HB-18).
    #[error("the peer did not answer a ping within {} s", .0.as_secs())]
    Silent(Duration),
}

/// The same failure for those who read and write.
pub(crate) fn to_io(error: h2::Error) -> io::Error {
    match error.get_io() {
        Some(cause) => io::Error::new(cause.kind(), error),
        None if error.is_reset() || error.is_go_away() => {
            io::Error::new(io::ErrorKind::ConnectionReset, error)
        }
        // What h2 calls a mistake of its user: sending on a stream that is no more.
        None => io::Error::new(io::ErrorKind::ConnectionReset, "the far end has ended the tunnel"),
    }
}
