//! HTTP/1.1 keep-alive requests, one at a time on each connection. Written by
//! hand, so that the generator costs little beside what it measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Measured;

pub(crate) const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nhost: bench\r\nuser-agent: adit-bench\r\naccept: */*\r\n\r\n";
/// Answers end in this, whoever added headers on the way.
const END: &[u8] = b"hello, world\n";
const LARGEST_ANSWER: usize = 4096;

pub(crate) async fn run(to: SocketAddr, connections: usize, time: Duration) -> anyhow::Result<Measured> {
    // Connections are made before the clock starts: this measures requests.
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        streams.push(open(to).await?);
    }
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for stream in streams {
        clients.spawn(ask_until(stream, begin + time));
    }
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while let Some(client) = clients.join_next().await {
        let (of_one, lost) = client?;
        latencies.extend(of_one);
        failed += lost;
    }
    Ok(Measured::of_latencies(latencies, failed, begin.elapsed().as_secs_f64()))
}

/// Opens connections, uses each once and holds them all for the time given.
pub(crate) async fn hold(to: SocketAddr, connections: usize, time: Duration) -> anyhow::Result<Measured> {
    let begin = Instant::now();
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        held.push(open(to).await?);
    }
    // Tells whoever measures memory that they are all there.
    println!("held");
    tokio::time::sleep(time).await;
    let requests = held.len() as u64;
    Ok(Measured { seconds: begin.elapsed().as_secs_f64(), requests, ..Measured::default() })
}

async fn open(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    ask(&mut stream, &mut Vec::new()).await.with_context(|| format!("first request to {to}"))?;
    Ok(stream)
}

async fn ask_until(mut stream: TcpStream, end: Instant) -> (Vec<u32>, u64) {
    let (mut latencies, mut buffer) = (Vec::with_capacity(64 * 1024), Vec::with_capacity(LARGEST_ANSWER));
    loop {
        let begin = Instant::now();
        if begin >= end {
            return (latencies, 0);
        }
        if ask(&mut stream, &mut buffer).await.is_err() {
            return (latencies, 1);
        }
        latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// One request and its whole answer.
pub(crate) async fn ask(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    stream.write_all(REQUEST).await?;
    while !buffer.ends_with(END) {
        if stream.read_buf(buffer).await? == 0 || buffer.len() > LARGEST_ANSWER {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
