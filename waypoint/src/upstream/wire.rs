//! A connection to an endpoint, whatever carries it, with what is held for as long as it lives.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use mesh_hbone::TunnelStream;
use mesh_identity::Secured;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection to an endpoint.
pub(crate) struct Wire {
    carrier: Carrier,
    /// Dropped when the connection is: a place that others may wait for.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

enum Carrier {
    Tunnel(TunnelStream),
    Tcp(TcpStream),
    Secured(Box<Secured<Wire>>),
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Wire {
    /// Holds on to something until the connection is dropped.
    pub(crate) fn holding(self, held: impl Any + Send + Sync) -> Wire {
        Wire { _held: Some(Box::new(held)), ..self }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        let stream: &mut dyn Stream = match &mut self.get_mut().carrier {
            Carrier::Tunnel(stream) => stream,
            Carrier::Tcp(stream) => stream,
            Carrier::Secured(stream) => &mut **stream,
        };
        Pin::new(stream)
    }
}

impl From<TunnelStream> for Wire {
    fn from(stream: TunnelStream) -> Wire {
        Wire { carrier: Carrier::Tunnel(stream), _held: None }
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Wire {
        Wire { carrier: Carrier::Tcp(stream), _held: None }
    }
}

impl From<Secured<Wire>> for Wire {
    fn from(stream: Secured<Wire>) -> Wire {
        Wire { carrier: Carrier::Secured(Box::new(stream)), _held: None }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.carrier {
            Carrier::Tunnel(stream) => stream.is_write_vectored(),
            Carrier::Tcp(stream) => stream.is_write_vectored(),
            Carrier::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
