//! Connections to endpoints: by HBONE with the waypoint's own identity to those
//! who take it, as plain TCP to the others. A waypoint goes straight to the
//! endpoint, never through another waypoint (WP-10). What the service's policy
//! wants said before anything else is said inside.

mod classify;
mod hop;
mod limits;
mod pool;
mod race;
mod terms;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_hbone::{
    ConnectError, ConnectRequest, DialError, Pool, PoolKey, Settings, Target, TlsStream, TunnelStream,
};
use mesh_identity::{OriginationError, Store};
use mesh_model::ProxyProtocolVersion;
use mesh_net::proxy_protocol::{header_v1, header_v2};
use mesh_net::socket::{SocketOptions, tcp_socket_for};
use mesh_state::Reader;
use mesh_telemetry::baggage;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::worker::Me;
pub(crate) use hop::{Client, Hop, host_of};
pub(crate) use limits::{Account, Countable, Counted, Counts, Ledger, Overflow};
pub(crate) use pool::{Answer, HttpPool, Lease, SendError, Version};
pub(crate) use terms::{Terms, TermsCache};
pub(crate) use wire::Wire;

/// Where HBONE is taken.
const HBONE_PORT: u16 = 15008;
/// How long a TCP connection may take to open (HB-32).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens connections as the waypoint.
pub(crate) struct Upstream {
    pub(crate) me: Me,
    pub(crate) reader: Reader,
    pub(crate) certificates: Store,
    pub(crate) settings: Settings,
    pub(crate) tunnels: Pool,
}

/// Why an endpoint cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It took longer than the service's policy allows.
    #[error("{0} could not be reached within {1:?}, which connectTimeout allows")]
    Timeout(SocketAddr, Duration),
    /// It went away before it was told for whom the connection is.
    #[error("cannot tell {0} the client's address: {1}")]
    ClientAddress(SocketAddr, io::Error),
    /// It does not speak TLS as the service's policy wants it.
    #[error(transparent)]
    Tls(#[from] OriginationError),
}

impl Upstream {
    /// A connection to an endpoint. `protocol` is what will be spoken, as TLS calls it; `forwarded` says for
    /// whom, if for one client alone.
    pub(crate) async fn connect(
        &self,
        hop: &Hop<'_>,
        protocol: Option<&[u8]>,
        forwarded: Option<String>,
    ) -> Result<Wire, OpenError> {
        let opening = self.open(hop, protocol, forwarded);
        let limit = hop.terms.and_then(|terms| terms.tcp.connect_timeout);
        let opened = match limit {
            None => opening.await,
            Some(limit) => tokio::time::timeout(limit, opening)
                .await
                .unwrap_or(Err(OpenError::Timeout(hop.endpoint.address, limit))),
        };
        if let (Err(OpenError::Tls(error)), Some(terms)) = (&opened, hop.terms)
            && terms.may_warn()
        {
            tracing::warn!(endpoint = %hop.endpoint.address, service = %terms.service, %error, "no TLS to a backend");
        }
        opened
    }

    async fn open(
        &self,
        hop: &Hop<'_>,
        protocol: Option<&[u8]>,
        forwarded: Option<String>,
    ) -> Result<Wire, OpenError> {
        let address = hop.endpoint.address;
        let mut wire = if hop.is_tunnelled() {
            Wire::from(self.tunnel(hop, forwarded).await?)
        } else {
            let options = hop.terms.map_or_else(SocketOptions::plain, |terms| terms.socket_options());
            let connect = |address| connect_tcp(address, options.clone(), hop.connect_timeout());
            let connected = race::connect_to_any(address, hop.rivals, connect).await;
            Wire::from(connected.map_err(ConnectError::from)?)
        };
        let Some(terms) = hop.terms else { return Ok(wire) };
        if let Some(version) = terms.proxy_protocol {
            let Client { address: client, target } = hop.client;
            let header = match version {
                ProxyProtocolVersion::V1 => header_v1(client, target),
                ProxyProtocolVersion::V2 => header_v2(client, target, None),
            };
            let sent = async {
                wire.write_all(&header).await?;
                wire.flush().await
            };
            sent.await.map_err(|error| OpenError::ClientAddress(address, error))?;
        }
        match &terms.tls {
            None => Ok(wire),
            Some(tls) => {
                let patience = self.settings.handshake_timeout;
                Ok(Wire::from(tls.connect(wire, hop.host(terms), protocol, patience).await?))
            }
        }
    }

    async fn tunnel(&self, hop: &Hop<'_>, forwarded: Option<String>) -> Result<TunnelStream, ConnectError> {
        let endpoint = hop.endpoint;
        let next_hop = SocketAddr::new(endpoint.address.ip(), HBONE_PORT);
        let key = PoolKey {
            source: self.me.identity.clone(),
            accepted: endpoint.accepted.clone(),
            destination: next_hop,
            source_ip: self.me.ip,
        };
        let dial = || async {
            let certificate = self.certificates.fetch(&self.me.identity).await?;
            // Tunnels of several services share the connection, so that no one's policy speaks for it.
            let tcp = connect_tcp(next_hop, SocketOptions::plain(), CONNECT_TIMEOUT).await?;
            Ok(TlsStream::connect(tcp, &certificate, &endpoint.accepted, self.settings.handshake_timeout)
                .await?)
        };
        let request = ConnectRequest {
            baggage: self.own_baggage(),
            forwarded,
            ..ConnectRequest::new(Target::Address(endpoint.address))
        };
        let (tunnel, _) = self.tunnels.connect(&key, dial, &request).await?;
        Ok(tunnel)
    }

    /// What the far end is told of us: it is the waypoint that comes to it.
    fn own_baggage(&self) -> Vec<String> {
        let own = self.reader.snapshot().find_workload_by_uid(&self.me.uid);
        own.map(|own| baggage::encode(&own)).into_iter().collect()
    }
}

async fn connect_tcp(
    address: SocketAddr,
    options: SocketOptions,
    patience: Duration,
) -> Result<TcpStream, DialError> {
    let failed = |error| DialError::Connect { address, source: Arc::new(error) };
    let socket = tcp_socket_for(address, None, &options).map_err(failed)?;
    match tokio::time::timeout(patience, socket.connect(address)).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(DialError::ConnectTimeout { address, after: patience }),
    }
}
