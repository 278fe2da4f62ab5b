//! The fast way between a TCP connection and a tunnel: bytes are read to where they
//! are sealed, and written from where they were opened. An idle connection owns no
//! buffer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use mesh_net::copy::{CopyError, Direction, Side, Transferred};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::connection::{FillError, Filled, StreamRef};
use crate::error::Broken;
use crate::tunnel::TunnelStream;

/// The most one write to TCP gathers.
const GATHERED_CHUNKS: usize = 32;
const GATHERED_BYTES: usize = 256 * 1024;

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
        let stream = &tunnel.stream;
        let into_tunnel = async {
            let copied = into_tunnel(tcp_reader, stream, counter(counters, into)).await;
            copied.map_err(|failure| failure.located(tcp_side, into))
        };
        let out_of_tunnel = async {
            let copied = out_of_tunnel(stream, tcp_writer, counter(counters, out_of)).await;
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
    Tunnel(Broken),
}

impl From<FillError> for Failure {
    fn from(error: FillError) -> Self {
        match error {
            FillError::Source(error) => Failure::Tcp(error),
            FillError::Stream(why) => Failure::Tunnel(why),
        }
    }
}

impl Failure {
    fn located(self, tcp_side: Side, direction: Direction) -> CopyError {
        let tunnel_side = match tcp_side {
            Side::Downstream => Side::Upstream,
            Side::Upstream => Side::Downstream,
        };
        match self {
            Failure::Tcp(source) => CopyError { side: tcp_side, direction, source },
            Failure::Tunnel(why) => CopyError { side: tunnel_side, direction, source: why.into() },
        }
    }
}

async fn into_tunnel(mut tcp: ReadHalf<'_>, tunnel: &StreamRef, counter: &AtomicU64) -> Result<(), Failure> {
    // Whether the last read left something behind, as far as can be told: then one takes several records.
    let mut much = false;
    loop {
        let filled = if much {
            poll_fn(|cx| tunnel.poll_fill_records(cx, |places| tcp.try_read_vectored(places))).await
        } else {
            poll_fn(|cx| tunnel.poll_fill(cx, |cx, place| poll_read(&mut tcp, cx, place))).await
        };
        match filled {
            Ok(Filled::Part(taken)) => {
                count(counter, taken);
                much = false;
            }
            Ok(Filled::Full(taken)) => {
                count(counter, taken);
                much = true;
            }
            Ok(Filled::Nothing) => return tunnel.end().or_else(|why| refused(tunnel, Failure::Tunnel(why))),
            Err(FillError::Source(error)) if error.kind() == io::ErrorKind::WouldBlock => much = false,
            Err(failure) => return refused(tunnel, failure.into()),
        }
    }
}

/// Unlike a read that tries, this one does not ask the kernel again after it emptied the socket.
fn poll_read(tcp: &mut ReadHalf<'_>, cx: &mut Context<'_>, place: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(place);
    Pin::new(tcp).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// A far end that is satisfied takes no more, and is no failure: its answer still has to arrive here.
fn refused(tunnel: &StreamRef, failure: Failure) -> Result<(), Failure> {
    if matches!(failure, Failure::Tunnel(_)) && tunnel.is_satisfied() { Ok(()) } else { Err(failure) }
}

async fn out_of_tunnel(
    tunnel: &StreamRef,
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
            Some(Err(why)) => return Err(Failure::Tunnel(why)),
        }
    }
    match tcp.shutdown().await {
        // A receiver that is already gone needs no notice.
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(Failure::Tcp(error)),
        _ => Ok(()),
    }
}

/// Waits for a chunk and takes those that are ready behind it; tells how the stream ended, if it has.
async fn gather(tunnel: &StreamRef, chunks: &mut Vec<Bytes>) -> Option<Result<(), Broken>> {
    let mut bytes = 0;
    poll_fn(|cx| {
        while chunks.len() < GATHERED_CHUNKS && bytes < GATHERED_BYTES {
            match tunnel.poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    bytes += chunk.len();
                    chunks.push(chunk);
                }
                Poll::Ready(Some(Err(why))) => return Poll::Ready(Some(Err(why))),
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
    tunnel: &StreamRef,
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
        count(counter, written);
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
    if let [chunk] = chunks {
        return tcp.try_write(chunk);
    }
    let mut slices = [IoSlice::new(&[]); GATHERED_CHUNKS];
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
    }
    tcp.try_write_vectored(&slices[..chunks.len().min(GATHERED_CHUNKS)])
}

#[cfg(test)]
mod tests;
