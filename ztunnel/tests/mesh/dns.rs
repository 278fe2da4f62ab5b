//! Names, as captured pods ask for them: at port 53 of servers that are not there.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use mesh_model::{NetworkAddress, Service, TunnelProtocol};
use mesh_net::socket::{SocketOptions, bind_udp, connect_udp};
use mesh_testkit::node::{Echo, Netns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::samples::{service, workload};
use crate::world::{DEADLINE, World, eventually};

const APP: u16 = 8080;
/// Nobody is there.
const SERVERS: [&str; 2] = ["10.96.0.10:53", "[fd00:10:96::a]:53"];
/// The server of everything outside, on the fabric.
const OUTSIDE: &str = "172.30.0.1:53";

/// Knows the address of one name; remembers who asked for what.
struct NameServer {
    heard: Arc<Mutex<Vec<(IpAddr, String)>>>,
    serving: JoinHandle<()>,
}

impl NameServer {
    fn start(world: &World, name: &'static str, address: IpAddr) -> Result<Self> {
        let bind = || bind_udp(OUTSIDE.parse().unwrap(), &SocketOptions::plain());
        let socket = UdpSocket::from_std(world.net.fabric().namespace().run(bind)?)?;
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let remembered = Arc::clone(&heard);
        let serving = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let mut reply = Message::from_vec(&buffer[..length]).unwrap().into_response();
                let asked = reply.queries[0].name().clone();
                remembered.lock().unwrap().push((from.ip(), asked.to_string()));
                match (asked.to_string() == name, address) {
                    (true, IpAddr::V4(ip)) if reply.queries[0].query_type() == RecordType::A => {
                        reply.answers.push(Record::from_rdata(asked, 60, RData::A(A(ip))));
                    }
                    (true, _) => {}
                    (false, _) => reply.metadata.response_code = ResponseCode::NXDomain,
                }
                socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
            }
        });
        Ok(NameServer { heard, serving })
    }

    fn heard(&self) -> Vec<(IpAddr, String)> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A world whose ztunnels ask [`OUTSIDE`] for what they do not know.
