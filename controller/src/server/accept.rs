//! Accepts connections and makes them secure; bounded in number and in time, for
//! anybody can connect.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use mesh_runtime::accepting::AcceptFailures;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tracing::debug;

/// Connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 8192;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection after its handshake.
pub(crate) struct Secured {
    stream: TlsStream<TcpStream>,
    _slot: OwnedSemaphorePermit,
}

/// Connections as they become ready for use. Dropping the stream closes the listener; the task beside it
/// has ended once it is closed.
pub(crate) fn secured(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
) -> (impl Stream<Item = io::Result<Secured>>, JoinHandle<()>) {
    let (sender, mut ready) = mpsc::channel(64);
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(tls), sender));
    (stream::poll_fn(move |context| ready.poll_recv(context)), accepting)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, ready: mpsc::Sender<io::Result<Secured>>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut failures = AcceptFailures::of("proxies");
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = ready.closed() => return,
        };
        // The semaphore is never closed.
        let Ok(slot) = slot else { return };
        match accepted {
            Ok((stream, peer)) => {
                let (tls, ready) = (tls.clone(), ready.clone());
                tokio::spawn(async move {
                    // Small messages in both directions.
                    let _ = stream.set_nodelay(true);
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let _ = ready.send(Ok(Secured { stream, _slot: slot })).await;
                        }
                        Ok(Err(error)) => debug!("handshake with {peer} failed: {error}"),
                        Err(_) => debug!("handshake with {peer} took longer than {HANDSHAKE_TIMEOUT:?}"),
                    }
                });
            }
            Err(error) => failures.pause(&error).await,
        }
    }
}

impl Connected for Secured {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
