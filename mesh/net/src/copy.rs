//! Moving bytes both ways between two streams until both have ended.
//!
//! Bytes go through one buffer per thread. A connection owns memory only while
//! its receiver is behind, and then at most one window: 4 KiB at first, up to
//! 64 KiB for a flow that fills it. An idle connection owns none.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const SMALLEST_WINDOW: usize = 4 * 1024;
const LARGEST_WINDOW: usize = 64 * 1024;
/// Reads of one direction before others on the thread get their turn.
const TURN: usize = 16;

thread_local! {
    /// Taken while in use, so a stream that itself copies gets one of its own.
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Bytes moved so far; read while the copy runs.
#[derive(Debug, Default)]
pub struct Transferred {
    /// From downstream to upstream.
    pub sent: AtomicU64,
    /// From upstream to downstream.
    pub received: AtomicU64,
}

/// One of the two sockets of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The socket that came to the proxy.
    Downstream,
    /// The socket the proxy opened.
    Upstream,
}

/// Which way the bytes were going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Downstream to upstream.
    Sent,
    /// Upstream to downstream.
    Received,
}

/// Why a copy ended before both ends had closed.
#[derive(Debug, thiserror::Error)]
#[error("{} {}: {source}", verb(*side, *direction), name(*side))]
pub struct CopyError {
    /// The socket that failed.
    pub side: Side,
    /// What it was doing: reading its own bytes or being written the other's.
    pub direction: Direction,
    /// The failure.
    pub source: io::Error,
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Downstream => "downstream",
        Side::Upstream => "upstream",
    }
}

fn verb(side: Side, direction: Direction) -> &'static str {
    match (side, direction) {
        (Side::Downstream, Direction::Sent) | (Side::Upstream, Direction::Received) => "cannot read from",
        (Side::Upstream, Direction::Sent) | (Side::Downstream, Direction::Received) => "cannot write to",
    }
}

/// Copies both ways until each side has ended its stream and the other has been
/// told so, or until one of them fails.
pub async fn copy_bidirectional<A, B>(
    downstream: &mut A,
    upstream: &mut B,
    counters: &Transferred,
) -> Result<(), CopyError>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut sent = OneWay::default();
    let mut received = OneWay::default();
    poll_fn(|cx| {
        let out = sent
            .poll(cx, downstream, upstream, &counters.sent)
            .map_err(|failure| failure.located(Direction::Sent))?;
        let back = received
            .poll(cx, upstream, downstream, &counters.received)
            .map_err(|failure| failure.located(Direction::Received))?;
        if out.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// A failure before it is known which way the bytes were going.
enum Failure {
    Read(io::Error),
    Write(io::Error),
}

impl Failure {
    fn located(self, direction: Direction) -> CopyError {
        let (side, source) = match (self, direction) {
            (Self::Read(source), Direction::Sent) | (Self::Write(source), Direction::Received) => {
                (Side::Downstream, source)
            }
            (Self::Write(source), Direction::Sent) | (Self::Read(source), Direction::Received) => {
                (Side::Upstream, source)
            }
        };
        CopyError { side, direction, source }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    /// The reader has ended; the writer is to be told.
    Ending,
    Ended,
}

/// The copy in one direction.
struct OneWay {
    phase: Phase,
    /// How much to read at once: the most memory a slow receiver can hold.
    window: usize,
    /// What the receiver did not take yet.
    rest: Vec<u8>,
    written: usize,
    unflushed: bool,
}

impl Default for OneWay {
    fn default() -> Self {
        Self {
            phase: Phase::Copying,
            window: SMALLEST_WINDOW,
            rest: Vec::new(),
            written: 0,
            unflushed: false,
        }
    }
}

impl OneWay {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        counter: &AtomicU64,
    ) -> Poll<Result<(), Failure>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut turns = 0;
        while self.phase == Phase::Copying {
            ready!(self.poll_rest(cx, writer, counter)).map_err(Failure::Write)?;
            if turns == TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            turns += 1;
            match self.poll_move(cx, reader, writer, counter)? {
                Poll::Ready(()) => {}
                Poll::Pending => {
                    self.poll_flush(cx, writer).map_err(Failure::Write)?;
                    return Poll::Pending;
                }
            }
        }
        if self.phase == Phase::Ending {
            // A shutdown flushes first. A receiver that is already gone needs no notice.
            match ready!(Pin::new(writer).poll_shutdown(cx)) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                    return Poll::Ready(Err(Failure::Write(error)));
                }
                _ => self.phase = Phase::Ended,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was left over, until nothing is.
    fn poll_rest<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        counter: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        while self.written < self.rest.len() {
            let n = ready!(poll_some(cx, writer, &self.rest[self.written..], counter))?;
            self.written += n;
            self.unflushed = true;
        }
        self.rest = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads once into the thread's buffer and writes what came; keeps what the writer did not take.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        counter: &AtomicU64,
    ) -> Result<Poll<()>, Failure>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut scratch = SCRATCH.take().unwrap_or_else(|| vec![0; LARGEST_WINDOW].into_boxed_slice());
        let mut buffer = ReadBuf::new(&mut scratch[..self.window]);
        let outcome = match Pin::new(reader).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(Failure::Read(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.phase = Phase::Ending;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Ok(())) => self.pass_on(cx, writer, buffer.filled(), counter),
        };
        SCRATCH.set(Some(scratch));
        outcome
    }

    fn pass_on<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        bytes: &[u8],
        counter: &AtomicU64,
    ) -> Result<Poll<()>, Failure> {
        self.unflushed = true;
        self.window = next_window(self.window, bytes.len());
        let mut written = 0;
        while written < bytes.len() {
            match poll_some(cx, writer, &bytes[written..], counter) {
                Poll::Ready(Ok(n)) => written += n,
                Poll::Ready(Err(error)) => return Err(Failure::Write(error)),
                Poll::Pending => {
                    self.rest = bytes[written..].to_vec();
                    break;
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Lets a buffering writer send what it has while the reader is silent.
    fn poll_flush<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> io::Result<()> {
        if self.unflushed && Pin::new(writer).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }
}

fn poll_some<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    writer: &mut W,
    bytes: &[u8],
    counter: &AtomicU64,
) -> Poll<io::Result<usize>> {
    let n = ready!(Pin::new(writer).poll_write(cx, bytes))?;
    if n == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    counter.fetch_add(n as u64, Ordering::Relaxed);
    Poll::Ready(Ok(n))
}

/// Grows when a read fills the window, shrinks when it hardly uses it.
fn next_window(window: usize, read: usize) -> usize {
    if read == window {
        (window * 4).min(LARGEST_WINDOW)
    } else if read < window / 8 {
        (window / 2).max(SMALLEST_WINDOW)
    } else {
        window
    }
}

#[cfg(test)]
mod tests;
