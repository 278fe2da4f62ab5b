//! The HBONE port as a peer meets it that bypasses capture: every refusal with its status.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use mesh_hbone::{ConnectError, ConnectRequest, Settings, TlsStream, TunnelStream, connect_unpooled};
use mesh_identity::Certificate;
use mesh_model::{Action, Clause, Identity, Match, Policy, PolicyKey, Rule, Scope, StringMatch};
use mesh_testkit::authority::FakeCa;
use mesh_testkit::node::Echo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::samples::{key, service};
use crate::world::{DEADLINE, Place, World, ended_by_reset, eventually, with_ports};

const APP: u16 = 8080;

/// A peer with a certificate of its own and no ztunnel.
struct Peer {
    place: Place,
    certificate: Arc<Certificate>,
}

impl Peer {
    async fn new(world: &World) -> Result<Self> {
        let place = world.uncaptured(1, "peer").await?;
        let certificate = world.ca.certificate(&place.identity());
        Ok(Peer { place, certificate })
    }

    async fn tls(&self, server: &Place, at: SocketAddr) -> Result<TlsStream<TcpStream>> {
        let stream = self.place.connect(at).await?;
        Ok(TlsStream::connect(stream, &self.certificate, &[server.identity()], DEADLINE).await?)
    }

    async fn ask(&self, server: &Place, authority: &str) -> Result<Result<TunnelStream, ConnectError>> {
        let tls = self.tls(server, server.at(15008)).await?;
        let request = ConnectRequest::new(authority.parse()?);
        Ok(connect_unpooled(tls, &Settings::default(), &request).await.map(|(tunnel, _)| tunnel))
    }

    async fn status(&self, server: &Place, authority: &str) -> Result<u16> {
        match self.ask(server, authority).await? {
            Ok(_) => Ok(200),
            Err(ConnectError::Refused(status)) => Ok(status.as_u16()),
            Err(error) => Err(error.into()),
        }
    }

    async fn gets(&self, server: &Place, authority: &str, expected: u16) -> Result<()> {
        let status = self.status(server, authority).await?;
        ensure!(status == expected, "{authority}: {status}, not {expected}");
        Ok(())
    }
}

#[tokio::test]
async fn hb_05_08_09_11_every_refusal_has_its_status() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let server = world.captured(2, "server").await?;
    let other = world.uncaptured(2, "other").await?;
    let peer = Peer::new(&world).await?;
    let echo = Echo::start(server.netns(), server.at(APP))?;
    let local_only = Echo::start(server.netns(), "127.0.0.1:7070".parse()?)?;
    let own = |port: u16| server.at(port).to_string();
    let app = own(APP);
    eventually(|| peer.gets(&server, &app, 200)).await?;
    let served = echo.callers().len();

    for (authority, status) in [
        (other.at(APP).to_string(), 400),
        (format!("127.0.0.1:{APP}"), 400),
        (own(15001), 503),
        (own(15006), 503),
        (own(15008), 503),
        // CAP-07: nobody listens on the pod's own address.
        (own(7070), 503),
        (own(9), 503),
        ("nobody.default.svc.cluster.local:80".to_owned(), 503),
    ] {
        assert_eq!(peer.status(&server, &authority).await?, status, "{authority}");
    }
    assert_eq!(
        (echo.callers().len(), local_only.callers().len()),
        (served, 0),
        "nothing reached the application"
    );
    let line = world.logged(2, "connection failed", &[("direction", "inbound")]).await?;
    assert_eq!(line["level"], "warn");
    let log = world.raw_log(2);
    let mismatch = log.lines().find(|line| line.contains("ip mismatch")).unwrap();
    assert!(mismatch.contains(&server.pod.address().to_string()), "{mismatch}");
    assert!(mismatch.contains(&other.at(APP).to_string()), "{mismatch}");

    let principals = vec![StringMatch::Exact(peer.place.identity().principal().into())];
    let matches = vec![Match { principals, ..Match::default() }];
    world.controller().publish(&Policy {
        key: PolicyKey::new("default", "no-peer"),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches }] }],
        dry_run: false,
    });
    eventually(|| peer.gets(&server, &app, 401)).await
}

