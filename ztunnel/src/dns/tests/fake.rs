//! A name server on the loopback address that says what a test wants, by datagram and over TCP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use mesh_net::namespace::Namespace;
use mesh_net::socket::SocketOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::dns::message::encode;
use crate::dns::upstream::{Patience, Upstream};

/// What the server does with a query.
pub(crate) enum Say {
    This(Message),
    /// In this order, unchanged.
    Bytes(Vec<Vec<u8>>),
    /// When the semaphore lets one pass.
    Later(Arc<Semaphore>, Message),
    Nothing,
}

type Script = dyn Fn(&Message, bool) -> Say + Send + Sync;

pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<(Message, SocketAddr)>>>,
    serving: [JoinHandle<()>; 2],
}

impl FakeServer {
    /// The script is told whether the query came over TCP.
    pub(crate) async fn start(script: impl Fn(&Message, bool) -> Say + Send + Sync + 'static) -> Self {
        let (tcp, udp) = one_port_for_both().await;
        let (address, udp) = (tcp.local_addr().unwrap(), Arc::new(udp));
        let (script, heard): (Arc<Script>, _) = (Arc::new(script), Arc::default());
        let serving = [
            tokio::spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&heard))),
            tokio::spawn(serve_tcp(tcp, script, Arc::clone(&heard))),
        ];
        FakeServer { address, heard, serving }
    }

    /// `name type` of each query, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        let text = |query: &Query| format!("{} {}", query.name(), query.query_type());
        self.heard.lock().unwrap().iter().map(|(message, _)| text(&message.queries[0])).collect()
    }

    /// Id and port of each query, in order.
    pub(crate) fn ids_and_ports(&self) -> Vec<(u16, u16)> {
        self.heard.lock().unwrap().iter().map(|(message, from)| (message.metadata.id, from.port())).collect()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

/// A port that is free over TCP may be another test's over UDP.
async fn one_port_for_both() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free both over TCP and over UDP");
}

async fn serve_udp(
    socket: Arc<UdpSocket>,
    script: Arc<Script>,
    heard: Arc<Mutex<Vec<(Message, SocketAddr)>>>,
) {
    let mut buffer = vec![0; 65_535];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let query = Message::from_vec(&buffer[..length]).unwrap();
        heard.lock().unwrap().push((query.clone(), from));
        let (said, socket) = (script(&query, false), Arc::clone(&socket));
        tokio::spawn(async move {
            for reply in replies(said, &query).await {
                socket.send_to(&reply, from).await.unwrap();
            }
        });
    }
}

async fn serve_tcp(
    listener: TcpListener,
    script: Arc<Script>,
    heard: Arc<Mutex<Vec<(Message, SocketAddr)>>>,
) {
    while let Ok((mut stream, from)) = listener.accept().await {
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        let query = Message::from_vec(&bytes).unwrap();
        heard.lock().unwrap().push((query.clone(), from));
        for reply in replies(script(&query, true), &query).await {
            stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    }
}

async fn replies(said: Say, query: &Message) -> Vec<Vec<u8>> {
    let own = |mut reply: Message| {
        reply.metadata.id = query.metadata.id;
        vec![encode(&reply)]
    };
    match said {
        Say::This(reply) => own(reply),
        Say::Bytes(bytes) => bytes,
        Say::Later(gate, reply) => {
            gate.acquire().await.unwrap().forget();
            own(reply)
        }
        Say::Nothing => Vec::new(),
    }
}

/// A reply to `query` with this code.
pub(crate) fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = query.clone().into_response();
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply
}

/// With these addresses, good for a minute, where they are of the kind that is asked for.
pub(crate) fn with_addresses(query: &Message, addresses: &[&str]) -> Message {
    let mut reply = reply(query, ResponseCode::NoError);
    let (name, kind) = (query.queries[0].name().clone(), query.queries[0].query_type());
    let data = addresses.iter().map(|ip| match ip.parse().unwrap() {
        std::net::IpAddr::V4(ip) => RData::A(A(ip)),
        std::net::IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    });
    let data = data.filter(|data| data.record_type() == kind);
    reply.answers.extend(data.map(|data| Record::from_rdata(name.clone(), 60, data)));
    reply
}

/// That there is no such name, which holds for a while.
pub(crate) fn nobody(query: &Message) -> Message {
    let mut reply = reply(query, ResponseCode::NXDomain);
    let zone = Name::from_ascii("com.").unwrap();
    let soa = RData::SOA(SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, 20));
    reply.authorities.push(Record::from_rdata(zone, 20, soa));
    reply
}

pub(crate) fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

/// From this very network, with much patience: nobody is asked twice for being slow.
pub(crate) fn upstream(servers: &[SocketAddr]) -> Upstream {
    Upstream {
        servers: servers.into(),
        namespace: Namespace::current().unwrap(),
        sockets: SocketOptions::plain(),
        patience: Patience { one: Duration::from_secs(20), all: Duration::from_secs(20) },
    }
}
