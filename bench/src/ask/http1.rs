//! HTTP/1.1, written by hand: the generator should cost little beside what it measures.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::announce::connect;
use super::{Asked, gather};
use crate::load::Measured;

/// Every answer of the server ends in this, whoever added headers on the way.
const END: &[u8] = b"hello, world\n";
const OK: &[u8] = b"HTTP/1.1 200 ";
const LARGEST_ANSWER: usize = 4096;

/// One connection of HTTP/1.1.
pub(super) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

pub(super) async fn run(asked: &Asked, connections: usize, time: Duration) -> anyhow::Result<Measured> {
    // Connections are made, and used once, before the clock starts: this measures requests.
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = Connection::open(asked).await?;
        connection.ask().await.with_context(|| format!("first request to {}", asked.to))?;
        opened.push(connection);
    }
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for connection in opened {
        clients.spawn(connection.ask_until(begin + time));
    }
    gather(clients, begin).await
}

impl Connection {
    pub(super) async fn open(asked: &Asked) -> anyhow::Result<Connection> {
        let stream = connect(asked).await?;
        let Asked { host, path, .. } = asked;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: adit-bench\r\naccept: */*\r\n\r\n");
        Ok(Connection { stream, request: request.into_bytes(), answer: Vec::with_capacity(LARGEST_ANSWER) })
    }

    /// One request and its whole answer, which has to be the server's.
    pub(super) async fn ask(&mut self) -> anyhow::Result<&[u8]> {
        self.answer.clear();
        self.stream.write_all(&self.request).await?;
        while !self.answer.ends_with(END) {
            let read = self.stream.read_buf(&mut self.answer).await?;
            anyhow::ensure!(read > 0 && self.answer.len() <= LARGEST_ANSWER, "{}", self.shown());
            // Another answer may have another end, or none that can be waited for.
            let good = self.answer.len() < OK.len() || self.answer.starts_with(OK);
            anyhow::ensure!(good, "{}", self.shown());
        }
        Ok(&self.answer)
    }

    fn shown(&self) -> String {
        format!("not the server's answer: {:?}", String::from_utf8_lossy(&self.answer))
    }

    async fn ask_until(mut self, end: Instant) -> (Vec<u32>, u64) {
        let mut latencies = Vec::with_capacity(64 * 1024);
        loop {
            let begin = Instant::now();
            if begin >= end {
                return (latencies, 0);
            }
            if self.ask().await.is_err() {
                return (latencies, 1);
            }
            latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
}
