//! Pods whose connections are steered to ztunnel without connection tracking, and
//! those that cannot be: real rules and real connections in network namespaces.
#![allow(clippy::unwrap_used)]

#[path = "support/fake_ztunnel.rs"]
#[allow(dead_code, reason = "shared with the tests of ZDS")]
mod fake_ztunnel;
#[path = "support/node.rs"]
#[allow(dead_code, reason = "shared with the tests of enrolment")]
mod node;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use fake_ztunnel::FakeZtunnel;
use mesh_net::socket::{CapturedUdp, PACKET_MARK, SocketOptions, listen_tcp, speak_as, tcp_socket_for};
use mesh_testkit::node::{Echo, Pod};
use node::{DEADLINE, Node, at, captured, echoes, listen, wanted};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

const STEERED: &str = "lookup 101";

/// A captured pod, another one, and the ztunnel of their node.
struct Pods {
    node: Node,
    pod: Pod,
    other: Pod,
    ztunnel: FakeZtunnel,
}

impl Pods {
    async fn new() -> Result<Option<Self>> {
        let Some(node) = Node::new()? else { return Ok(None) };
        let (pod, other) = (node.net.node(1).pod("captured")?, node.net.node(1).pod("other")?);
        let ztunnel = node.ztunnel().await?;
        ztunnel.take_snapshot().await?;
        Ok(Some(Pods { node, pod, other, ztunnel }))
    }

    async fn enrol(&self, change: Value) -> Result<()> {
        self.node.write("1", self.pod.netns().path(), change)?;
        self.ztunnel.take_add().await?;
        Ok(())
    }

    /// Connects to the application as ztunnel does, with the address of its client.
    async fn connect_as(&self, source: IpAddr, to: SocketAddr) -> Result<TcpStream> {
        let options = SocketOptions::default();
        let socket = self.pod.netns().namespace().run(|| tcp_socket_for(to, Some(source), &options))?;
        Ok(timeout(DEADLINE, socket.connect(to)).await??)
    }

    fn switch(&self, name: &str) -> Result<String> {
        self.pod
            .netns()
            .output("cat", &[&format!("/proc/sys/net/{name}")])
            .map(|value| value.trim().to_owned())
    }
}

#[tokio::test]
async fn cni_13_nothing_is_tracked() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    assert!(captured(&pods.pod)?.contains(STEERED));
    let (outbound, hbone) = (listen(&pods.pod, 15001)?, listen(&pods.pod, 15008)?);
    let plain = listen(&pods.pod, 15006)?;
    for (own, theirs) in at(&pods.pod, 8080).into_iter().zip(at(&pods.other, 80)) {
        assert_eq!(wanted(&outbound, &pods.pod, theirs).await?, theirs);
        let tunnel = SocketAddr::new(own.ip(), 15008);
        assert_eq!(wanted(&hbone, &pods.other, tunnel).await?, tunnel);
        assert_eq!(wanted(&plain, &pods.other, own).await?, own);
        let app = Echo::start(pods.pod.netns(), own)?;
        echoes(pods.connect_as(theirs.ip(), own).await?).await?;
        assert_eq!(app.callers()[0].ip(), theirs.ip());
    }
    assert_eq!(pods.switch("netfilter/nf_conntrack_count")?, "0");
    Ok(())
}

#[tokio::test]
async fn cap_05_a_port_nobody_listens_on_refuses_ztunnel_at_once() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    for (own, client) in at(&pods.pod, 9).into_iter().zip(at(&pods.other, 0)) {
        let refused = pods.connect_as(client.ip(), own).await.unwrap_err();
        let refused = refused.downcast_ref::<std::io::Error>().context("an answer in time")?;
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    Ok(())
}

#[tokio::test]
async fn cni_13_a_pod_with_connections_keeps_them_and_is_captured_all_the_same() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    let mut kept = Vec::new();
    let mut echoing = Vec::new();
    for (own, theirs) in at(&pods.pod, 8080).into_iter().zip(at(&pods.other, 80)) {
        echoing.push(Echo::start(pods.pod.netns(), own)?);
        echoing.push(Echo::start(pods.other.netns(), theirs)?);
        kept.push(pods.pod.netns().connect(theirs).await?);
        kept.push(pods.other.netns().connect(own).await?);
    }
    pods.enrol(json!({})).await?;
    assert!(!captured(&pods.pod)?.contains(STEERED), "its routes would cut them");
    for connection in kept {
        echoes(connection).await?;
    }
    let outbound = listen(&pods.pod, 15001)?;
    for theirs in at(&pods.other, 80) {
        assert_eq!(wanted(&outbound, &pods.pod, theirs).await?, theirs);
    }
    Ok(())
}