#[tokio::test]
async fn hb_07_26_a_service_s_name_leads_here_and_the_answer_says_who_is_here() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let server = world
        .place(2, "server", |workload| {
            with_ports(workload, "web", &[]);
            with_ports(workload, "named", &[(80, APP)]);
        })
        .await?;
    world.enrol(&server).await?;
    world.publish(&service("web", "10.96.0.1", 80, APP)).await?;
    world.publish(&service("named", "10.96.0.2", 80, 0)).await?;
    let peer = Peer::new(&world).await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    for name in ["web", "named"] {
        let authority = format!("{}:80", key(name).hostname);
        eventually(|| peer.gets(&server, &authority, 200)).await?;
    }
    let tls = peer.tls(&server, server.at(15008)).await?;
    let request = ConnectRequest::new(server.at(APP).into());
    let (mut tunnel, info) = connect_unpooled(tls, &Settings::default(), &request).await?;
    assert_eq!(info.peer, server.identity());
    assert!(info.baggage[0].contains("k8s.pod.name=server"), "{:?}", info.baggage);
    tunnel.write_all(b"hello").await?;
    let mut back = [0; 5];
    timeout(DEADLINE, tunnel.read_exact(&mut back)).await??;
    assert_eq!(&back, b"hello");
    Ok(())
}

#[tokio::test]
async fn hb_21_a_certificate_of_another_trust_domain_or_authority_is_not_accepted() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let server = world.captured(2, "server").await?;
    let mut peer = Peer::new(&world).await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    let own = server.at(APP).to_string();
    eventually(|| peer.gets(&server, &own, 200)).await?;

    let foreign = Identity::new("other.domain", "default", "peer");
    let stranger = FakeCa::new("cluster.local").certificate(&peer.place.identity());
    for certificate in [world.ca.certificate(&foreign), stranger] {
        peer.certificate = certificate;
        assert!(peer.ask(&server, &own).await.map_or(true, |asked| asked.is_err()));
    }
    let at = server.at(15008).to_string();
    let said = [("direction", "inbound"), ("dst.addr", at.as_str())];
    world.logged(2, "connection failed", &said).await?;
    let lines = world.access_log(2, "connection failed", &said);
    let names_it = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains("other.domain"));
    assert!(lines.iter().any(names_it), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn hb_01_30_post_quantum_keys_alone_and_tls_1_2_beside_carry_the_mesh_as_well() -> Result<()> {
    for variable in ["COMPLIANCE_POLICY=pqc", "TLS12_ENABLED=true"] {
        let variables = [variable.split_once('=').unwrap()];
        let Some(mut world) = World::start_with(&variables).await? else { return Ok(()) };
        let client = world.captured(1, "client").await?;
        let server = world.captured(2, "server").await?;
        let _echo = Echo::start(server.netns(), server.at(APP))?;
        eventually(|| client.echoes(server.at(APP))).await?;
        let fields = [("direction", "inbound"), ("src.identity", &*client.identity().to_string())];
        world.logged(2, "connection complete", &fields).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hb_20_a_server_that_is_somebody_else_is_not_spoken_to() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    // The controller says one thing, the node agent another.
    let mut server =
        world.place(2, "server", |workload| workload.service_account = "expected".into()).await?;
    server.workload.service_account = "actual".into();
    world.enrol(&server).await?;
    let echo = Echo::start(server.netns(), server.at(APP))?;
    let mut stream = client.connect(server.at(APP)).await?;
    stream.write_all(b"hello").await?;
    assert!(ended_by_reset(&mut stream).await?, "HB-10: a reset, not an end");
    assert!(echo.callers().is_empty());
    let line =
        world.logged(1, "connection complete", &[("direction", "outbound"), ("level", "error")]).await?;
    let error = line["error"].as_str().unwrap();
    assert!(error.contains(&server.identity().to_string()) && error.contains("/sa/expected"), "{error}");
    Ok(())
}
