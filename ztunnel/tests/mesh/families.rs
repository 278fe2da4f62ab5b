//! IPv6 beside IPv4: each family is carried by itself, whatever the tunnel.

use std::net::SocketAddr;

use anyhow::Result;
use mesh_model::NetworkAddress;
use mesh_testkit::node::Echo;

use crate::samples::service;
use crate::world::{World, eventually, with_ports};

const APP: u16 = 8080;

#[tokio::test]
async fn cap_19_lb_08_each_family_is_carried_to_its_own_address() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.unpublished(1, "client", |_| {})?;
    let server = world.unpublished(2, "server", |workload| with_ports(workload, "web", &[]))?;
    let outsider = world.unpublished(1, "outsider", |_| {})?;
    let mut places = [client, server, outsider];
    for place in &mut places {
        place.workload.addresses.push(place.pod.address_v6());
    }
    let [client, server, mut outsider] = places;
    outsider.workload.tunnel = mesh_model::TunnelProtocol::Tcp;
    for place in [&client, &server, &outsider] {
        world.publish(&place.workload).await?;
    }
    let mut web = service("web", "10.96.0.1", 80, APP);
    web.addresses.push(NetworkAddress::new("", "fd00:10:96::1".parse()?));
    world.publish(&web).await?;
    world.enrol(&client).await?;
    world.enrol(&server).await?;

    let v6 = |port| SocketAddr::new(server.pod.address_v6(), port);
    let echo_v4 = Echo::start(server.netns(), server.at(APP))?;
    let echo_v6 = Echo::start(server.netns(), v6(APP))?;
    for (destination, echo, caller, hop) in [
        (server.at(APP), &echo_v4, client.pod.address(), server.at(15008)),
        (v6(APP), &echo_v6, client.pod.address_v6(), v6(15008)),
        ("10.96.0.1:80".parse()?, &echo_v4, client.pod.address(), server.at(15008)),
        ("[fd00:10:96::1]:80".parse()?, &echo_v6, client.pod.address_v6(), v6(15008)),
    ] {
        eventually(|| client.echoes(destination)).await?;
        assert_eq!(echo.callers().last().unwrap().ip(), caller, "CAP-05: {destination}");
        let hop = hop.to_string();
        let fields = [("direction", "outbound"), ("dst.addr", &hop), ("dst.workload", "server")];
        world.logged(1, "connection complete", &fields).await?;
    }
    // CAP-16: plain text arrives by either family, from whom it came.
    for (destination, echo, caller) in
        [(server.at(APP), &echo_v4, outsider.pod.address()), (v6(APP), &echo_v6, outsider.pod.address_v6())]
    {
        eventually(|| outsider.echoes(destination)).await?;
        assert_eq!(echo.callers().last().unwrap().ip(), caller, "{destination}");
    }
    let fields = [("direction", "inbound"), ("src.workload", "outsider"), ("dst.workload", "server")];
    world.logged(2, "connection complete", &fields).await.map(drop)
}