#[tokio::test]
async fn up_15_a_steered_pod_with_connections_stays_one_when_it_is_enrolled_again() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    let [own, _] = at(&pods.pod, 8080);
    let _app = Echo::start(pods.pod.netns(), own)?;
    let held = pods.connect_as(pods.other.address(), own).await?;
    pods.enrol(json!({ "annotations": { "ambient.istio.io/dns-capture": "false" } })).await?;
    let rules = captured(&pods.pod)?;
    assert!(rules.contains(STEERED) && !rules.contains("15053"), "{rules}");
    echoes(held).await
}

/// 144.0.0.0/8 has nothing that could stand for it.
#[tokio::test]
async fn up_15_a_steered_pod_that_could_not_be_steered_now_stays_one() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    let [own, _] = at(&pods.pod, 8080);
    let _app = Echo::start(pods.pod.netns(), own)?;
    let held = pods.connect_as(pods.other.address(), own).await?;
    pods.pod.netns().output("ip", &["address", "add", "144.1.2.3/32", "dev", "eth0"])?;
    pods.enrol(json!({ "annotations": { "ambient.istio.io/dns-capture": "false" } })).await?;
    let rules = captured(&pods.pod)?;
    assert!(
        rules.contains(STEERED) && !rules.contains("15053") && !rules.contains("udp dport 53"),
        "{rules}"
    );
    echoes(held).await
}

#[tokio::test]
async fn cni_13_a_new_pod_with_such_an_address_is_translated() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.pod.netns().output("ip", &["address", "add", "144.1.2.3/32", "dev", "eth0"])?;
    pods.enrol(json!({})).await?;
    assert!(!captured(&pods.pod)?.contains(STEERED));
    let outbound = listen(&pods.pod, 15001)?;
    for theirs in at(&pods.other, 80) {
        assert_eq!(wanted(&outbound, &pods.pod, theirs).await?, theirs);
    }
    Ok(())
}

#[tokio::test]
async fn dns_01_questions_over_tcp_come_to_the_pods_own_resolver() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    for (resolver, server) in ["127.0.0.1:15053", "[::1]:15053"].into_iter().zip(at(&pods.other, 53)) {
        let resolver: SocketAddr = resolver.parse()?;
        let namespace = pods.pod.netns().namespace();
        let listener = namespace.run(|| listen_tcp(resolver, &SocketOptions::default()))?;
        let listener = TcpListener::from_std(listener)?;
        assert_eq!(wanted(&listener, &pods.pod, server).await?, server);
    }
    Ok(())
}

#[tokio::test]
async fn cap_05_a_client_and_ztunnel_may_choose_the_same_port() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    let plain = listen(&pods.pod, 15006)?;
    for (own, theirs) in at(&pods.pod, 8080).into_iter().zip(at(&pods.other, 0)) {
        let _app = Echo::start(pods.pod.netns(), own)?;
        let (client, accepted) =
            tokio::join!(pods.other.netns().connect(own), timeout(DEADLINE, plain.accept()));
        let (mut client, (mut accepted, _)) = (client?, accepted??);
        let port = client.local_addr()?.port();
        let as_client = pods.pod.netns().namespace().run(|| {
            let socket = transparent(theirs)?;
            socket.bind(&SocketAddr::new(theirs.ip(), port).into())?;
            Ok(TcpSocket::from_std_stream(socket.into()))
        })?;
        echoes(timeout(DEADLINE, as_client.connect(own)).await??).await?;
        // And the client's own connection is as it was.
        client.write_all(b"plain").await?;
        let mut received = [0; 5];
        timeout(DEADLINE, accepted.read_exact(&mut received)).await??;
        accepted.write_all(&received).await?;
        timeout(DEADLINE, client.read_exact(&mut received)).await??;
        assert_eq!(&received, b"plain");
    }
    Ok(())
}

fn transparent(family: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(family), Type::STREAM.nonblocking(), None)?;
    socket.set_mark(PACKET_MARK)?;
    if family.is_ipv4() {
        socket.set_ip_transparent_v4(true)?
    } else {
        socket.set_ip_transparent_v6(true)?
    }
    Ok(socket)
}

