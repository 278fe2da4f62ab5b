//! The connection under a tunnel, which ends at once when the peer's certificate
//! is taken back (ID-16). Without revocation lists it is the connection alone.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mesh_hbone::{TlsError, TlsStream};
use mesh_identity::tls::PeerError;
use mesh_identity::{Certificate, IdentityError, PeerCheck, Revocations};
use mesh_telemetry::{Reporter, RevocationMetrics};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tracing::warn;

/// The revocation lists ztunnel goes by, and what they did.
#[derive(Clone)]
pub(crate) struct Revoking {
    pub(crate) lists: Revocations,
    pub(crate) metrics: RevocationMetrics,
}

/// A connection that can be cut from outside.
pub(crate) struct Revocable {
    stream: TcpStream,
    watch: Watch,
}

/// How the peer's certificate stands.
enum Watch {
    /// Nobody asks.
    Off,
    /// Not revoked so far.
    On(Box<Watching>),
    /// Revoked: nothing passes any more.
    Cut,
}

struct Watching {
    revoked: Pin<Box<dyn Future<Output = PeerError> + Send>>,
    metrics: RevocationMetrics,
    reporter: Reporter,
}

/// What a handshake is made with.
pub(crate) struct Armed {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) stream: Revocable,
    check: Option<(PeerCheck, Revoking, Reporter)>,
}

impl Armed {
    /// Prepares one handshake, in which `reporter` is our end.
    pub(crate) fn new(
        revoking: Option<&Revoking>,
        certificate: Arc<Certificate>,
        stream: TcpStream,
        reporter: Reporter,
    ) -> Result<Self, IdentityError> {
        let Some(revoking) = revoking else {
            return Ok(Armed { certificate, stream: Revocable { stream, watch: Watch::Off }, check: None });
        };
        let check = revoking.lists.check();
        let certificate = Arc::new(certificate.checked_by(&check)?);
        let watching =
            Watching { revoked: Box::pin(check.revoked()), metrics: revoking.metrics.clone(), reporter };
        let stream = Revocable { stream, watch: Watch::On(Box::new(watching)) };
        Ok(Armed { certificate, stream, check: Some((check, revoking.clone(), reporter)) })
    }

    /// Shakes hands, and counts what the lists had to say.
    pub(crate) async fn shake_hands<F>(
        self,
        handshake: impl FnOnce(Revocable, Arc<Certificate>) -> F,
    ) -> Result<TlsStream<Revocable>, TlsError>
    where
        F: Future<Output = Result<TlsStream<Revocable>, TlsError>>,
    {
        let Armed { certificate, stream, check } = self;
        let shaken = handshake(stream, certificate).await;
        if let Some((check, revoking, reporter)) = check {
            match &shaken {
                Err(TlsError::Refused(PeerError::Revoked { .. })) => revoking.metrics.rejected(reporter),
                Ok(_) if check.is_untracked() => revoking.metrics.untracked(reporter),
                _ => {}
            }
        }
        shaken
    }
}

impl Revocable {
    /// Fails from the moment on that the peer's certificate is revoked.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Watch::On(watching) = &mut self.watch {
            let Poll::Ready(reason) = watching.revoked.as_mut().poll(cx) else { return Ok(()) };
            let peer = self.stream.peer_addr().map_or_else(|_| "?".to_owned(), |peer| peer.to_string());
            warn!(%peer, "cutting a tunnel connection: {reason}");
            watching.metrics.rejected(watching.reporter);
            // The peer has to see a reset, not an end. Fails only on a socket that is already gone.
            let _ = self.stream.set_zero_linger();
            self.watch = Watch::Cut;
        }
        self.refuse_if_cut()
    }

    fn refuse_if_cut(&self) -> io::Result<()> {
        match self.watch {
            Watch::Cut => {
                Err(io::Error::new(ErrorKind::ConnectionAborted, "the peer's certificate is revoked"))
            }
            Watch::Off | Watch::On(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Revocable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocable").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl AsyncRead for Revocable {
    /// Whoever carries a tunnel reads all the time, so the news of a revocation is waited for here.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Revocable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
