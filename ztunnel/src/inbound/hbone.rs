//! The HBONE port: one TLS connection that carries any number of tunnels.

use std::sync::Arc;

use mesh_hbone::{TlsError, TlsStream};
use mesh_identity::{Certificate, IdentityError};
use mesh_model::Identity;
use mesh_net::addr::{LocalAddress, PeerAddress};
use mesh_runtime::drain::DrainWatcher;
use mesh_telemetry::{Direction, Reporter, early_denial};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::debug;

use super::request;
use crate::proxy::Pod;
use crate::revocable::Revocable;

/// Handshakes at the same time, of one pod on one worker: what strangers can make us hold in memory.
pub(crate) const MOST_HANDSHAKES: usize = 512;

/// A connection that carries tunnels.
pub(super) struct Carrier {
    pub(super) pod: Arc<Pod>,
    /// The far proxy, which has the address of its workload.
    pub(super) source: PeerAddress,
    /// The pod's address it connected to.
    pub(super) local: LocalAddress,
    /// Who the source proved to be.
    pub(super) identity: Identity,
}

/// Why a connection carries no tunnels.
#[derive(Debug, Error)]
enum Unusable {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Serves one connection to its end.
pub(crate) async fn serve_hbone(
    pod: Arc<Pod>,
    handshakes: Arc<Semaphore>,
    stream: TcpStream,
    drain: DrainWatcher,
) {
    let addresses = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?)));
    let (source, local) = match addresses {
        Ok((peer, local)) => (PeerAddress::new(peer), LocalAddress::new(local)),
        Err(error) => return debug!(%error, "a connection ended before it was looked at"),
    };
    // Boxed: a handshake takes much more memory than what follows, and only for a moment.
    let tls = match Box::pin(shake_hands(&pod, &handshakes, stream)).await {
        Ok(tls) => tls,
        Err(error) => return early_denial(source.0, local.0, Direction::Inbound, &error),
    };
    let identity = tls.peer_identity().clone();
    let carrier = Arc::new(Carrier { pod: Arc::clone(&pod), source, local, identity });
    let handler = |incoming| request::serve(Arc::clone(&carrier), incoming);
    // Boxed: connections that carry tunnels are few, those that are still shaking hands may be many.
    let served = Box::pin(mesh_hbone::serve(tls, &pod.mesh.settings.tunnel, drain, handler)).await;
    if let Err(error) = served {
        debug!(%source, %error, "a tunnel connection ended");
    }
}

async fn shake_hands(
    pod: &Pod,
    handshakes: &Semaphore,
    stream: TcpStream,
) -> Result<TlsStream<Revocable>, Unusable> {
    // Never closed, so there is always a slot some day.
    let _slot = handshakes.acquire().await;
    let timeout = pod.mesh.settings.tunnel.handshake_timeout;
    let accept =
        async |stream, certificate: Arc<Certificate>| TlsStream::accept(stream, &certificate, timeout).await;
    Ok(pod.arm(stream, Reporter::Destination).await?.shake_hands(accept).await?)
}
