//! Bytes that are passed on as they come.

use std::net::SocketAddr;

use mesh_hbone::{ConnectError, StatusCode, TunnelStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::{Client, request};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, config, rule};

/// Greets, then echoes until the client ends.
async fn greeter(mesh: &Mesh) {
    let listener = TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    mesh.add(mesh.endpoint("greeter", REVIEWS, listener.local_addr().unwrap()));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(b"hello ").await.unwrap();
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    });
}

async fn said(mut stream: TunnelStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn wp_33_the_server_may_speak_first_where_tcp_is_declared() {
    let mesh = Mesh::start().await;
    greeter(&mesh).await;
    let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello ");
    assert_eq!(said(stream, b"world").await, b"world");
}

#[tokio::test]
async fn cap_06_l7_26_what_is_not_http_on_an_undeclared_port() {
    let mesh = Mesh::start().await;
    greeter(&mesh).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let all = said(mesh.tunnel(mesh.target(81)).await.unwrap(), &bytes).await;
    assert_eq!(&all[..6], b"hello ");
    assert!(all[6..] == bytes, "exactly what was sent (HB-31)");
    // Who waits for the server gets it after a while.
    let mut stream = mesh.tunnel(mesh.target(81)).await.unwrap();
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello ");
}

#[tokio::test]
async fn l7_31_http_on_a_tcp_port_stays_tcp() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    assert_eq!(Client::http1(stream).await.send(request("GET", "/")).await.status, 200);
    assert_eq!(v1.only().header("x-request-id"), None);
}

#[tokio::test]
async fn hb_09_the_tunnel_opens_only_when_somebody_is_there() {
    let mesh = Mesh::start().await;
    let refused = |result: Result<TunnelStream, ConnectError>| match result {
        Err(ConnectError::Refused(status)) => status,
        other => panic!("{:?}", other.map(|_| "a tunnel")),
    };
    assert_eq!(refused(mesh.tunnel(mesh.target(86)).await), StatusCode::SERVICE_UNAVAILABLE);
    mesh.add(mesh.endpoint("gone", REVIEWS, SocketAddr::new(mesh.free_ip(), 9)));
    assert_eq!(refused(mesh.tunnel(mesh.target(86)).await), StatusCode::SERVICE_UNAVAILABLE);
    greeter(&mesh).await;
    for _ in 0..10 {
        assert_eq!(said(mesh.tunnel(mesh.target(86)).await.unwrap(), b"x").await, b"hello x");
    }
}

#[tokio::test]
async fn res_18_a_connection_that_carries_no_http_has_no_requests_to_time_out() {
    let mesh = Mesh::start().await;
    greeter(&mesh).await;
    let hanging = super::backend::Backend::start(mesh.free_ip(), |_, _| super::backend::Act::Hang).await;
    mesh.add_service("hanging", 2);
    mesh.add(mesh.endpoint("hanging", "hanging", hanging.address));
    let limited = |service: &str| {
        let mut limited = rule(service, vec![backend(service, 80)]);
        limited.request_timeout = Some(std::time::Duration::from_millis(50));
        config(service, vec![limited])
    };
    mesh.configure(limited(REVIEWS));
    mesh.configure(limited("hanging"));
    let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).await.unwrap();
    // A request that began later has run out of its time: so would the connection have.
    let target = SocketAddr::new(super::mesh::vip(2), 80);
    let mut client = Client::http1(mesh.tunnel(target.into()).await.unwrap()).await;
    assert_eq!(client.get("/").await.status, 504);
    assert_eq!(said(stream, b"still here").await, b"still here");
}

#[tokio::test]
async fn tel_04_connections_and_bytes_are_counted() {
    let mesh = Mesh::start().await;
    greeter(&mesh).await;
    said(mesh.tunnel(mesh.target(86)).await.unwrap(), b"12345").await;
    let counted = |page: &str, name: &str| {
        let line = page.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.filter(|line| {
            line.contains("reporter=\"waypoint\"") && line.contains("destination_workload=\"greeter\"")
        })
    };
    let begin = std::time::Instant::now();
    let page = loop {
        let page = mesh.registry.encode();
        if counted(&page, "istio_tcp_connections_closed_total").is_some_and(|line| line.ends_with(" 1")) {
            break page;
        }
        assert!(begin.elapsed().as_secs() < 20, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    };
    for (name, value) in [
        ("istio_tcp_connections_opened_total", " 1"),
        ("istio_tcp_received_bytes_total", " 5"),
        ("istio_tcp_sent_bytes_total", " 11"),
    ] {
        let line = counted(&page, name).unwrap_or_else(|| panic!("{name} in {page}"));
        assert!(line.ends_with(value), "{line}");
    }
}
