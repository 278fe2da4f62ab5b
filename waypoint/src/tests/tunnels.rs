//! Which tunnels are opened, to whom, and how they end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_hbone::{ConnectError, StatusCode, Target};
use mesh_runtime::drain::{Drained, Mode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::backend::Act;
use super::client::{Client, request};
use super::mesh::{Mesh, PORTS, REVIEWS, vip};
use super::samples::service;

const MUCH: Duration = Duration::from_secs(20);

#[tokio::test]
async fn wp_14_sec_15_direct_calls_of_a_mesh_peer() {
    let mesh = Mesh::start().await;
    let server = mesh.echo("v1").await;
    let address = |ip, port| Target::from(SocketAddr::new(ip, port));
    for (target, expected) in [
        (mesh.target(80), Ok(())),
        (mesh.target(9999), Err(StatusCode::NOT_FOUND)),
        (address(vip(9), 80), Err(StatusCode::NOT_FOUND)),
        (Target::from(server.address), Err(StatusCode::NOT_FOUND)),
        (address(mesh.waypoint_ip(), 15000), Err(StatusCode::NOT_FOUND)),
        (address(vip(1), 15008), Err(StatusCode::SERVICE_UNAVAILABLE)),
        ("reviews.shop.svc.cluster.local:80".parse().unwrap(), Err(StatusCode::BAD_REQUEST)),
    ] {
        let opened = match mesh.tunnel(target.clone()).await {
            Ok(_) => Ok(()),
            Err(ConnectError::Refused(status)) => Err(status),
            Err(other) => panic!("{target}: {other}"),
        };
        assert_eq!(opened, expected, "{target}");
    }
}

#[tokio::test]
async fn wp_02_the_news_may_reach_a_clients_node_first_or_last() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let attached = |yes: bool| {
        let mut reviews = service(REVIEWS, vip(1), mesh.waypoint_ip(), &PORTS);
        if !yes {
            reviews.waypoint = None;
        }
        mesh.writer.change(|edit| edit.insert_service(reviews));
    };
    attached(false);
    assert_eq!(mesh.http1(80).await.get("/").await.status, 200, "whoever asks has not heard of it yet");

    // A service the waypoint is told of while it is being asked for it.
    let asked = Target::from(SocketAddr::new(vip(2), 80));
    let told = async {
        tokio::task::yield_now().await;
        mesh.add_service("ratings", 2);
    };
    let (tunnel, ()) = tokio::join!(mesh.tunnel(asked), told);
    assert!(tunnel.is_ok());
}

#[tokio::test]
async fn hb_22_plain_bytes_are_closed_and_harm_nobody() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut client = mesh.http1(80).await;
    let mut garbage = TcpStream::connect(mesh.address()).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut garbage, &mut answer);
    let _ = tokio::time::timeout(MUCH, ended).await.expect("an end");
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn up_06_18_a_drain_finishes_what_goes_on_and_takes_nothing_new() {
    let mut mesh = Mesh::start().await;
    let v1 = mesh
        .backend("v1", |_, seen| match seen.path() {
            "/slow" => {
                let response = http::Response::new(Default::default());
                Act::Later(Duration::from_millis(300), response)
            }
            _ => Act::text(200, ""),
        })
        .await;
    let mut slow = mesh.http1(80).await;
    let asking = tokio::spawn(async move { slow.get("/slow").await.status });
    let mut idle = mesh.http2(80).await;
    assert_eq!(idle.get("/").await.status, 200);
    let begin = Instant::now();
    while v1.seen().len() < 2 {
        assert!(begin.elapsed() < MUCH);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let drained = mesh.drain.take().unwrap().start(Mode::Graceful, MUCH).await;
    assert_eq!(drained, Drained::Complete);
    assert_eq!(asking.await.unwrap(), 200, "what was asked has been answered");
    assert!(idle.try_send(request("GET", "/")).await.is_err());
    assert!(TcpStream::connect(mesh.address()).await.is_err());
}

#[tokio::test]
async fn up_07_a_drain_past_its_deadline_cuts_what_is_left() {
    let mut mesh = Mesh::start().await;
    let v1 = mesh.backend("v1", |_, _| Act::Hang).await;
    let mut client = mesh.http1(80).await;
    let asking = tokio::spawn(async move { client.try_send(request("GET", "/")).await });
    let begin = Instant::now();
    while v1.seen().is_empty() {
        assert!(begin.elapsed() < MUCH);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let drain = mesh.drain.take().unwrap();
    assert_eq!(drain.start(Mode::Graceful, Duration::from_millis(100)).await, Drained::DeadlinePassed);
    assert!(tokio::time::timeout(MUCH, asking).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn tel_04_requests_are_counted_with_both_parties() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.http1(80).await.get("/").await;
    let begin = Instant::now();
    let line = loop {
        let page = mesh.registry.encode();
        if let Some(line) = page.lines().find(|line| line.starts_with("istio_requests_total")) {
            break line.to_owned();
        }
        assert!(begin.elapsed() < MUCH, "{page}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    for label in [
        "reporter=\"waypoint\"",
        "source_workload=\"client\"",
        "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"",
        "destination_workload=\"v1\"",
        "destination_service=\"reviews.shop.svc.cluster.local\"",
        "destination_service_name=\"reviews\"",
        "request_protocol=\"http\"",
        "response_code=\"200\"",
        "response_flags=\"-\"",
        "connection_security_policy=\"mutual_tls\"",
    ] {
        assert!(line.contains(label), "{label} in {line}");
    }
}

#[tokio::test]
async fn tel_04_what_went_wrong_is_flagged() {
    let mesh = Mesh::start().await;
    for (governed, flag) in [(false, "UH"), (true, "NR")] {
        if governed {
            mesh.govern(vec![]);
        }
        mesh.http1(80).await.get("/").await;
        let begin = Instant::now();
        let label = format!("response_flags=\"{flag}\"");
        while !mesh.registry.encode().contains(&label) {
            assert!(begin.elapsed() < MUCH, "{}", mesh.registry.encode());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn id_06_a_new_certificate_loses_no_request() {
    let mesh = Mesh::start().await;
    mesh.ca.change(|behaviour| behaviour.lifetime = Duration::from_secs(2));
    mesh.echo("v1").await;
    let mut open = mesh.http1(80).await;
    let calls = |mesh: &Mesh| mesh.ca.calls().iter().filter(|id| &*id.service_account == "waypoint").count();
    let begin = Instant::now();
    while calls(&mesh) < 3 {
        assert!(begin.elapsed() < MUCH, "the certificate is renewed");
        assert_eq!(open.get("/").await.status, 200);
        let stream = mesh.tunnel(mesh.target(80)).await.unwrap();
        assert_eq!(Client::http1(stream).await.get("/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