#[tokio::test]
async fn cap_04_a_socket_that_is_bound_to_an_interface_gets_past_nobody() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    let outbound = listen(&pods.pod, 15001)?;
    for theirs in at(&pods.other, 80) {
        let bound = pods.pod.netns().namespace().run(|| {
            let socket = Socket::new(Domain::for_address(theirs), Type::STREAM.nonblocking(), None)?;
            socket.bind_device(Some(b"eth0"))?;
            Ok(TcpSocket::from_std_stream(socket.into()))
        })?;
        let (client, accepted) = tokio::join!(timeout(DEADLINE, bound.connect(theirs)), outbound.accept());
        let (mut client, (mut accepted, _)) = (client??, accepted?);
        assert_eq!(accepted.local_addr()?.port(), 80);
        accepted.write_all(b"answer").await?;
        let mut received = [0; 6];
        timeout(DEADLINE, client.read_exact(&mut received)).await??;
        assert_eq!(&received, b"answer");
    }
    Ok(())
}

#[tokio::test]
async fn cap_04_what_is_bound_to_an_interface_that_came_later_goes_nowhere() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    let netns = pods.pod.netns();
    netns.output("ip", &["link", "add", "later", "type", "veth", "peer", "name", "other"])?;
    netns.output("ip", &["address", "add", "198.51.100.1/24", "dev", "later"])?;
    for link in ["later", "other"] {
        netns.output("ip", &["link", "set", link, "up"])?;
    }
    // Somebody who would take it.
    netns
        .output("ip", &["neighbour", "add", "198.51.100.2", "lladdr", "02:00:00:00:00:02", "dev", "later"])?;
    let bound = netns.namespace().run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        socket.bind_device(Some(b"later"))?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    })?;
    let refused = bound.connect("198.51.100.2:80".parse()?).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[tokio::test]
async fn dns_01_questions_come_to_the_pods_own_resolver_and_replies_from_where_they_were_sent() -> Result<()>
{
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({})).await?;
    let (namespace, options) = (pods.pod.netns().namespace(), SocketOptions::default());
    for (resolver, server) in ["127.0.0.1:15053", "[::1]:15053"].into_iter().zip(at(&pods.other, 53)) {
        let resolver: SocketAddr = resolver.parse()?;
        let questions = CapturedUdp::from_std(namespace.run(|| CapturedUdp::bind(resolver, &options))?)?;
        let client = UdpSocket::from_std(namespace.run(|| {
            let any = SocketAddr::new(if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
            let client = std::net::UdpSocket::bind(any)?;
            client.set_nonblocking(true)?;
            // Takes nothing from anybody else.
            client.connect(server)?;
            Ok(client)
        })?)?;
        client.send(b"question").await?;
        let mut buffer = [0; 16];
        let (length, sent) = timeout(DEADLINE, questions.receive(&mut buffer)).await??;
        assert_eq!((&buffer[..length], sent.to), (&b"question"[..], server));
        assert_eq!(sent.from, client.local_addr()?);
        namespace.run(|| speak_as(sent.to, &options))?.send_to(b"reply", sent.from)?;
        let length = timeout(DEADLINE, client.recv(&mut buffer)).await??;
        assert_eq!(&buffer[..length], b"reply");
    }
    Ok(())
}

#[tokio::test]
async fn cni_15_who_comes_from_outside_of_a_pod_that_bypasses_capture_is_answered() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    pods.enrol(json!({ "annotations": { "ambient.istio.io/bypass-inbound-capture": "true" } })).await?;
    for own in at(&pods.pod, 8080) {
        let _app = Echo::start(pods.pod.netns(), own)?;
        echoes(pods.other.netns().connect(own).await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn cni_19_a_steered_pod_that_is_let_go_is_as_it_was() -> Result<()> {
    let Some(pods) = Pods::new().await? else { return Ok(()) };
    let switches =
        ["ipv4/tcp_fwmark_accept", "ipv4/fwmark_reflect", "ipv6/fwmark_reflect", "ipv4/tcp_mtu_probing"];
    pods.enrol(json!({})).await?;
    for name in switches {
        assert_eq!(pods.switch(name)?, "1", "{name}");
    }
    let leaves = json!({ "labels": { "istio.io/dataplane-mode": "none" } });
    pods.node.write("1", pods.pod.netns().path(), leaves)?;
    assert_eq!(pods.ztunnel.take_delete().await?, "1");
    assert_eq!(captured(&pods.pod)?, "");
    for name in switches {
        assert_eq!(pods.switch(name)?, "0", "{name}");
    }
    Ok(())
}
