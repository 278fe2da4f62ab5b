//! Bytes one way over a few connections. What counts is what the far end says it got.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Measured;

const CHUNK: usize = 128 * 1024;

pub(crate) async fn run(to: SocketAddr, connections: usize, time: Duration) -> anyhow::Result<Measured> {
    let begin = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        senders.spawn(send(to, begin + time));
    }
    let mut bytes = 0;
    while let Some(sent) = senders.join_next().await {
        bytes += sent??;
    }
    Ok(Measured { seconds: begin.elapsed().as_secs_f64(), bytes, ..Measured::default() })
}

/// Sends until `end`, then asks how much arrived.
async fn send(to: SocketAddr, end: Instant) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(to).await?;
    let chunk = vec![0x5a; CHUNK];
    while Instant::now() < end {
        stream.write_all(&chunk).await?;
    }
    stream.shutdown().await?;
    Ok(stream.read_u64().await?)
}
