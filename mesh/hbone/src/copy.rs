//! The fast way between a TCP connection and a tunnel: what is read is what is
//! framed, what arrives is written as it came. An idle connection owns no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use mesh_net::copy::{CopyError, Direction, Side, Transferred};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::tunnel::{Reader, TunnelStream, Writer};

/// The most one read takes: more falls out of the cache, much less is all system calls.
const READ: usize = 64 * 1024;
/// What is smaller is copied, so that it does not keep a whole read's memory.
const WORTH_SHARING: usize = 16 * 1024;
/// The most one write to TCP gathers.
const GATHERED_CHUNKS: usize = 32;
const GATHERED_BYTES: usize = 256 * 1024;

thread_local! {
    static SCRATCH: RefCell<BytesMut> = RefCell::default();
}

/// Copies both ways until both have ended, or one failed. `tcp_side` says which
/// of the two sockets of the proxied connection `tcp` is. On failure both are
/// aborted: what was cut off must not look complete to either application.
pub async fn copy_with_tcp(
    tcp: &mut TcpStream,
    tunnel: &mut TunnelStream,
    tcp_side: Side,
    counters: &Transferred,
) -> Result<(), CopyError> {
    let (into, out_of) = match tcp_side {
        Side::Downstream => (Direction::Sent, Direction::Received),
        Side::Upstream => (Direction::Received, Direction::Sent),
    };
    let result = {
        let (tcp_reader, tcp_writer) = tcp.split();
        let TunnelStream { reader, writer, .. } = &mut *tunnel;
        let into_tunnel = async {
            let copied = into_tunnel(&tcp_reader, writer, counter(counters, into)).await;
            copied.map_err(|failure| failure.located(tcp_side, into))
        };
        let out_of_tunnel = async {
            let copied = out_of_tunnel(reader, tcp_writer, counter(counters, out_of)).await;
            copied.map_err(|failure| failure.located(tcp_side, out_of))
        };
        tokio::try_join!(into_tunnel, out_of_tunnel).map(|_| ())
    };
    if result.is_err() {
        tunnel.abort();
        // Fails only on a socket that is already gone.
        let _ = tcp.set_zero_linger();
    }
    result
}

fn counter(counters: &Transferred, direction: Direction) -> &AtomicU64 {
    match direction {
        Direction::Sent => &counters.sent,
        Direction::Received => &counters.received,
    }
}

enum Failure {
    Tcp(io::Error),
    Tunnel(io::Error),
}

impl Failure {
    fn located(self, tcp_side: Side, direction: Direction) -> CopyError {
        let tunnel_side = match tcp_side {
            Side::Downstream => Side::Upstream,
            Side::Upstream => Side::Downstream,
        };
        match self {
            Failure::Tcp(source) => CopyError { side: tcp_side, direction, source },
            Failure::Tunnel(source) => CopyError { side: tunnel_side, direction, source },
        }
    }
}

async fn into_tunnel(tcp: &ReadHalf<'_>, tunnel: &mut Writer, counter: &AtomicU64) -> Result<(), Failure> {
    loop {
        tokio::select! {
            readable = tcp.readable() => readable.map_err(Failure::Tcp)?,
            // Otherwise a far end that gave up would be noticed only with the next byte.
            gone = tunnel.reset() => return refused(tunnel, gone),
        }
        let bytes = match read(tcp) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(Failure::Tcp(error)),
        };
        if bytes.is_empty() {
            return tunnel.end().or_else(|error| refused(tunnel, error));
        }
        let length = bytes.len() as u64;
        if let Err(error) = tunnel.send(bytes).await {
            return refused(tunnel, error);
        }
        counter.fetch_add(length, Ordering::Relaxed);
    }
}

/// A far end that is satisfied takes no more, and is no failure: its answer still has to arrive here.
fn refused(tunnel: &mut Writer, error: io::Error) -> Result<(), Failure> {
    if tunnel.is_satisfied() { Ok(()) } else { Err(Failure::Tunnel(error)) }
}

/// One read into the thread's buffer; empty at the end.
fn read(tcp: &ReadHalf<'_>) -> io::Result<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        scratch.reserve(READ);
        let taken = tcp.try_read_buf(scratch)?;
        Ok(if taken < WORTH_SHARING { Bytes::copy_from_slice(scratch) } else { scratch.split().freeze() })
    })
}

async fn out_of_tunnel(
    tunnel: &mut Reader,
    mut tcp: WriteHalf<'_>,
    counter: &AtomicU64,
) -> Result<(), Failure> {
    let mut chunks = Vec::new();
    loop {
        let end = gather(tunnel, &mut chunks).await;
        write_all(&mut tcp, tunnel, &mut chunks, counter).await.map_err(Failure::Tcp)?;
        match end {
            None => {}
            Some(Ok(())) => break,
            Some(Err(error)) => return Err(Failure::Tunnel(error)),
        }
    }
    match tcp.shutdown().await {
        // A receiver that is already gone needs no notice.
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(Failure::Tcp(error)),
        _ => Ok(()),
    }
}

/// Waits for a chunk and takes those that are ready behind it; tells how the stream ended, if it has.
async fn gather(tunnel: &mut Reader, chunks: &mut Vec<Bytes>) -> Option<io::Result<()>> {
    let mut bytes = 0;
    poll_fn(|cx| {
        while chunks.len() < GATHERED_CHUNKS && bytes < GATHERED_BYTES {
            match tunnel.poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    bytes += chunk.len();
                    chunks.push(chunk);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(Some(Ok(()))),
                Poll::Pending if chunks.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(None)
    })
    .await
}

async fn write_all(
    tcp: &mut WriteHalf<'_>,
    tunnel: &mut Reader,
    chunks: &mut Vec<Bytes>,
    counter: &AtomicU64,
) -> io::Result<()> {
    let mut done = 0;
    while done < chunks.len() {
        let mut written = match try_write(tcp, &chunks[done..]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tcp.writable().await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        counter.fetch_add(written as u64, Ordering::Relaxed);
        tunnel.release(written);
        while let Some(chunk) = chunks.get_mut(done).filter(|_| written > 0) {
            let part = written.min(chunk.len());
            chunk.advance(part);
            written -= part;
            done += usize::from(chunk.is_empty());
        }
    }
    chunks.clear();
    Ok(())
}

/// One write of as many chunks as it takes. Not part of the future, which would hold the slices while it waits.
fn try_write(tcp: &WriteHalf<'_>, chunks: &[Bytes]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); GATHERED_CHUNKS];
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
    }
    tcp.try_write_vectored(&slices[..chunks.len().min(GATHERED_CHUNKS)])
}

#[cfg(test)]
mod tests;
