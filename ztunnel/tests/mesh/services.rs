//! Services in front of a pod, and a pod that has a waypoint.

use std::net::SocketAddr;

use anyhow::Result;
use mesh_model::{Health, LoadBalancingMode, RoutingScope};
use mesh_testkit::node::Echo;

use crate::samples::{gateway, service};
use crate::world::{World, eventually, with_ports};

#[tokio::test]
async fn cap_27_each_of_several_services_leads_to_its_own_port_also_one_that_is_new() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world
        .place(2, "server", |workload| {
            for name in ["first", "second", "same", "late"] {
                with_ports(workload, name, &[]);
            }
        })
        .await?;
    world.enrol(&server).await?;
    // One service port and two targets, two service ports and one target.
    for (name, vip, port, target) in [
        ("first", "10.96.0.1", 80, 8081),
        ("second", "10.96.0.2", 80, 8082),
        ("same", "10.96.0.3", 8000, 8081),
    ] {
        world.publish(&service(name, vip, port, target)).await?;
    }
    let one = Echo::start(server.netns(), server.at(8081))?;
    let two = Echo::start(server.netns(), server.at(8082))?;
    for (vip, calls) in [("10.96.0.1:80", (1, 0)), ("10.96.0.2:80", (1, 1)), ("10.96.0.3:8000", (2, 1))] {
        client.echoes(vip.parse()?).await?;
        assert_eq!((one.callers().len(), two.callers().len()), calls, "{vip}");
    }
    world.controller().publish(&service("late", "10.96.0.4", 80, 8082));
    eventually(|| client.echoes("10.96.0.4:80".parse().unwrap())).await
}

#[tokio::test]
async fn lb_10_who_is_near_is_preferred_and_who_is_far_takes_over() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let mut near = world.place(1, "near", |workload| with_ports(workload, "web", &[])).await?;
    let far = world.place(2, "far", |workload| with_ports(workload, "web", &[])).await?;
    world.enrol(&near).await?;
    world.enrol(&far).await?;
    let mut web = service("web", "10.96.0.1", 80, 8080);
    web.load_balancing.mode = LoadBalancingMode::Failover;
    web.load_balancing.preferences = vec![RoutingScope::Network, RoutingScope::Node];
    world.publish(&web).await?;
    let here = Echo::start(near.netns(), near.at(8080))?;
    let there = Echo::start(far.netns(), far.at(8080))?;
    let vip: SocketAddr = "10.96.0.1:80".parse()?;
    for _ in 0..20 {
        client.echoes(vip).await?;
    }
    assert_eq!((here.callers().len(), there.callers().len()), (20, 0));
    near.workload.health = Health::Unhealthy;
    world.publish(&near.workload).await?;
    for _ in 0..5 {
        client.echoes(vip).await?;
    }
    assert_eq!((here.callers().len(), there.callers().len()), (20, 5));
    Ok(())
}

#[tokio::test]
async fn cap_30_plain_connections_are_judged_and_described_where_they_arrive() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let outsider = world.uncaptured(1, "outsider").await?;
    // Nobody is at the waypoint's address, so whoever goes there fails.
    let server = world
        .place(2, "server", |workload| {
            workload.waypoint = Some(gateway("10.244.2.200", 15008));
            with_ports(workload, "web", &[]);
        })
        .await?;
    world.enrol(&server).await?;
    world.publish(&service("web", "10.96.0.1", 80, 8080)).await?;
    let _echo = Echo::start(server.netns(), server.at(8080))?;
    eventually(|| outsider.echoes(server.at(8080))).await?;
    let at = server.at(8080).to_string();
    let fields = [
        ("direction", "inbound"),
        ("dst.addr", at.as_str()),
        ("dst.workload", "server"),
        ("dst.service", "web.default.svc.cluster.local"),
    ];
    world.logged(2, "connection complete", &fields).await.map(drop)
}

#[tokio::test]
async fn cap_13_what_tells_pods_by_their_addresses_sees_the_pod() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    // The metadata server of a cloud, beyond the node.
    let metadata: SocketAddr = "169.254.169.254:80".parse()?;
    world.net.fabric().ip("address add 169.254.169.254/32 dev lo\n")?;
    world.net.node(1).netns().ip("route add 169.254.169.254/32 via 172.30.0.1\n")?;
    let echo = Echo::start(world.net.fabric(), metadata)?;
    eventually(|| client.echoes(metadata)).await?;
    let callers = echo.callers();
    assert!(callers.iter().all(|caller| caller.ip() == client.pod.address()), "{callers:?}");
    Ok(())
}
