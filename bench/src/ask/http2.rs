//! HTTP/2 on one connection, so many streams at a time.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use tokio::task::JoinSet;

use super::announce::connect;
use super::{Asked, gather};
use crate::load::Measured;

pub(super) async fn run(asked: &Asked, streams: usize, time: Duration) -> anyhow::Result<Measured> {
    let (sender, connection) = h2::client::handshake(connect(asked).await?).await?;
    // Its end is seen by those who send.
    tokio::spawn(async move { connection.await.ok() });
    let Asked { host, path, .. } = asked;
    let request = Request::get(format!("http://{host}{path}")).header("user-agent", "adit-bench").body(())?;
    // Whatever has to be opened on the way is there before the clock starts.
    ask(&mut sender.clone(), &request).await.with_context(|| format!("first request to {}", asked.to))?;
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..streams {
        clients.spawn(ask_until(sender.clone(), request.clone(), begin + time));
    }
    gather(clients, begin).await
}

async fn ask_until(mut sender: SendRequest<Bytes>, request: Request<()>, end: Instant) -> (Vec<u32>, u64) {
    let mut latencies = Vec::with_capacity(64 * 1024);
    loop {
        let begin = Instant::now();
        if begin >= end {
            return (latencies, 0);
        }
        if ask(&mut sender, &request).await.is_err() {
            return (latencies, 1);
        }
        latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// One request and its whole answer.
async fn ask(sender: &mut SendRequest<Bytes>, request: &Request<()>) -> anyhow::Result<()> {
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await?;
    let (response, _) = sender.send_request(request.clone(), true)?;
    let response = response.await?;
    anyhow::ensure!(response.status() == StatusCode::OK, "status {}", response.status());
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(())
}
