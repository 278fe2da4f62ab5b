//! A pod's questions over real sockets of the loopback address, to a mesh of a few services and
//! a server for everything else.

pub(crate) mod fake;
mod lookups;
mod names;
mod servers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message};
use mesh_model::{Service, Uid, Workload};
use mesh_net::namespace::Namespace;
use mesh_net::socket::SocketOptions;
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_state::{Reader, Writer};
use mesh_telemetry::{DnsMetrics, OnDemandMetrics, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::message::encode;
use super::{Listeners, Resolver, Setup, serve_tcp, serve_udp};
use crate::samples;

const DEADLINE: Duration = Duration::from_secs(20);

/// The client pod and those who answer it.
struct Bench {
    writer: Writer,
    resolver: Arc<Resolver>,
    registry: Registry,
    udp: SocketAddr,
    tcp: SocketAddr,
    trigger: Option<DrainTrigger>,
    serving: Vec<JoinHandle<()>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

impl Bench {
    /// For the pod `client` of `default`, which the controller has named.
    fn start(services: &[Service], servers: &[SocketAddr]) -> Bench {
        let bench = Bench::start_with(servers, "127.0.0.1:0", |_| {});
        bench.writer.change(|edit| {
            edit.insert_workload(samples::workload("client", "10.0.0.1"));
            services.iter().for_each(|service| edit.insert_service(service.clone()));
        });
        bench
    }

    fn start_with(servers: &[SocketAddr], listen: &str, change: impl FnOnce(&mut Setup)) -> Bench {
        let (writer, reader): (Writer, Reader) = mesh_state::new();
        let registry = Registry::new("test", "0");
        let mut setup = Setup {
            listen: vec![listen.parse().unwrap()],
            servers: servers.into(),
            ipv6: true,
            cluster_domain: "cluster.local".into(),
            metrics: DnsMetrics::new(&registry),
            on_demand: OnDemandMetrics::new(&registry),
        };
        change(&mut setup);
        let uid = Uid("Kubernetes//Pod/default/client".into());
        let resolver = Resolver::new(&setup, uid, reader, fake::upstream(servers));
        let mut open =
            Listeners::open(&Namespace::current().unwrap(), &setup.listen, &SocketOptions::plain()).unwrap();
        let (udp, tcp) = (open.udp.remove(0), open.tcp.remove(0));
        let (udp_at, tcp_at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let (trigger, watcher) = drain::channel();
        let names = Arc::clone(&resolver);
        let accept = async move {
            let listener = TcpListener::from_std(tcp).unwrap();
            let watcher = watcher.clone();
            tokio::spawn(serve_udp(udp, Arc::clone(&names), watcher.clone()));
            tokio::select! {
                _ = watcher.signaled() => {}
                () = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(serve_tcp(Arc::clone(&names), stream, watcher.clone()));
                    }
                } => {}
            }
        };
        let serving = vec![tokio::spawn(accept)];
        Bench { writer, resolver, registry, udp: udp_at, tcp: tcp_at, trigger: Some(trigger), serving }
    }

    /// Asks by datagram.
    async fn ask(&self, query: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", self.udp.port())).await.unwrap();
        ask_on(&socket, query).await
    }

    /// Asks over TCP.
    async fn ask_tcp(&self, query: &Message) -> Message {
        let mut stream = TcpStream::connect(self.tcp).await.unwrap();
        send(&mut stream, query).await;
        receive(&mut stream).await
    }

    fn page(&self) -> String {
        self.registry.encode()
    }
}

async fn ask_on(socket: &UdpSocket, query: &Message) -> Message {
    socket.send(&encode(query)).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("no reply").unwrap();
    let reply = Message::from_vec(&buffer[..length]).unwrap();
    assert!(length <= usize::from(query.max_payload()), "{length} bytes");
    assert_eq!((reply.metadata.id, &reply.queries), (query.metadata.id, &query.queries));
    reply
}

async fn send(stream: &mut TcpStream, query: &Message) {
    let bytes = encode(query);
    stream.write_all(&[&u16::try_from(bytes.len()).unwrap().to_be_bytes(), &*bytes].concat()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Message {
    let length = timeout(DEADLINE, stream.read_u16()).await.expect("no reply").unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    Message::from_vec(&bytes).unwrap()
}

fn with_edns(mut query: Message, longest: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(longest);
    query.edns = Some(edns);
    query
}

/// The data of the answers, sorted.
fn data(reply: &Message) -> Vec<String> {
    let mut data: Vec<_> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    data
}

/// A service of `default` and a host of its own.
fn host(host: &str, vips: &[&str]) -> Service {
    let mut service = samples::service("any", "192.0.2.1", 80, 8080);
    service.key = mesh_model::NamespacedHostname::new("default", host);
    service.addresses =
        vips.iter().map(|ip| mesh_model::NetworkAddress::new("", ip.parse().unwrap())).collect();
    service
}

/// A workload of `default` known by its name alone, behind a service.
fn named(name: &str, behind: &Service) -> Workload {
    let mut workload = samples::workload("outside", "192.0.2.1");
    workload.addresses.clear();
    workload.hostname = name.into();
    workload.services.insert(behind.key.clone(), Default::default());
    workload
}
