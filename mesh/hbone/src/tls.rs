//! The encrypted connection under a tunnel, opaque so that its record layer can be exchanged.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_identity::{Certificate, tls};
use mesh_model::Identity;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::TlsError;

/// A connection both ends of which have proven who they are.
pub struct TlsStream<IO> {
    inner: tokio_rustls::TlsStream<IO>,
    peer: Identity,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// The handshake of the end that was connected to.
    pub async fn accept(io: IO, own: &Certificate, timeout: Duration) -> Result<Self, TlsError> {
        let handshake = TlsAcceptor::from(tls::server_config(own)).accept(io);
        Self::finish(async { handshake.await.map(Into::into) }, timeout).await
    }

    /// The handshake of the end that connects; the other must be one of `expected`.
    pub async fn connect(
        io: IO,
        own: &Certificate,
        expected: &[Identity],
        timeout: Duration,
    ) -> Result<Self, TlsError> {
        let connector = TlsConnector::from(tls::client_config(own, expected));
        let handshake = connector.connect(tls::server_name(), io);
        Self::finish(async { handshake.await.map(Into::into) }, timeout).await
    }

    async fn finish(
        handshake: impl Future<Output = io::Result<tokio_rustls::TlsStream<IO>>>,
        timeout: Duration,
    ) -> Result<Self, TlsError> {
        let failed = |error| match tls::find_refusal(&error) {
            Some(refusal) => TlsError::Refused(refusal),
            None => TlsError::Failed(Arc::new(error)),
        };
        let inner = tokio::time::timeout(timeout, handshake)
            .await
            .map_err(|_| TlsError::Timeout(timeout))?
            .map_err(failed)?;
        let peer = tls::peer_identity(inner.get_ref().1.peer_certificates())?;
        Ok(TlsStream { inner, peer })
    }
}

impl<IO> TlsStream<IO> {
    /// Who is at the other end.
    pub fn peer_identity(&self) -> &Identity {
        &self.peer
    }

    /// The connection below.
    pub fn get_ref(&self) -> &IO {
        self.inner.get_ref().0
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