async fn start() -> Result<Option<World>> {
    let mut resolv_conf = tempfile::NamedTempFile::new()?;
    writeln!(resolv_conf, "nameserver {}", OUTSIDE.parse::<SocketAddr>()?.ip())?;
    let path = resolv_conf.path().to_str().context("path")?;
    World::start_with(&[("DNS_RESOLV_CONF", path)]).await
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

/// Asks by a datagram, from a socket that takes replies of that very server only.
async fn ask(netns: &Netns, server: &str, name: &str, kind: RecordType) -> Result<Message> {
    let server: SocketAddr = server.parse()?;
    let socket = netns.namespace().run(|| connect_udp(server, &SocketOptions::plain()))?;
    let socket = UdpSocket::from_std(socket)?;
    let query = query(name, kind);
    socket.send(&query.to_vec()?).await?;
    let mut buffer = [0; 512];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.context("no reply")??;
    let reply = Message::from_vec(&buffer[..length])?;
    anyhow::ensure!(reply.metadata.id == query.metadata.id, "the reply to something else");
    Ok(reply)
}

async fn ask_tcp(netns: &Netns, server: &str, name: &str, kind: RecordType) -> Result<Message> {
    let mut stream = netns.connect(server.parse()?).await?;
    let bytes = query(name, kind).to_vec()?;
    stream.write_u16(bytes.len().try_into()?).await?;
    stream.write_all(&bytes).await?;
    let length = timeout(DEADLINE, stream.read_u16()).await.context("no reply")??;
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await?;
    Ok(Message::from_vec(&reply)?)
}

fn data(reply: &Message) -> Vec<String> {
    reply.answers.iter().map(|record| record.data.to_string()).collect()
}

/// A host of a ServiceEntry with an address of either family.
fn entry(host: &str, v4: &str, v6: &str) -> Service {
    let mut entry = service("entry", v4, 80, APP);
    entry.key = mesh_model::NamespacedHostname::new("default", host);
    entry.addresses.push(NetworkAddress::new("", v6.parse().unwrap()));
    entry
}

#[tokio::test]
async fn dns_01_02_06_captured_pods_are_answered_whatever_server_they_ask() -> Result<()> {
    let Some(mut world) = start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let outside = NameServer::start(&world, "www.example.com.", "192.0.2.9".parse()?)?;
    world.publish(&service("web", "10.96.0.1", 80, APP)).await?;
    for server in SERVERS {
        for name in ["web.", "web.default.", "web.default.svc.cluster.local."] {
            let reply = ask(client.netns(), server, name, RecordType::A).await?;
            assert_eq!((data(&reply), reply.metadata.authoritative), (vec!["10.96.0.1".to_owned()], true));
            let reply = ask_tcp(client.netns(), server, name, RecordType::A).await?;
            assert_eq!(data(&reply), ["10.96.0.1"], "{server} {name}");
        }
    }
    assert!(outside.heard().is_empty());
    // The rest is asked from inside the pod, once.
    for _ in 0..2 {
        let reply = ask(client.netns(), SERVERS[0], "www.example.com.", RecordType::A).await?;
        assert_eq!((data(&reply), reply.metadata.authoritative), (vec!["192.0.2.9".to_owned()], false));
    }
    assert_eq!(outside.heard(), [(client.pod.address(), "www.example.com.".to_owned())]);
    let reply = ask(client.netns(), SERVERS[0], "nobody.", RecordType::A).await?;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    // Who is not captured asks whom it likes.
    let reply = ask(outsider.netns(), OUTSIDE, "web.default.svc.cluster.local.", RecordType::A).await?;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(outside.heard().last().context("nothing")?.0, outsider.pod.address());
    let (_, metrics) = world.get(1, 15020, "/metrics").await?;
    assert!(metrics.contains("istio_dns_requests_total{request_query_type=\"A\",request_protocol=\"tcp\""));
    Ok(())
}

#[tokio::test]
async fn dns_24_26_eg_04_eg_22_a_host_is_reached_by_name_while_its_service_entry_is_there() -> Result<()> {
    let Some(mut world) = start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let entry = entry("shop.example.com", "240.240.0.1", "2001:2::1");
    let server = world.place(2, "server", |workload| {
        workload.tunnel = TunnelProtocol::Tcp;
        workload.services.insert(entry.key.clone(), Default::default());
    });
    let server = server.await?;
    let _outside = NameServer::start(&world, "shop.example.com.", server.pod.address())?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let told =
        async |kind| anyhow::Ok(data(&ask(client.netns(), SERVERS[0], "shop.example.com.", kind).await?));
    assert_eq!(told(RecordType::A).await?, [server.pod.address().to_string()], "as from outside");
    world.publish(&entry).await?;
    for (kind, address) in [(RecordType::A, "240.240.0.1"), (RecordType::AAAA, "2001:2::1")] {
        assert_eq!(told(kind).await?, [address]);
        client.echoes(SocketAddr::new(address.parse()?, 80)).await?;
    }
    world.controller().remove(&entry);
    // Something published later, so that the removal has arrived.
    world.publish(&workload("mark", "192.0.2.77")).await?;
    assert_eq!(told(RecordType::A).await?, [server.pod.address().to_string()]);
    client.echoes(server.at(APP)).await
}

#[tokio::test]
async fn dns_25_a_workload_known_by_name_is_looked_up_when_somebody_connects() -> Result<()> {
    let Some(mut world) = start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.uncaptured(2, "server").await?;
    let outside = NameServer::start(&world, "backend.example.com.", server.pod.address())?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let entry = entry("shop.example.com", "240.240.0.1", "2001:2::1");
    let mut named = workload("named", "192.0.2.1");
    named.addresses.clear();
    named.hostname = "backend.example.com".into();
    named.tunnel = TunnelProtocol::Tcp;
    named.services.insert(entry.key.clone(), Default::default());
    world.publish(&named).await?;
    world.publish(&entry).await?;
    for _ in 0..2 {
        client.echoes("240.240.0.1:80".parse()?).await?;
    }
    assert_eq!(outside.heard(), [(client.pod.address(), "backend.example.com.".to_owned())]);
    let (_, metrics) = world.get(1, 15020, "/metrics").await?;
    let line =
        metrics.lines().find(|line| line.starts_with("istio_on_demand_dns_total{")).context("no line")?;
    assert!(line.contains("hostname=\"backend.example.com\"") && line.ends_with(" 2"), "{line}");
    Ok(())
}

#[tokio::test]
async fn sec_05_nobody_else_reaches_a_pod_s_name_server() -> Result<()> {
    let Some(mut world) = start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let other = world.captured(1, "other").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    world.publish(&service("web", "10.96.0.1", 80, APP)).await?;
    eventually(|| async { ask(client.netns(), SERVERS[0], "web.", RecordType::A).await.map(drop) }).await?;
    for from in [&other, &outsider] {
        from.is_refused(client.at(15053)).await?;
        let socket =
            from.netns().namespace().run(|| connect_udp(client.at(15053), &SocketOptions::plain()))?;
        let socket = UdpSocket::from_std(socket)?;
        socket.send(&query("web.", RecordType::A).to_vec()?).await?;
        // The port is not open on the pod's address, and the kernel says so.
        let refused = timeout(DEADLINE, socket.recv(&mut [0; 512])).await.context("silence")?;
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    }
    // Nor does the pod itself by its own address.
    client.is_refused(client.at(15053)).await
}
