//! Network policies below the mesh: what they let through is enough, and what they do
//! not is told from other failures.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_testkit::node::Echo;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::world::{Place, World, eventually};

const APP: u16 = 8080;
/// Well beyond the ten seconds a connection is tried for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Drops what the node forwards to a pod, by port, as a network plugin does.
fn drop_forwarded(world: &World, server: &Place, ports: &str) -> Result<()> {
    let rule = format!(
        "add table inet guard; \
         add chain inet guard forward {{ type filter hook forward priority 0; }}; \
         add rule inet guard forward ip daddr {} tcp dport {ports} drop",
        server.pod.address()
    );
    world.net.node(server.node).netns().output("nft", &[&rule]).map(drop)
}

#[tokio::test]
async fn hb_33_a_network_policy_for_the_tunnel_s_port_alone_keeps_plain_text_out() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    for place in [&client, &outsider] {
        eventually(|| place.echoes(server.at(APP))).await?;
    }
    drop_forwarded(&world, &server, "!= 15008")?;
    client.echoes(server.at(APP)).await?;
    outsider.is_refused(server.at(APP)).await
}

#[tokio::test]
async fn hb_32_a_tunnel_that_nobody_answers_ends_after_ten_seconds_and_the_log_names_the_port() -> Result<()>
{
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    drop_forwarded(&world, &server, "15008")?;
    let began = Instant::now();
    let mut stream = client.connect(server.at(APP)).await?;
    let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await?;
    let took = began.elapsed();
    ensure!(matches!(ended, Ok(0) | Err(_)), "it carried something");
    ensure!(took >= Duration::from_secs(9) && took < Duration::from_secs(15), "{took:?}");
    let line = world.logged(1, "connection complete", &[("direction", "outbound")]).await?;
    let error = line["error"].as_str().unwrap();
    ensure!(error.contains("a NetworkPolicy may block HBONE port 15008"), "{error}");
    let metrics = world.get(1, 15020, "/metrics").await?.1;
    ensure!(metrics.contains("response_flags=\"NETWORK_POLICY\""), "{metrics}");
    Ok(())
}
