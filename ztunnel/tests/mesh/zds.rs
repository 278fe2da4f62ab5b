//! The node agent comes and goes, pods come and go, and ports are taken.

use anyhow::Result;
use mesh_model::Workload;
use mesh_testkit::node::Echo;
use tokio::time::timeout;

use crate::world::{DEADLINE, World, echoed, ended_by_reset, eventually, until};

const APP: u16 = 8080;

#[tokio::test]
async fn cni_12_up_14_15_connections_outlive_the_agent_and_its_return() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    echoed(&mut stream, "before").await?;
    for node in [1, 2] {
        world.stop_agent(node);
        let waiting = "not ready, pending: workload proxy manager\n";
        until(|| async { world.readiness(node).await.ok().filter(|body| body == waiting) }).await?;
        echoed(&mut stream, "without an agent").await?;
        client.echoes(server.at(APP)).await?;
        world.restart_agent(node)?;
        world.until_ready(node).await?;
        echoed(&mut stream, "with the next one").await?;
    }
    Ok(())
}

#[tokio::test]
async fn cni_19_a_pod_that_is_released_is_shut_down_at_once() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    echoed(&mut stream, "before").await?;
    world.release(&server).await?;
    ended_by_reset(&mut stream).await?;
    until(|| async { server.netns().connect(server.at(15008)).await.is_err().then_some(()) }).await?;
    // No longer captured, the pod is a plain one.
    let mut outside = server.workload.clone();
    outside.tunnel = mesh_model::TunnelProtocol::Tcp;
    world.publish(&outside).await?;
    eventually(|| client.echoes(server.at(APP))).await
}

#[tokio::test]
async fn cni_11_a_pod_whose_port_is_taken_is_pending_until_it_is_free() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.place(2, "server", |_| {}).await?;
    let taken = server.netns().listen("0.0.0.0:15008".parse()?)?;
    let refused = world.hand_over(&server).await?.unwrap_err();
    assert!(refused.contains("uid-server") && refused.contains("15008"), "{refused}");
    let waiting = "not ready, pending: workload proxy manager\n";
    assert_eq!(world.readiness(2).await?, waiting);
    let dump = world.dump(2).await?;
    assert_eq!(dump["workloadState"]["uid-server"]["state"], "Pending");
    let (_, metrics) = world.get(2, 15020, "/metrics").await?;
    assert!(metrics.contains("workload_manager_pending_proxy_count 1\n"), "{metrics}");
    drop(taken);
    world.until_ready(2).await?;
    ztunnel_agent::capture::apply(server.netns().namespace(), &Default::default()).await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await
}

#[tokio::test]
async fn cni_10_a_pod_in_another_namespace_gets_another_proxy() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let before = world.captured(2, "server").await?;
    let _echo = Echo::start(before.netns(), before.at(APP))?;
    eventually(|| client.echoes(before.at(APP))).await?;
    let mut stream = client.connect(before.at(APP)).await?;
    echoed(&mut stream, "before").await?;
    // The same pod, made anew: same uid, same name, another namespace and address.
    let after = world.unpublished(2, "server-again", |workload| {
        let addresses = workload.addresses.clone();
        *workload = Workload { addresses, ..before.workload.clone() };
    })?;
    world.publish(&after.workload).await?;
    world.enrol(&after).await?;
    timeout(DEADLINE, async { ended_by_reset(&mut stream).await }).await??;
    let _second = Echo::start(after.netns(), after.at(APP))?;
    eventually(|| client.echoes(after.at(APP))).await
}
