//! The encrypted connection under a tunnel. After the handshake the records are our
//! own, sealed and opened where they stand ([`mesh_record`]); where the keys cannot
//! be had (BoringSSL) or TLS 1.2 is allowed, rustls keeps the stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use mesh_identity::{Certificate, tls};
use mesh_model::Identity;
use mesh_record::{Opener, Sealer, Session};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::TlsError;

/// A connection both ends of which have proven who they are.
pub struct TlsStream<IO> {
    secured: Secured<Carrier<IO>>,
    peer: Identity,
}

/// A carrier of bytes, and the keys if the records on it are ours.
pub(crate) struct Secured<C> {
    pub(crate) carrier: C,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) opener: Option<Opener>,
    /// What has been read and not opened.
    pub(crate) received: BytesMut,
}

impl<C> Secured<C> {
    /// What is written is sent as it is.
    pub(crate) fn plain(carrier: C) -> Self {
        Secured { carrier, sealer: None, opener: None, received: BytesMut::new() }
    }
}

/// What the bytes go over: the connection itself, or rustls's stream on it.
pub(crate) enum Carrier<IO> {
    Direct(IO),
    // Boxed: it is large, and rare.
    Rustls(Box<tokio_rustls::TlsStream<IO>>),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// The handshake of the end that was connected to.
    pub async fn accept(io: IO, own: &Certificate, timeout: Duration) -> Result<Self, TlsError> {
        let config = tls::server_config(own);
        if tls::gives_keys(own) {
            let mut io = io;
            let session = within(timeout, mesh_record::accept(&mut io, config)).await?;
            return Self::from_session(io, session);
        }
        let stream = within(timeout, TlsAcceptor::from(config).accept(io)).await?;
        Self::from_rustls(stream.into())
    }

    /// The handshake of the end that connects; the other must be one of `expected`.
    pub async fn connect(
        io: IO,
        own: &Certificate,
        expected: &[Identity],
        timeout: Duration,
    ) -> Result<Self, TlsError> {
        let config = tls::client_config(own, expected);
        if tls::gives_keys(own) {
            let mut io = io;
            let session = within(timeout, mesh_record::connect(&mut io, config, tls::server_name())).await?;
            return Self::from_session(io, session);
        }
        let connector = TlsConnector::from(config);
        let stream = within(timeout, connector.connect(tls::server_name(), io)).await?;
        Self::from_rustls(stream.into())
    }

    fn from_session(io: IO, session: Session) -> Result<Self, TlsError> {
        let peer = tls::peer_identity(Some(&session.peer_certificates))?;
        let secured = Secured {
            carrier: Carrier::Direct(io),
            sealer: Some(session.sealer),
            opener: Some(session.opener),
            received: session.received,
        };
        Ok(TlsStream { secured, peer })
    }

    fn from_rustls(stream: tokio_rustls::TlsStream<IO>) -> Result<Self, TlsError> {
        let peer = tls::peer_identity(stream.get_ref().1.peer_certificates())?;
        Ok(TlsStream { secured: Secured::plain(Carrier::Rustls(Box::new(stream))), peer })
    }
}

impl<IO> TlsStream<IO> {
    /// Who is at the other end.
    pub fn peer_identity(&self) -> &Identity {
        &self.peer
    }

    /// The connection below.
    pub fn get_ref(&self) -> &IO {
        match &self.secured.carrier {
            Carrier::Direct(io) => io,
            Carrier::Rustls(stream) => stream.get_ref().0,
        }
    }

    #[cfg(fuzzing)]
    pub(crate) fn decrypted(io: IO, peer: Identity) -> Self {
        TlsStream { secured: Secured::plain(Carrier::Direct(io)), peer }
    }

    pub(crate) fn into_secured(self) -> Secured<Carrier<IO>> {
        self.secured
    }
}

async fn within<T>(timeout: Duration, handshake: impl Future<Output = io::Result<T>>) -> Result<T, TlsError> {
    let ended = tokio::time::timeout(timeout, handshake).await.map_err(|_| TlsError::Timeout(timeout))?;
    ended.map_err(|error| match tls::find_refusal(&error) {
        Some(refusal) => TlsError::Refused(refusal),
        None => TlsError::Failed(Arc::new(error)),
    })
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Carrier<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Carrier::Direct(io) => Pin::new(io).poll_read(cx, buffer),
            Carrier::Rustls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Carrier<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Carrier::Direct(io) => Pin::new(io).poll_write(cx, data),
            Carrier::Rustls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Carrier::Direct(io) => Pin::new(io).poll_flush(cx),
            Carrier::Rustls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Carrier::Direct(io) => Pin::new(io).poll_shutdown(cx),
            Carrier::Rustls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
