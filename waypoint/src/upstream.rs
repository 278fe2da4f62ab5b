//! Connections to endpoints: by HBONE with the waypoint's own identity to those
//! who take it, as plain TCP to the others. A waypoint goes straight to the
//! endpoint, never through another waypoint (WP-10).

mod classify;
mod pool;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_hbone::{
    ConnectError, ConnectRequest, DialError, Pool, PoolKey, Settings, Target, TlsStream, TunnelStream,
};
use mesh_identity::Store;
use mesh_model::TunnelProtocol;
use mesh_net::socket::{SocketOptions, tcp_socket_for};
use mesh_state::{Endpoint, Reader};
use mesh_telemetry::baggage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::worker::Me;
pub(crate) use pool::{Answer, HttpPool, Lease, SendError, Version};

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

impl Upstream {
    /// A connection to an endpoint. `forwarded` says for whom, if for one client alone.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
        forwarded: Option<String>,
    ) -> Result<Wire, ConnectError> {
        match endpoint.tunnel {
            TunnelProtocol::Hbone => self.tunnel(endpoint, forwarded).await.map(Wire::Tunnel),
            TunnelProtocol::Tcp => Ok(Wire::Tcp(connect_tcp(endpoint.address).await?)),
        }
    }

    async fn tunnel(
        &self,
        endpoint: &Endpoint,
        forwarded: Option<String>,
    ) -> Result<TunnelStream, ConnectError> {
        let next_hop = SocketAddr::new(endpoint.address.ip(), HBONE_PORT);
        let key = PoolKey {
            source: self.me.identity.clone(),
            accepted: endpoint.accepted.clone(),
            destination: next_hop,
            source_ip: self.me.ip,
        };
        let dial = || async {
            let certificate = self.certificates.fetch(&self.me.identity).await?;
            let tcp = connect_tcp(next_hop).await?;
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

async fn connect_tcp(address: SocketAddr) -> Result<TcpStream, DialError> {
    let failed = |error| DialError::Connect { address, source: Arc::new(error) };
    let socket = tcp_socket_for(address, None, &SocketOptions::plain()).map_err(failed)?;
    match tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(address)).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(DialError::ConnectTimeout { address, after: CONNECT_TIMEOUT }),
    }
}

/// A connection to an endpoint.
pub(crate) enum Wire {
    Tunnel(TunnelStream),
    Tcp(TcpStream),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Tunnel(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Tunnel(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Tunnel(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Wire::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Wire::Tunnel(stream) => stream.is_write_vectored(),
            Wire::Tcp(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Tunnel(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Tunnel(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
