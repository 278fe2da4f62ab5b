//! The whole agent on a node of network namespaces: real rules, real connections,
//! and a ztunnel that is only the sockets of one.
#![allow(clippy::unwrap_used)]

#[path = "support/fake_ztunnel.rs"]
#[allow(dead_code, reason = "shared with the tests of ZDS")]
mod fake_ztunnel;

#[path = "support/node.rs"]
#[allow(dead_code, reason = "shared with the tests of steering")]
mod node;

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mesh_net::namespace::Namespace;
use mesh_net::socket::{SocketOptions, tcp_socket_for};
use mesh_testkit::node::Echo;
use node::{DEADLINE, Node, at, captured, echoes, listen, wanted};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test]
async fn cap_01_a_running_pod_is_enrolled_and_let_go_without_a_restart() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let (pod, other) = (node.net.node(1).pod("captured")?, node.net.node(1).pod("other")?);
    let ztunnel = node.ztunnel().await?;
    assert!(ztunnel.take_snapshot().await?.is_empty());

    node.write("1", pod.netns().path(), json!({}))?;
    let received = ztunnel.next().await?;
    let namespace = Namespace::from_fd(received.descriptor.context("a network namespace")?)?;
    assert_eq!(namespace.inode(), pod.netns().namespace().inode());
    assert!(captured(&pod)?.contains(" to :15001"), "rules come before ztunnel");
    assert!(node.result("1").is_none(), "and the result after it");
    ztunnel.ack("").await?;
    assert_eq!(node.wait_for("1", "enabled").await?, "");

    let echo = Echo::start(other.netns(), at(&other, 80)[0])?;
    node.write("1", pod.netns().path(), json!({ "labels": { "istio.io/dataplane-mode": "none" } }))?;
    assert_eq!(ztunnel.take_delete().await?, "1");
    node.wait_for("1", "none").await?;
    assert_eq!(captured(&pod)?, "", "nothing is left");
    echoes(pod.netns().connect(echo.address()).await?).await?;

    node.write("1", pod.netns().path(), json!({}))?;
    assert_eq!(ztunnel.take_add().await?.0, "1");
    node.wait_for("1", "enabled").await?;
    fs::remove_file(node.files.path().join("pods/1.json"))?;
    assert_eq!(ztunnel.take_delete().await?, "1");
    Ok(())
}

#[tokio::test]
async fn cni_13_connections_of_an_enrolled_pod_arrive_where_they_should() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let (pod, other) = (node.net.node(1).pod("captured")?, node.net.node(1).pod("other")?);
    let ztunnel = node.ztunnel().await?;
    ztunnel.take_snapshot().await?;
    node.write("1", pod.netns().path(), json!({}))?;
    ztunnel.take_add().await?;

    let (outbound, inbound, hbone) = (listen(&pod, 15001)?, listen(&pod, 15006)?, listen(&pod, 15008)?);
    for (own, theirs) in at(&pod, 8080).into_iter().zip(at(&other, 80)) {
        assert_eq!(wanted(&outbound, &pod, theirs).await?, theirs);
        assert_eq!(wanted(&inbound, &other, own).await?, own);
        let tunnel = SocketAddr::new(own.ip(), 15008);
        assert_eq!(wanted(&hbone, &other, tunnel).await?, tunnel);

        // What ztunnel sends itself is let pass.
        let echo = Echo::start(other.netns(), theirs)?;
        echoes(pod.netns().connect_with(theirs, &SocketOptions::default()).await?).await?;
        assert_eq!(echo.callers()[0].ip(), own.ip());
    }
    Ok(())
}

