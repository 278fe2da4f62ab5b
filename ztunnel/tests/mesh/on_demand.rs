//! ztunnels that are told only what they ask for.

use anyhow::{Result, ensure};
use mesh_testkit::node::Echo;

use crate::samples::{service, workload};
use crate::world::{World, eventually, with_ports};

const APP: u16 = 8080;

#[tokio::test]
async fn ad_14_pods_reach_each_other_by_what_is_asked_for() -> Result<()> {
    let variables = [("XDS_ON_DEMAND", "true"), ("DNS_CAPTURE", "false")];
    let Some(mut world) = World::start_with(&variables).await? else { return Ok(()) };
    let client = world.unpublished(1, "client", |_| {})?;
    let server = world.unpublished(2, "server", |workload| with_ports(workload, "web", &[]))?;
    let outsider = world.unpublished(2, "outsider", |_| {})?;
    for known in [&client.workload, &server.workload, &workload("unrelated", "10.250.0.1")] {
        world.controller().publish(known);
    }
    world.controller().publish(&service("web", "10.96.0.1", 80, APP));
    world.enrol(&client).await?;
    world.enrol(&server).await?;
    let _echoes =
        [Echo::start(server.netns(), server.at(APP))?, Echo::start(outsider.netns(), outsider.at(APP))?];

    eventually(|| client.echoes("10.96.0.1:80".parse().unwrap())).await?;
    client.echoes(server.at(APP)).await?;
    client.echoes(outsider.at(APP)).await?;
    let service = ("dst.service", "web.default.svc.cluster.local");
    for (node, fields) in [
        (1, [("direction", "outbound"), ("dst.workload", "server"), service]),
        // The source is asked for as well, for the sake of log and metric.
        (2, [("direction", "inbound"), ("src.workload", "client"), service]),
    ] {
        let line = world.logged(node, "connection complete", &fields).await?;
        ensure!(line["dst.identity"] == server.identity().to_string(), "{line}");
        let dump = world.dump(node).await?;
        let known = dump["workloads"].as_array().unwrap();
        ensure!(known.iter().all(|known| known["name"] != "unrelated"), "{known:?}");
    }

    // Without the controller what is known is reached; what is not is not guessed at.
    world.controller = None;
    client.echoes(server.at(APP)).await?;
    let unknown = "10.244.2.77:80".parse()?;
    client.is_refused(unknown).await?;
    let line = world.logged(1, "connection failed", &[("dst.addr", "10.244.2.77:80")]).await?;
    ensure!(line["error"].as_str().unwrap().contains("has not said within 5 s"), "{line}");
    Ok(())
}
