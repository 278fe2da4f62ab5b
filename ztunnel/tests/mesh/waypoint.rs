//! What a waypoint is sent, and what a pod that is a proxy itself is told.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use mesh_hbone::{ConnectRequest, Incoming, Settings, TlsStream, TunnelStream};
use mesh_model::{ApplicationTunnel, ApplicationTunnelProtocol, Identity};
use mesh_net::proxy_protocol;
use mesh_runtime::drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::samples::{gateway, service};
use crate::world::{DEADLINE, Place, World, eventually};

const APP: u16 = 8080;

/// A waypoint that answers by itself: every tunnel is an echo.
fn start_waypoint(
    world: &World,
    place: &Place,
) -> Result<mpsc::UnboundedReceiver<(Identity, ConnectRequest)>> {
    let certificate = world.ca.certificate(&place.identity());
    let listener = place.netns().listen(place.at(15008))?;
    let (told, requests) = mpsc::unbounded_channel();
    tokio::spawn(accept(listener, certificate, told));
    Ok(requests)
}

async fn accept(
    listener: TcpListener,
    certificate: Arc<mesh_identity::Certificate>,
    told: mpsc::UnboundedSender<(Identity, ConnectRequest)>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (certificate, told) = (Arc::clone(&certificate), told.clone());
        tokio::spawn(async move {
            let tls = TlsStream::accept(stream, &certificate, DEADLINE).await.unwrap();
            let peer = tls.peer_identity().clone();
            let (_trigger, watcher) = drain::channel();
            let handler = move |incoming: Incoming| {
                told.send((peer.clone(), incoming.request.clone())).unwrap();
                echo(incoming.accept(&[]).unwrap())
            };
            mesh_hbone::serve(tls, &Settings::default(), watcher, handler).await
        });
    }
}

async fn echo(tunnel: TunnelStream) {
    let (mut read, mut write) = split(tunnel);
    let _ = copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

#[tokio::test]
async fn wp_11_hb_02_hb_03_a_waypoint_is_asked_for_what_the_client_asked_for() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let waypoint = world.place(2, "waypoint", |_| {}).await?;
    let address = waypoint.pod.address().to_string();
    let mut requests = start_waypoint(&world, &waypoint)?;
    let mut shaped = service("shaped", "10.96.0.7", 80, APP);
    shaped.waypoint = Some(gateway(&address, 15008));
    world.publish(&shaped).await?;
    let guarded =
        world.place(2, "guarded", |workload| workload.waypoint = Some(gateway(&address, 15008))).await?;

    for (destination, host) in [
        ("10.96.0.7:80".parse::<SocketAddr>()?, ";host=shaped.default.svc.cluster.local"),
        (guarded.at(APP), ""),
    ] {
        eventually(|| client.echoes(destination)).await?;
        let (source, request) = timeout(DEADLINE, requests.recv()).await?.context("no request")?;
        assert_eq!(source, client.identity());
        assert_eq!(request.target.to_string(), destination.to_string());
        let forwarded = request.forwarded.unwrap();
        assert!(forwarded.starts_with(&format!("for=\"{}:", client.pod.address())), "{forwarded}");
        assert!(forwarded.ends_with(&format!("\"{host}")), "{forwarded}");
        assert_eq!(request.traceparent.unwrap().len(), 55);
        let baggage = "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.pod.name=client,\
                       service.name=client,service.version=v1";
        assert_eq!(request.baggage, [baggage]);
        let target = destination.to_string();
        let fields = [("dst.workload", "waypoint"), ("dst.hbone_addr", target.as_str())];
        world.logged(1, "connection complete", &fields).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wp_10_the_waypoint_itself_reaches_the_workload_behind_it() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    // A waypoint that is captured itself.
    let waypoint = world.captured(1, "waypoint").await?;
    let address = waypoint.pod.address().to_string();
    let guarded =
        world.place(2, "guarded", |workload| workload.waypoint = Some(gateway(&address, 15008))).await?;
    world.enrol(&guarded).await?;
    let _app = mesh_testkit::node::Echo::start(guarded.netns(), guarded.at(APP))?;
    eventually(|| waypoint.echoes(guarded.at(APP))).await
}

#[tokio::test]
async fn hb_24_a_proxy_in_a_pod_is_told_who_wanted_what() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let waypoint = world
        .place(2, "waypoint", |workload| {
            workload.application_tunnel =
                Some(ApplicationTunnel { protocol: ApplicationTunnelProtocol::Proxy, port: 15088 });
        })
        .await?;
    world.enrol(&waypoint).await?;
    let mut shaped = service("shaped", "10.96.0.7", 80, APP);
    shaped.waypoint = Some(gateway(&waypoint.pod.address().to_string(), 15008));
    world.publish(&shaped).await?;

    let listener = waypoint.netns().listen("127.0.0.1:15088".parse()?)?;
    let vip: SocketAddr = "10.96.0.7:80".parse()?;
    let mut downstream = client.connect(vip).await?;
    downstream.write_all(b"payload").await?;
    let (mut accepted, peer) = timeout(DEADLINE, listener.accept()).await??;
    assert!(peer.ip().is_loopback(), "{peer}");
    let mut head = [0; 16];
    timeout(DEADLINE, accepted.read_exact(&mut head)).await??;
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let mut whole = head.to_vec();
    whole.resize(16 + length, 0);
    timeout(DEADLINE, accepted.read_exact(&mut whole[16..])).await??;
    let (header, _) = proxy_protocol::parse(&whole)?;
    let (source, destination) = header.addresses.unwrap();
    assert_eq!((source.ip(), destination), (client.pod.address(), vip));
    let tunnel = format!("{source}");
    world.logged(2, "connection opened", &[("direction", "inbound"), ("src.addr", &tunnel)]).await?;
    assert_eq!(header.identity.unwrap(), client.identity().to_string());
    let mut payload = [0; 7];
    timeout(DEADLINE, accepted.read_exact(&mut payload)).await??;
    assert_eq!(&payload, b"payload");
    Ok(())
}