#[tokio::test]
async fn cap_08_a_pod_that_calls_itself_is_not_captured() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let pod = node.net.node(1).pod("captured")?;
    let ztunnel = node.ztunnel().await?;
    ztunnel.take_snapshot().await?;
    node.write("1", pod.netns().path(), json!({}))?;
    ztunnel.take_add().await?;
    let [v4, v6] = at(&pod, 8080);
    for address in [v4, v6, "127.0.0.1:8080".parse()?, "[::1]:8080".parse()?] {
        let _app = Echo::start(pod.netns(), address)?;
        echoes(pod.netns().connect(address).await.with_context(|| address.to_string())?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn cap_05_the_application_sees_the_client_and_its_answers_come_back() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let (pod, client) = (node.net.node(1).pod("captured")?, node.net.node(1).pod("client")?);
    let ztunnel = node.ztunnel().await?;
    ztunnel.take_snapshot().await?;
    node.write("1", pod.netns().path(), json!({}))?;
    ztunnel.take_add().await?;
    for (address, source) in at(&pod, 8080).into_iter().zip(at(&client, 0)) {
        let app = Echo::start(pod.netns(), address)?;
        let namespace = pod.netns().namespace();
        let options = SocketOptions::default();
        let socket = namespace.run(|| tcp_socket_for(address, Some(source.ip()), &options))?;
        echoes(timeout(DEADLINE, socket.connect(address)).await??).await?;
        assert_eq!(app.callers()[0].ip(), source.ip());
    }
    Ok(())
}

#[tokio::test]
async fn up_15_capture_outlives_the_agent_and_the_next_one_takes_it_over() -> Result<()> {
    let Some(mut node) = Node::new()? else { return Ok(()) };
    let pods = ["stays", "leaves", "dies"].map(|name| node.net.node(1).pod(name).unwrap());
    let ztunnel = node.ztunnel().await?;
    ztunnel.take_snapshot().await?;
    for (uid, pod) in ["1", "2", "3"].iter().zip(&pods) {
        node.write(uid, pod.netns().path(), json!({}))?;
        ztunnel.take_add().await?;
        node.wait_for(uid, "enabled").await?;
    }
    let before = captured(&pods[0])?;
    node.kill().await;
    assert!(ztunnel.receive().await?.is_none());
    assert_eq!(captured(&pods[0])?, before, "capture does not need the agent");
    let outbound = listen(&pods[0], 15001)?;
    let destination = at(&pods[1], 80)[0];
    assert_eq!(wanted(&outbound, &pods[0], destination).await?, destination);

    node.write("2", pods[1].netns().path(), json!({ "namespaceLabels": {} }))?;
    fs::remove_file(node.files.path().join("pods/3.json"))?;
    node.start();
    let ztunnel = node.ztunnel().await?;
    assert_eq!(ztunnel.take_snapshot().await?, ["1"], "who left meanwhile is not in it");
    node.wait_for("2", "none").await?;
    assert_eq!(captured(&pods[0])?, before);
    assert_eq!(captured(&pods[1])?, "");
    assert_eq!(node.result("1").unwrap()["redirection"], "enabled");
    assert!(node.result("3").is_none());

    let mut health = node.net.node(1).netns().connect("127.0.0.1:8000".parse()?).await?;
    health.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    health.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ready\n"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn cni_11_a_pod_ztunnel_refuses_is_pending_and_offered_again() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let pod = node.net.node(1).pod("captured")?;
    node.write("1", pod.netns().path(), json!({}))?;
    let waiting = node.wait_for("1", "pending").await?;
    assert_eq!(waiting, "no ztunnel is connected to this node's agent");
    let ztunnel = node.ztunnel().await?;
    ztunnel.hello().await?;
    ztunnel.next().await?;
    ztunnel.ack("port 15001 in use").await?;
    ztunnel.next().await?; // the end of the snapshot
    ztunnel.ack("").await?;
    let again = ztunnel.take_add().await?;
    assert_eq!(again.0, "1");
    node.wait_for("1", "enabled").await?;
    Ok(())
}

#[tokio::test]
async fn cni_15_annotations_change_the_rules_of_a_running_pod() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let pod = node.net.node(1).pod("captured")?;
    let ztunnel = node.ztunnel().await?;
    ztunnel.take_snapshot().await?;
    // DNS-01: unless the pod says otherwise.
    node.write("1", pod.netns().path(), json!({}))?;
    ztunnel.take_add().await?;
    let rules = captured(&pod)?;
    assert!(rules.contains(" to :15053") && rules.contains(" to :15006"), "{rules}");

    let bypass = json!({ "annotations": {
        "ambient.istio.io/bypass-inbound-capture": "true", "ambient.istio.io/dns-capture": "false",
    } });
    node.write("1", pod.netns().path(), bypass)?;
    ztunnel.take_add().await?;
    let rules = captured(&pod)?;
    assert!(!rules.contains("15053") && !rules.contains("15006"), "{rules}");
    assert!(rules.contains(" to :15001"), "{rules}");
    Ok(())
}

#[tokio::test]
async fn cni_16_the_network_of_the_node_is_never_touched() -> Result<()> {
    let Some(node) = Node::new()? else { return Ok(()) };
    let own = node.net.node(1).netns();
    let pod = node.net.node(1).pod("captured")?;
    let before = own.output("ip", &["rule", "show"])?;
    node.write("host", own.path(), json!({ "hostNetwork": true }))?;
    node.wait_for("host", "none").await?;
    node.write("liar", own.path(), json!({}))?;
    assert_eq!(node.wait_for("liar", "pending").await?, "its network namespace is the node's own");
    node.write("nowhere", "/run/netns/adit-no-such".into(), json!({}))?;
    let reason = node.wait_for("nowhere", "pending").await?;
    assert!(reason.contains("/run/netns/adit-no-such"), "{reason}");
    node.write("one", pod.netns().path(), json!({}))?;
    node.wait_for("one", "pending").await?;
    node.write("two", pod.netns().path(), json!({}))?;
    let reason = node.wait_for("two", "pending").await?;
    assert_eq!(reason, "its network namespace is that of pod one");
    assert_eq!(own.output("nft", &["list", "ruleset"])?, "");
    assert_eq!(own.output("ip", &["rule", "show"])?, before);
    Ok(())
}
