//! Asking other servers: from inside the pod, by a datagram of random id and port, over TCP
//! where a reply does not fit, and the next server where one is silent or of no help.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_proto::op::{Header, Message, MessageType, Metadata, Query, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use mesh_net::namespace::Namespace;
use mesh_net::socket::{SocketOptions, connect_udp, tcp_socket_for};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::message::encode;

/// Queries that one query of a client may lead to, at the most.
const MOST_TRIES: usize = 3;
/// Datagrams that are no reply to ours, before somebody is taken to be guessing.
const MOST_STRANGERS: usize = 16;
/// Longer replies come over TCP.
const LONGEST_DATAGRAM: usize = 4096;

/// The servers, and from where they are asked.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) servers: Arc<[SocketAddr]>,
    /// The pod's, so that what holds for the pod's own packets holds for these.
    pub(crate) namespace: Namespace,
    pub(crate) sockets: SocketOptions,
    pub(crate) patience: Patience,
}

/// How long a server may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// After this it is asked again, or another one is; its reply still counts when it comes.
    pub(crate) one: Duration,
    /// After this nobody is waited for.
    pub(crate) all: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // Clients ask again after five seconds, so they should have heard by then.
        Patience { one: Duration::from_millis(1500), all: Duration::from_millis(4500) }
    }
}

/// Why there is no reply.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("there is no name server to ask; name one in ztunnel's resolv.conf")]
    NoServer,
    #[error("name server {server}: {source}")]
    Unreachable { server: SocketAddr, source: io::Error },
    #[error("name server {0} was sent replies that do not fit the question")]
    Guessed(SocketAddr),
    #[error("no name server answered within {} ms", .0.as_millis())]
    Silent(Duration),
}

impl Upstream {
    /// The first reply that is of help; else what the last server said.
    pub(super) async fn ask(&self, query: &Message) -> Result<Vec<u8>, AskError> {
        if self.servers.is_empty() {
            return Err(AskError::NoServer);
        }
        let patience = self.patience.all;
        timeout(patience, self.ask_in_turn(query)).await.unwrap_or(Err(AskError::Silent(patience)))
    }

    async fn ask_in_turn(&self, query: &Message) -> Result<Vec<u8>, AskError> {
        let mut turns = self.servers.iter().copied().cycle().take(MOST_TRIES.max(self.servers.len()));
        let mut fresh = self.servers.len();
        let mut under_way = FuturesUnordered::new();
        loop {
            if let Some(server) = turns.next() {
                fresh = fresh.saturating_sub(1);
                under_way.push(self.ask_one(server, query));
            }
            let next_try = sleep(self.patience.one);
            tokio::pin!(next_try);
            loop {
                tokio::select! {
                    Some(outcome) = under_way.next() => {
                        let helps = outcome.as_ref().is_ok_and(|reply| is_of_help(reply));
                        if helps || (fresh == 0 && under_way.is_empty()) {
                            return outcome;
                        }
                        if fresh > 0 {
                            break;
                        }
                    }
                    () = &mut next_try => break,
                }
            }
        }
    }

    async fn ask_one(&self, server: SocketAddr, query: &Message) -> Result<Vec<u8>, AskError> {
        let unreachable = |source| AskError::Unreachable { server, source };
        let mut query = query.clone();
        query.metadata.id = rand::random();
        let bytes = encode(&query);
        match self.by_datagram(server, &query, &bytes).await.map_err(unreachable)? {
            Datagram::Reply(reply) => Ok(reply),
            Datagram::Truncated => {
                let reply = self.by_stream(server, &bytes).await.map_err(unreachable)?;
                let fits = is_reply(&query, &reply).is_some();
                if fits { Ok(reply) } else { Err(AskError::Guessed(server)) }
            }
            Datagram::Strangers => Err(AskError::Guessed(server)),
        }
    }

    async fn by_datagram(&self, server: SocketAddr, query: &Message, bytes: &[u8]) -> io::Result<Datagram> {
        let socket = self.namespace.run(|| connect_udp(server, &self.sockets))?;
        let socket = UdpSocket::from_std(socket)?;
        socket.send(bytes).await?;
        let mut buffer = vec![0; LONGEST_DATAGRAM + 1];
        for _ in 0..MOST_STRANGERS {
            let length = socket.recv(&mut buffer).await?;
            let reply = &buffer[..length];
            match is_reply(query, reply) {
                Some(header) if header.truncation || length > LONGEST_DATAGRAM => {
                    return Ok(Datagram::Truncated);
                }
                Some(_) => return Ok(Datagram::Reply(reply.to_vec())),
                // Not what was asked for: somebody else's, or a guess.
                None => {}
            }
        }
        Ok(Datagram::Strangers)
    }

    async fn by_stream(&self, server: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let socket = self.namespace.run(|| tcp_socket_for(server, None, &self.sockets))?;
        let mut stream = socket.connect(server).await?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let length = stream.read_u16().await?;
        let mut reply = vec![0; length.into()];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    }
}

/// What came of asking by a datagram.
enum Datagram {
    Reply(Vec<u8>),
    Truncated,
    Strangers,
}

/// The header, if these bytes are a reply to the query: same id, same question.
fn is_reply(query: &Message, bytes: &[u8]) -> Option<Metadata> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).ok()?;
    let own = header.message_type == MessageType::Response
        && (header.id, header.op_code) == (query.id, query.op_code)
        && header.counts.queries == 1;
    let question = Query::read(&mut decoder).ok().filter(|_| own)?;
    (query.queries == [question]).then_some(header.metadata)
}

/// A server that cannot or will not answer is not the last that is asked.
fn is_of_help(reply: &[u8]) -> bool {
    let header = Header::read(&mut BinDecoder::new(reply));
    header.is_ok_and(|header| {
        use ResponseCode::{FormErr, NotImp, Refused, ServFail};
        !matches!(header.response_code, ServFail | Refused | NotImp | FormErr)
    })
}

#[cfg(test)]
mod tests;
