//! Probes of the node, with real rules on a node of network namespaces.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mesh_testkit::node::{Echo, Pod, Testnet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use ztunnel_agent::capture::{self, Settings};
use ztunnel_agent::host::Host;

fn at(pod: &Pod) -> [SocketAddr; 2] {
    [SocketAddr::new(pod.address(), 8080), SocketAddr::new(pod.address_v6(), 8080)]
}

#[tokio::test]
async fn cni_14_probes_of_the_node_pass_a_captured_pod() -> Result<()> {
    let Some(net) = Testnet::new(1)? else { return Ok(()) };
    let (pod, other) = (net.node(1).pod("captured")?, net.node(1).pod("other")?);
    let node = net.node(1).netns();
    let mut host = Host::new(node.namespace().clone());
    let addresses: BTreeSet<_> = at(&pod).map(|address| address.ip()).into();
    host.probe(&addresses).await?;
    capture::apply(pod.netns().namespace(), &Settings::default()).await?;
    for (address, probe) in
        at(&pod).into_iter().zip(["169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"])
    {
        let app = Echo::start(pod.netns(), address)?;
        let mut probing = node.connect(address).await.with_context(|| format!("a probe of {address}"))?;
        // Once it answers, it has taken the connection.
        probing.write_all(b"?").await?;
        probing.read_exact(&mut [0]).await?;
        assert_eq!(app.callers()[0].ip().to_string(), probe);
        assert!(other.netns().connect(address).await.is_err(), "who only passes the node is captured");
    }

    let text = node.output("nft", &["list", "table", "inet", "adit-host"])?;
    Host::new(node.namespace().clone()).probe(&addresses).await?;
    assert_eq!(
        node.output("nft", &["list", "table", "inet", "adit-host"])?,
        text,
        "a restart changes nothing"
    );
    host.probe(&BTreeSet::new()).await?;
    assert!(
        node.connect(at(&pod)[0]).await.is_err(),
        "a pod that is not probed is captured for the node too"
    );
    host.clear().await?;
    host.clear().await?;
    assert_eq!(node.output("nft", &["list", "ruleset"])?, "");
    Ok(())
}
