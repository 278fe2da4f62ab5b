//! A new connection for every request: what handshakes and dialling cost.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Measured;
use super::requests::ask;

pub(crate) async fn run(to: SocketAddr, clients: usize, time: Duration) -> anyhow::Result<Measured> {
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(connect_until(to, begin + time));
    }
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while let Some(client) = running.join_next().await {
        let (of_one, lost) = client?;
        latencies.extend(of_one);
        failed += lost;
    }
    Ok(Measured::of_latencies(latencies, failed, begin.elapsed().as_secs_f64()))
}

async fn connect_until(to: SocketAddr, end: Instant) -> (Vec<u32>, u64) {
    let (mut latencies, mut failed, mut buffer) = (Vec::new(), 0, Vec::new());
    loop {
        let begin = Instant::now();
        if begin >= end {
            return (latencies, failed);
        }
        match connect_once(to, &mut buffer).await {
            Ok(()) => latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX)),
            Err(_) => failed += 1,
        }
    }
}

async fn connect_once(to: SocketAddr, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    ask(&mut stream, buffer).await?;
    // Closed with a reset, so that the many short connections leave no TIME_WAIT behind.
    stream.set_zero_linger()
}
