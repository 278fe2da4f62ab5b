//! Metrics and access logs of both sides, to the letter.

use anyhow::{Context, Result, ensure};
use mesh_testkit::node::Echo;
use tokio::io::AsyncReadExt;

use crate::samples::service;
use crate::world::{Place, World, echoed, eventually, until, with_ports};

const APP: u16 = 8080;

/// A captured client, and a captured server behind service `web` that speaks 11 bytes first.
async fn start() -> Result<Option<(World, Place, Place, Echo)>> {
    let Some(mut world) = World::start().await? else { return Ok(None) };
    let client = world.captured(1, "client").await?;
    let server = world.place(2, "server", |workload| with_ports(workload, "web", &[])).await?;
    world.enrol(&server).await?;
    world.publish(&service("web", "10.96.0.1", 80, APP)).await?;
    let echo = Echo::with_greeting(server.netns(), server.at(APP), "welcome    ")?;
    let mut stream = client.connect("10.96.0.1:80".parse()?).await?;
    stream.read_exact(&mut [0; 11]).await?;
    echoed(&mut stream, "eleven byte").await?;
    Ok(Some((world, client, server, echo)))
}

#[tokio::test]
async fn tel_07_11_12_both_sides_log_the_connection_each_from_its_own_side() -> Result<()> {
    let Some((world, client, server, _echo)) = start().await? else { return Ok(()) };
    let (source, destination) = (client.identity().to_string(), server.identity().to_string());
    let (target, tunnel) = (server.at(APP).to_string(), server.at(15008).to_string());
    for (node, direction, sent, received) in [(1, "outbound", 11, 22), (2, "inbound", 22, 11)] {
        let fields = [
            ("src.workload", "client"),
            ("src.namespace", "default"),
            ("src.cluster", "Kubernetes"),
            ("src.identity", source.as_str()),
            ("dst.addr", tunnel.as_str()),
            ("dst.hbone_addr", target.as_str()),
            ("dst.service", "web.default.svc.cluster.local"),
            ("dst.workload", "server"),
            ("dst.namespace", "default"),
            ("dst.cluster", "Kubernetes"),
            ("dst.identity", destination.as_str()),
            ("direction", direction),
        ];
        let line = world.logged(node, "connection complete", &fields).await?;
        assert_eq!((&line["bytes_sent"], &line["bytes_recv"]), (&sent.into(), &received.into()), "{line}");
        assert_eq!(line["level"], "info");
        let duration = line["duration"].as_str().unwrap().strip_suffix("ms").unwrap();
        assert!(duration.parse::<u64>().is_ok(), "{line}");
        assert!(line.get("error").is_none(), "{line}");
        let fields = [("direction", direction), ("dst.hbone_addr", target.as_str())];
        assert_eq!(world.logged(node, "connection opened", &fields).await?["level"], "debug");
    }
    Ok(())
}

#[tokio::test]
async fn tel_01_02_06_both_sides_count_the_connection_from_the_client_s_view() -> Result<()> {
    let Some((world, client, server, _echo)) = start().await? else { return Ok(()) };
    let (source, destination) = (client.identity().to_string(), server.identity().to_string());
    for (node, reporter) in [(1, "source"), (2, "destination")] {
        let labels = [
            format!("reporter=\"{reporter}\""),
            "source_workload=\"client\"".to_owned(),
            format!("source_principal=\"{source}\""),
            format!("destination_principal=\"{destination}\""),
            "destination_service=\"web.default.svc.cluster.local\"".to_owned(),
            "destination_service_name=\"web\"".to_owned(),
            "destination_service_namespace=\"default\"".to_owned(),
            "request_protocol=\"tcp\"".to_owned(),
            "response_flags=\"-\"".to_owned(),
            "connection_security_policy=\"mutual_tls\"".to_owned(),
        ];
        for (name, expected) in [
            ("istio_tcp_connections_opened_total", 1),
            ("istio_tcp_connections_closed_total", 1),
            ("istio_tcp_received_bytes_total", 11),
            ("istio_tcp_sent_bytes_total", 22),
        ] {
            let value = eventually_counted(&world, node, name, &labels).await?;
            assert_eq!(value, expected, "{reporter} {name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn tel_21_discovery_streams_and_open_connections_are_counted() -> Result<()> {
    let Some((mut world, client, server, _echo)) = start().await? else { return Ok(()) };
    let mut stream = client.connect(server.at(APP)).await?;
    stream.read_exact(&mut [0; 11]).await?;
    for (node, reporter) in [(1, "source"), (2, "destination")] {
        let labels = [format!("reporter=\"{reporter}\"")];
        // The connection before may take a moment to end.
        eventually(|| async {
            let open = eventually_counted(&world, node, "istio_tcp_sockets_open", &labels).await?;
            ensure!(open == 1, "{open} are open");
            Ok(())
        })
        .await?;
    }
    let addresses = ["url=\"type.googleapis.com/istio.workload.Address\"".to_owned()];
    for name in ["istio_xds_message_total", "istio_xds_message_bytes_total"] {
        assert!(eventually_counted(&world, 1, name, &addresses).await? > 0, "{name}");
    }
    world.controller = None;
    let lost = ["reason=\"ConnectionError\"".to_owned()];
    assert!(eventually_counted(&world, 1, "istio_xds_connection_terminations_total", &lost).await? > 0);
    Ok(())
}

/// The value of a metric with these labels, once there is one.
async fn eventually_counted(world: &World, node: u8, name: &str, labels: &[String]) -> Result<u64> {
    let found = until(|| async {
        let (_, metrics) = world.get(node, 15020, "/stats/prometheus").await.ok()?;
        let fits = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        metrics.lines().find(fits).map(str::to_owned)
    });
    let line = found.await.with_context(|| format!("no {name} with {labels:?}"))?;
    Ok(line.rsplit(' ').next().context("no value")?.parse()?)
}

#[tokio::test]
async fn tel_03_plain_connections_claim_no_identity() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outside = world.uncaptured(2, "outside").await?;
    let _echo = Echo::start(outside.netns(), outside.at(APP))?;
    eventually(|| client.echoes(outside.at(APP))).await?;
    let line = world.logged(1, "connection complete", &[("dst.workload", "outside")]).await?;
    for field in ["src.identity", "dst.identity", "dst.hbone_addr"] {
        assert!(line.get(field).is_none(), "{line}");
    }
    assert_eq!(line["dst.addr"], outside.at(APP).to_string());
    let (_, metrics) = world.get(1, 15020, "/metrics").await?;
    let line = metrics.lines().find(|line| {
        line.starts_with("istio_tcp_connections_opened_total")
            && line.contains("destination_workload=\"outside\"")
    });
    let line = line.unwrap();
    for label in [
        "connection_security_policy=\"unknown\"",
        "source_principal=\"unknown\"",
        "destination_principal=\"unknown\"",
    ] {
        assert!(line.contains(label), "{line}");
    }
    Ok(())
}
