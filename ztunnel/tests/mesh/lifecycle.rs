//! Ends and beginnings: of ztunnel, of the controller, of pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_model::Identity;
use mesh_testkit::node::{Echo, Process};

use crate::world::{DEADLINE, World, echoed, ended_by_reset, eventually, request_in, terminate, until};

const APP: u16 = 8080;

#[tokio::test]
async fn a_killed_ztunnel_s_successor_serves_the_same_pods() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    for node in [1, 2] {
        eventually(|| client.echoes(server.at(APP))).await?;
        let mut stream = client.connect(server.at(APP)).await?;
        echoed(&mut stream, "before").await?;
        world.kill_ztunnel(node);
        ended_by_reset(&mut stream).await?;
        client.is_refused(server.at(APP)).await?;
        world.start_ztunnel(node, &[])?;
        world.until_ready(node).await?;
        eventually(|| client.echoes(server.at(APP))).await?;
    }
    Ok(())
}

async fn exit_code(mut process: Process) -> Result<Option<i32>> {
    let status = until(|| {
        let status = process.0.try_wait();
        async move { status.transpose() }
    });
    Ok(status.await??.code())
}

#[tokio::test]
async fn up_06_a_terminated_ztunnel_lets_connections_end_and_takes_no_new_ones() -> Result<()> {
    let variables = [("CONNECTION_TERMINATION_DEADLINE", "15s")];
    let Some(mut world) = World::start_with(&variables).await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    for node in [1, 2] {
        let mut stream = client.connect(server.at(APP)).await?;
        echoed(&mut stream, "before").await?;
        let process = world.terminate_ztunnel(node);
        eventually(|| client.is_refused(server.at(APP))).await?;
        echoed(&mut stream, "still here").await?;
        let begin = tokio::time::Instant::now();
        drop(stream);
        assert_eq!(exit_code(process).await?, Some(0));
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(3), "idle, it ends at once: {took:?}");
        world.start_ztunnel(node, &variables)?;
        world.until_ready(node).await?;
        eventually(|| client.echoes(server.at(APP))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn up_07_past_the_deadline_connections_are_cut() -> Result<()> {
    let variables = [("CONNECTION_TERMINATION_DEADLINE", "1s")];
    let Some(mut world) = World::start_with(&variables).await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    for node in [2, 1] {
        let mut open = Vec::new();
        for _ in 0..150 {
            let mut stream = client.connect(server.at(APP)).await?;
            echoed(&mut stream, "before").await?;
            open.push(stream);
        }
        let process = world.terminate_ztunnel(node);
        for stream in &mut open {
            ended_by_reset(stream).await?;
        }
        // UP-19: with hundreds of connections too.
        assert_eq!(exit_code(process).await?, Some(0));
        world.start_ztunnel(node, &variables)?;
        world.until_ready(node).await?;
        eventually(|| client.echoes(server.at(APP))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn up_11_traffic_goes_on_without_the_controller_and_its_successor_is_followed() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    world.controller = None;
    echoed(&mut stream, "orphaned").await?;
    client.echoes(server.at(APP)).await?;
    assert_eq!(world.readiness(1).await?, "ready\n");

    world.start_controller()?;
    let newcomer = world.place(2, "newcomer", |_| {}).await?;
    for known in [&client, &server] {
        world.controller().publish(&known.workload);
    }
    world.enrol(&newcomer).await?;
    let _second = Echo::start(newcomer.netns(), newcomer.at(APP))?;
    eventually(|| client.echoes(newcomer.at(APP))).await?;
    echoed(&mut stream, "adopted").await
}

#[tokio::test]
async fn id_04_05_one_certificate_for_each_service_account_as_long_as_it_has_a_pod() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let twin = |workload: &mut mesh_model::Workload| workload.service_account = "shared".into();
    let first = world.place(1, "first", twin).await?;
    let second = world.place(1, "second", twin).await?;
    let far = world.captured(2, "far").await?;
    world.enrol(&first).await?;
    world.enrol(&second).await?;
    let identity = first.identity();
    // Without a single connection.
    eventually(|| held(&world, &identity, 1)).await?;
    assert_eq!(world.ca.calls().iter().filter(|asked| **asked == identity).count(), 1);
    world.release(&first).await?;
    until(|| async { pods(&world, 1).await.ok().filter(|pods| pods == &["uid-second"]) }).await?;
    held(&world, &identity, 1).await?;
    world.release(&second).await?;
    eventually(|| held(&world, &identity, 0)).await?;
    world.release(&far).await
}

/// Node 1 holds that many certificates of this identity, and none of pods elsewhere.
async fn held(world: &World, identity: &Identity, wanted: usize) -> Result<()> {
    let dump = world.dump(1).await?;
    let all = dump["certificates"].as_array().unwrap();
    let available = all.iter().filter(|one| one["state"] == "Available");
    let count = available.filter(|one| one["identity"] == identity.to_string()).count();
    ensure!(count == wanted, "{all:?}");
    ensure!(!all.iter().any(|one| one["identity"].as_str().unwrap().ends_with("/sa/far")), "{all:?}");
    Ok(())
}

async fn pods(world: &World, node: u8) -> Result<Vec<String>> {
    let dump = world.dump(node).await?;
    Ok(dump["workloadState"].as_object().unwrap().keys().cloned().collect())
}

#[tokio::test]
async fn certificates_are_renewed_without_a_lost_connection() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    world.ca.change(|behaviour| behaviour.lifetime = Duration::from_secs(4));
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    let renewals = || world.ca.calls().iter().filter(|asked| **asked == server.identity()).count();
    let begin = tokio::time::Instant::now();
    while renewals() < 3 {
        client.echoes(server.at(APP)).await?;
        echoed(&mut stream, "still here").await?;
        ensure!(begin.elapsed() < DEADLINE, "not renewed");
    }
    Ok(())
}

#[tokio::test]
async fn memory_is_bounded_by_what_connections_need() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    client.echoes(server.at(APP)).await?;
    let idle = [world.resident_kib(1)?, world.resident_kib(2)?];
    let mut open = Vec::new();
    for _ in 0..2000 {
        let mut stream = client.connect(server.at(APP)).await?;
        echoed(&mut stream, "hello").await?;
        open.push(stream);
    }
    let busy = [world.resident_kib(1)?, world.resident_kib(2)?];
    println!("resident: idle {idle:?} KiB, with 2000 connections {busy:?} KiB");
    for (idle, busy) in idle.iter().zip(busy) {
        let each = busy.saturating_sub(*idle) / 2000;
        ensure!(each <= 12, "{each} KiB a connection");
    }
    Ok(())
}

#[tokio::test]
async fn up_09_a_port_that_is_taken_ends_the_start() -> Result<()> {
    let Some(world) = World::start().await? else { return Ok(()) };
    let second = world.spawn_ztunnel(1, world.net.node(1).netns(), &[])?;
    assert_ne!(exit_code(second).await?, Some(0));
    assert!(world.raw_log(1).contains("15000"), "{}", world.raw_log(1));
    Ok(())
}

#[tokio::test]
async fn up_16_a_successor_takes_over_without_a_refused_connection() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    client.echoes(server.at(APP)).await?;
    for node in [1, 2] {
        let own = world.net.node(node).pod("next")?;
        let successor = world.spawn_ztunnel(node, own.netns(), &[])?;
        until(|| async {
            let (status, _) = request_in(own.netns(), 15021, "GET", "/healthz/ready").await.ok()?;
            (status == 200).then_some(())
        })
        .await?;
        let predecessor = world.replace_ztunnel(node, successor);
        terminate(&predecessor);
        let mut ending = std::pin::pin!(exit_code(predecessor));
        loop {
            tokio::select! {
                code = &mut ending => {
                    assert_eq!(code?, Some(0));
                    break;
                }
                echoed = client.echoes(server.at(APP)) => echoed?,
            }
        }
        client.echoes(server.at(APP)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn up_16_a_successor_leaves_the_pods_to_its_predecessor_until_it_has_their_certificates() -> Result<()>
{
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    client.echoes(server.at(APP)).await?;
    world.ca.change(|behaviour| behaviour.failure = Some("switched off".to_owned()));
    let own = world.net.node(2).pod("next")?;
    let successor = world.spawn_ztunnel(2, own.netns(), &[])?;
    let asked = || world.ca.calls().iter().filter(|asked| **asked == server.identity()).count();
    until(|| async { (asked() >= 3).then_some(()) }).await?;
    let (status, pending) = request_in(own.netns(), 15021, "GET", "/healthz/ready").await?;
    assert!(status == 500 && pending.contains("workload proxy manager"), "{status} {pending}");
    for _ in 0..50 {
        client.echoes(server.at(APP)).await?;
    }
    world.ca.change(|behaviour| behaviour.failure = None);
    until(|| async {
        let (status, _) = request_in(own.netns(), 15021, "GET", "/healthz/ready").await.ok()?;
        (status == 200).then_some(())
    })
    .await?;
    terminate(&world.replace_ztunnel(2, successor));
    for _ in 0..50 {
        client.echoes(server.at(APP)).await?;
    }
    Ok(())
}
