//! One tunnelled connection: a pair of byte streams with flow control and
//! half-close, aborted when it is dropped before its writer has ended.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::to_io;
use crate::pool::Lease;

/// The most one write hands over; what the far end does not take waits with the writer.
const LARGEST_WRITE: usize = 64 * 1024;

/// A TCP connection inside an HBONE connection. Like a socket that is closed with
/// unread data, one that is dropped before the far end has ended may take with it
/// what was written last.
pub struct TunnelStream {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
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
    pub(crate) fn new(receive: RecvStream, send: SendStream<Bytes>, place: Place) -> Self {
        TunnelStream {
            reader: Reader { stream: receive, chunk: Bytes::new() },
            writer: Writer { stream: send, ended: false },
            _place: place,
        }
    }

    /// Ends the tunnel at once: the far end sees a reset, not an end.
    pub fn abort(&mut self) {
        self.writer.ended = true;
        self.writer.stream.send_reset(Reason::CANCEL);
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        // An end that was not announced must not look like one.
        if !self.writer.ended {
            self.writer.stream.send_reset(Reason::CANCEL);
        }
    }
}

/// What arrives.
pub(crate) struct Reader {
    stream: RecvStream,
    /// What a smaller read left over.
    chunk: Bytes,
}

impl Reader {
    /// The next bytes as they came, `None` at the end. They count against the
    /// window until they are [released](Self::release).
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        while self.chunk.is_empty() {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                // After a complete answer, this says that no more is wanted (RFC 9113 §8.1).
                Some(Err(error)) if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(to_io(error)))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(std::mem::take(&mut self.chunk))))
    }

    /// Lets the far end send this much more.
    pub(crate) fn release(&mut self, taken: usize) {
        // Fails only for more than was received, or when the connection is gone and nobody cares.
        let _ = self.stream.flow_control().release_capacity(taken);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Some(chunk) = ready!(self.poll_chunk(cx)) else { return Poll::Ready(Ok(())) };
        let mut chunk = chunk?;
        let taken = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..taken]);
        chunk.advance(taken);
        self.chunk = chunk;
        self.release(taken);
        Poll::Ready(Ok(()))
    }
}

/// What is sent.
pub(crate) struct Writer {
    stream: SendStream<Bytes>,
    ended: bool,
}

impl Writer {
    /// How much of `wanted` bytes may be sent now; at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room.min(wanted)));
            }
            self.stream.reserve_capacity(wanted);
            if self.stream.capacity() > 0 {
                continue;
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
                None => return Poll::Ready(Err(self.closed(cx))),
            }
        }
    }

    /// Sends all of it, as fast as the far end takes it.
    pub(crate) async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = poll_fn(|cx| self.poll_room(cx, bytes.len())).await?;
            self.stream.send_data(bytes.split_to(room), false).map_err(to_io)?;
        }
        Ok(())
    }

    /// Tells the far end that nothing more comes.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        self.stream.send_data(Bytes::new(), true).map_err(to_io)
    }

    /// Waits until the far end resets the stream or the connection is lost.
    pub(crate) async fn reset(&mut self) -> io::Error {
        match poll_fn(|cx| self.stream.poll_reset(cx)).await {
            Ok(reason) => to_io(reason.into()),
            Err(error) => to_io(error),
        }
    }

    /// The far end has said all it had to say and wants no more: no failure (RFC 9113 §8.1).
    pub(crate) fn is_satisfied(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        matches!(self.stream.poll_reset(&mut nobody), Poll::Ready(Ok(Reason::NO_ERROR)))
    }

    /// Why the stream takes no more.
    fn closed(&mut self, cx: &mut Context<'_>) -> io::Error {
        match self.stream.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => to_io(reason.into()),
            Poll::Ready(Err(error)) => to_io(error),
            Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reader.poll_read(cx, buffer)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let writer = &mut self.writer;
        let room = ready!(writer.poll_room(cx, data.len().min(LARGEST_WRITE)))?;
        writer.stream.send_data(Bytes::copy_from_slice(&data[..room]), false).map_err(to_io)?;
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task sends what is queued as soon as it runs.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.writer.end())
    }
}

#[cfg(test)]
mod tests;
