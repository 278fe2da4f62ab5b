//! One tunnelled connection: a pair of byte streams with flow control and
//! half-close, aborted when it is dropped before its writer has ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{FillError, Filled, StreamRef};
use crate::pool::Lease;

/// A TCP connection inside an HBONE connection. Like a socket that is closed with
/// unread data, one that is dropped before the far end has ended may take with it
/// what was written last.
pub struct TunnelStream {
    pub(crate) stream: StreamRef,
    _place: Place,
}

/// What a tunnel takes up for as long as it is there.
pub(crate) enum Place {
    /// One of the streams of a pool's connection.
    Pooled(#[expect(dead_code, reason = "counted")] Lease),
    /// One of the requests of a connection to us.
    Accepted(#[expect(dead_code, reason = "counted")] Arc<()>),
    /// A connection of its own.
    Alone,
}

impl TunnelStream {
    pub(crate) fn new(stream: StreamRef, place: Place) -> Self {
        TunnelStream { stream, _place: place }
    }

    /// Ends the tunnel at once: the far end sees a reset, not an end.
    pub fn abort(&mut self) {
        self.stream.abort();
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_read(cx, buffer).map_err(Into::into)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let copy = |_: &mut Context<'_>, place: &mut [u8]| {
            let taken = data.len().min(place.len());
            place[..taken].copy_from_slice(&data[..taken]);
            Poll::Ready(Ok(taken))
        };
        Poll::Ready(match ready!(self.stream.poll_fill(cx, copy)) {
            Ok(Filled::Nothing) => Ok(0),
            Ok(Filled::Full(taken) | Filled::Part(taken)) => Ok(taken),
            Err(FillError::Source(error)) => Err(error),
            Err(FillError::Stream(why)) => Err(why.into()),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task sends what is written as soon as it runs.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.end().map_err(Into::into))
    }
}

#[cfg(test)]
mod tests;
