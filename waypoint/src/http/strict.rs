//! A client's HTTP/1 connection on which nothing is let through that two servers could read in two ways and hyper reads
//! in one: lines that end in a bare line feed, and a length beside an encoding.

mod lines;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use lines::Lines;

/// What no head, chunk or trailer may have in it. In place of a line's end it makes hyper refuse the message as it
/// refuses others, in its turn: with 400 where it is a head.
const NO_LINE_END: u8 = 0;
/// A head is read only once it looks complete.
const LAST_WORDS: &[u8] = b"\r\n\r\n";

/// A connection whose messages are looked at as they come.
#[derive(Debug)]
pub(crate) struct Strict<S> {
    stream: S,
    lines: Lines,
    /// What hyper still is to be given after a line that is refused, before an end.
    refused: Option<&'static [u8]>,
    /// What comes is no longer HTTP.
    left_http: LeftHttp,
}

/// Says of a connection that what comes next is no longer HTTP.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftHttp(Arc<AtomicBool>);

impl LeftHttp {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl<S> Strict<S> {
    pub(crate) fn new(stream: S, left_http: LeftHttp) -> Strict<S> {
        Strict { stream, lines: Lines::default(), refused: None, left_http }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(words) = &mut self.refused {
            let (now, later) = words.split_at(words.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *words = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() && !self.left_http.is_set() {
            let fault = self.lines.find_fault(&buffer.filled()[before..]);
            if let Some(fault) = fault {
                buffer.filled_mut()[before + fault] = NO_LINE_END;
                buffer.set_filled(before + fault + 1);
                self.refused = Some(LAST_WORDS);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests;
