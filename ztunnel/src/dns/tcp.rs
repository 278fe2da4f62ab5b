//! Questions over TCP: many on one connection, answered as the replies come, each on its own.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mesh_runtime::drain::DrainWatcher;
use mesh_telemetry::DnsProtocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::message::{Asked, LONGEST_QUESTION, Unanswerable};
use super::resolver::Resolver;

/// Connections of one pod; further ones are closed at once.
pub(super) const MOST_CONNECTIONS: usize = 128;
/// Questions of one connection that wait; the next is read when one is answered.
const MOST_WAITING: usize = 32;
/// A connection is closed when for so long nothing was asked and nothing is to be answered.
const IDLE: Duration = Duration::from_secs(10);
/// How long a client may take to take a reply.
const WRITE: Duration = Duration::from_secs(5);

type Reply = BoxFuture<'static, Vec<u8>>;

/// Serves one connection to its end.
pub(crate) async fn serve_tcp(resolver: Arc<Resolver>, stream: TcpStream, drain: DrainWatcher) {
    let Ok(_one_of_many) = Arc::clone(&resolver.connections).try_acquire_owned() else {
        return debug!("too many connections of one pod that ask for names");
    };
    if let Err(error) = converse(&resolver, stream, drain).await {
        debug!(%error, "a connection for names ended");
    }
}

async fn converse(resolver: &Arc<Resolver>, mut stream: TcpStream, drain: DrainWatcher) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    let mut signaled = pin!(drain.signaled());
    let mut waiting: FuturesUnordered<Reply> = FuturesUnordered::new();
    let mut buffer: Vec<u8> = Vec::new();
    let mut idle = pin!(sleep_until(Instant::now() + IDLE));
    let (mut ended, mut ending) = (false, false);
    loop {
        while waiting.len() < MOST_WAITING
            && let Some(bytes) = take_message(&mut buffer)?
        {
            if let Some(reply) = reply_to(resolver, &bytes) {
                waiting.push(reply);
            }
        }
        if waiting.is_empty() && (ended || (ending && buffer.is_empty())) {
            return Ok(());
        }
        tokio::select! {
            Some(reply) = waiting.next() => {
                timeout(WRITE, write.write_all(&framed(&reply)?)).await??;
                idle.as_mut().reset(Instant::now() + IDLE);
            }
            length = read.read_buf(&mut buffer), if !ended && waiting.len() < MOST_WAITING => {
                ended = length? == 0;
                idle.as_mut().reset(Instant::now() + IDLE);
            }
            _ = &mut signaled, if !ending => ending = true,
            () = &mut idle, if waiting.is_empty() => return Ok(()),
        }
    }
}

/// The first whole message, if it is there. One that is too long ends the connection.
fn take_message(buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let [first, second, rest @ ..] = buffer.as_slice() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*first, *second]));
    if length > LONGEST_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a question of {length} bytes")));
    }
    if rest.len() < length {
        return Ok(None);
    }
    let message = rest[..length].to_vec();
    buffer.drain(..length + 2);
    Ok(Some(message))
}

fn reply_to(resolver: &Arc<Resolver>, bytes: &[u8]) -> Option<Reply> {
    match Asked::read(bytes) {
        Ok(asked) => Some(Box::pin(Arc::clone(resolver).reply(asked, DnsProtocol::tcp))),
        Err(Unanswerable::Refused(reply)) => Some(Box::pin(std::future::ready(reply))),
        Err(Unanswerable::Ignored) => None,
    }
}

fn framed(reply: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), reply].concat())
}
