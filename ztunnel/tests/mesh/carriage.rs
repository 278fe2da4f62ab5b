//! Connections get where they want to go, whoever is captured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_testkit::node::Echo;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::samples::service;
use crate::sniffer::Sniffer;
use crate::world::{DEADLINE, Place, World, echoed, eventually, with_ports};

const APP: u16 = 8080;

async fn pod(world: &mut World, node: u8, name: &str, captured: bool) -> Result<Place> {
    if captured { world.captured(node, name).await } else { world.uncaptured(node, name).await }
}

#[tokio::test]
async fn cap_05_10_15_16_17_every_pairing_carries_data_and_the_application_sees_the_client() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    for (from, client_captured) in [("in", true), ("out", false)] {
        let client = pod(&mut world, 1, &format!("client-{from}"), client_captured).await?;
        for (to, node, server_captured) in
            [("near-in", 1, true), ("near-out", 1, false), ("far-in", 2, true), ("far-out", 2, false)]
        {
            let server = pod(&mut world, node, &format!("server-{from}-{to}"), server_captured).await?;
            let echo = Echo::start(server.netns(), server.at(APP))?;
            eventually(|| client.echoes(server.at(APP))).await?;
            let callers = echo.callers();
            let caller = callers.last().unwrap();
            assert_eq!(caller.ip(), client.pod.address(), "{from} to {to}: {callers:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn cap_17_what_captured_pods_say_is_encrypted_on_every_wire() -> Result<()> {
    const SECRET: &str = "the treasure is buried under the old oak";
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let near = world.captured(1, "near").await?;
    let far = world.captured(2, "far").await?;
    let outside = world.uncaptured(2, "outside").await?;
    for (server, encrypted) in [(&near, true), (&far, true), (&outside, false)] {
        let _echo = Echo::start(server.netns(), server.at(APP))?;
        eventually(|| client.echoes(server.at(APP))).await?;
        let sniffer = Sniffer::start(world.net.node(1).netns())?;
        let mut stream = client.connect(server.at(APP)).await?;
        echoed(&mut stream, SECRET).await?;
        let seen = sniffer.finish();
        let name = &server.workload.name;
        assert_eq!(seen.holds(SECRET.as_bytes()), !encrypted, "{name}: plain text on the wire");
        // Where it is plain, tunnels of before may still be saying goodbye.
        assert!(seen.holds_tls() || !encrypted, "{name}: TLS on the wire");
    }
    Ok(())
}

#[tokio::test]
async fn cap_09_a_service_leads_to_its_endpoint_and_a_pod_may_call_itself() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.place(2, "server", |workload| with_ports(workload, "web", &[])).await?;
    world.enrol(&server).await?;
    world.publish(&service("web", "10.96.0.1", 80, APP)).await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let vip: SocketAddr = "10.96.0.1:80".parse()?;
    eventually(|| client.echoes(vip)).await?;
    server.echoes(vip).await?;
    // CAP-08: not captured at all.
    server.echoes(server.at(APP)).await?;
    Ok(())
}

/// Of a line of `ss -o`: `timer:(keepalive,1min15sec,0)`.
fn seconds_to_probe(line: &str) -> Option<u64> {
    let (left, _) = line.split_once("timer:(keepalive,")?.1.split_once("sec,")?;
    let (minutes, seconds) = left.split_once("min").unwrap_or(("0", left));
    Some(minutes.parse::<u64>().ok()? * 60 + seconds.parse::<u64>().ok()?)
}

#[tokio::test]
async fn cap_25_accepted_connections_are_probed_as_configured() -> Result<()> {
    let variables = [("KEEPALIVE_TIME", "77s"), ("USER_TIMEOUT_ENABLED", "true")];
    let Some(mut world) = World::start_with(&variables).await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    echoed(&mut stream, "hello").await?;
    // What is steered is accepted at the address it was meant for.
    for (place, port) in [(&client, format!(":{APP}")), (&server, ":15008".to_owned())] {
        // While something is unacknowledged another timer runs.
        eventually(|| async {
            let sockets =
                place.netns().output("ss", &["-Htno", "state", "established", "sport", "=", &port])?;
            let soon = |line: &str| seconds_to_probe(line).is_some_and(|left| left <= 77);
            ensure!(sockets.lines().any(soon), "{port}: {sockets}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn cap_06_a_server_may_speak_first() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::with_greeting(server.netns(), server.at(APP), "welcome")?;
    for from in [&client, &outsider] {
        let mut stream = from.connect(server.at(APP)).await?;
        let mut greeting = [0; 7];
        timeout(DEADLINE, stream.read_exact(&mut greeting)).await??;
        assert_eq!(&greeting, b"welcome");
    }
    Ok(())
}

#[tokio::test]
async fn cap_11_what_the_mesh_does_not_know_is_passed_through() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outside = world.net.fabric();
    let echo = Echo::start(outside, "172.30.0.1:7777".parse()?)?;
    client.echoes(echo.address()).await?;
    // The node masquerades nothing: it is the pod itself that calls.
    assert_eq!(echo.callers()[0].ip(), client.pod.address());
    let v6 = Echo::start(outside, "[fd00:172:30::1]:7777".parse()?)?;
    client.echoes(v6.address()).await?;
    assert_eq!(v6.callers()[0].ip(), client.pod.address_v6());
    Ok(())
}

#[tokio::test]
async fn hb_31_half_close_is_passed_on_and_every_byte_arrives() -> Result<()> {
    use tokio::io::AsyncWriteExt;
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut read, mut write) = client.connect(server.at(APP)).await?.into_split();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await?;
        write.shutdown().await
    });
    let mut received = Vec::new();
    timeout(DEADLINE, read.read_to_end(&mut received)).await??;
    writing.await??;
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    Ok(())
}

#[tokio::test]
async fn cap_26_a_pod_the_controller_has_not_named_waits_and_is_then_served() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let server = world.uncaptured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let client = world.unpublished(1, "client", |_| {})?;
    world.enrol(&client).await?;

    let start = Instant::now();
    client.is_refused(server.at(APP)).await?;
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
    world.logged(1, "connection failed", &[("direction", "outbound")]).await?;

    let mut stream = client.connect(server.at(APP)).await?;
    world.controller().publish(&client.workload);
    echoed(&mut stream, "now I am somebody").await
}
