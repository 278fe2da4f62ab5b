//! What can go wrong with a tunnel: one variant for each thing its user does about it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use mesh_frames::{ProtocolError, Reason};
use mesh_identity::IdentityError;
use mesh_identity::tls::PeerError;
use mesh_record::RecordError;

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
    Http2(Broken),
    /// The far end answered no (HB-10).
    #[error("the far end refused the tunnel: {0}")]
    Refused(StatusCode),
    /// The connection or the stream ended before the answer.
    #[error("the connection to the far end was lost before it answered: {0}")]
    Lost(Broken),
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
    Failed(#[from] Broken),
    /// The peer did not answer a PING (HB-18).
    #[error("the peer did not answer a ping within {} s", .0.as_secs())]
    Silent(Duration),
}

/// Why a stream, or the connection with all its streams, ended before its time.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Broken {
    /// The far end ended the stream at once.
    #[error("the far end reset the stream: {0}")]
    Reset(Reason),
    /// The far end is closing the connection and has not looked at the stream.
    #[error("the far end is closing the connection: {0}")]
    GoAway(Reason),
    /// The far end broke the rules of the stream.
    #[error("the far end sent what the stream does not allow")]
    Malformed,
    /// The far end broke the rules of the connection.
    #[error("the far end broke HTTP/2: {0}")]
    Protocol(#[from] ProtocolError),
    /// The far end, or somebody in between, broke the encryption.
    #[error(transparent)]
    Record(RecordError),
    /// The network failed.
    #[error("the connection failed: {0}")]
    Io(Arc<io::Error>),
    /// We had said that nothing more comes.
    #[error("nothing can be sent after the end")]
    Ended,
    /// Either end has closed the connection, or we have reset the stream.
    #[error("the connection was closed")]
    Closed,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(Arc::new(error))
    }
}

/// The same for those who read and write.
impl From<Broken> for io::Error {
    fn from(why: Broken) -> Self {
        let kind = match &why {
            Broken::Reset(_) | Broken::GoAway(_) | Broken::Closed => io::ErrorKind::ConnectionReset,
            Broken::Malformed | Broken::Protocol(_) | Broken::Record(_) => io::ErrorKind::InvalidData,
            Broken::Io(error) => error.kind(),
            Broken::Ended => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, why)
    }
}
