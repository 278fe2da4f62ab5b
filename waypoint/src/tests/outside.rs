//! Endpoints whose addresses the mesh does not say.

use std::net::SocketAddr;

use mesh_hbone::Target;
use mesh_model::{AppProtocol, LoadBalancingMode, ServiceConfig};

use super::backend::{Act, Backend};
use super::client::Client;
use super::front::{Begin, Front};
use super::mesh::{Mesh, PORTS, REVIEWS, eventually};
use super::samples::{backend, config, rule, service};

/// An endpoint of `reviews` that is known by its name.
fn named(mesh: &Mesh, port: u16) {
    let mut endpoint = mesh.endpoint("external", REVIEWS, SocketAddr::new(mesh.free_ip(), port));
    endpoint.addresses = Vec::new();
    endpoint.hostname = "api.example.com".into();
    mesh.add(endpoint);
}

#[tokio::test]
async fn dns_25_eg_12_an_endpoint_that_is_known_by_its_name() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "external")).await;
    named(&mesh, server.address.port());
    let here = vec![server.address.ip()];
    mesh.names.lock().unwrap().insert("api.example.com".to_owned(), here);
    assert_eq!(mesh.http1(80).await.get("/").await.body, "external");
    assert_eq!(mesh.http1(86).await.get("/").await.body, "external");
    let lookups = mesh.metric("istio_on_demand_dns_total", &["hostname=\"api.example.com\""]);
    assert!(lookups[0].ends_with(" 2"), "{lookups:?}");
}

#[tokio::test]
async fn eg_23_a_name_that_nobody_knows() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "external")).await;
    named(&mesh, server.address.port());
    let mut client = mesh.http1(80).await;
    let reply = client.get("/").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "no healthy upstream"));
    assert!(mesh.tunnel(mesh.target(86)).await.is_err());
    let here = vec![server.address.ip()];
    mesh.names.lock().unwrap().insert("api.example.com".to_owned(), here);
    eventually(async || client.get("/").await.body == "external").await;
    assert!(mesh.tunnel(mesh.target(86)).await.is_ok());
}

#[tokio::test]
async fn eg_10_eg_11_a_block_of_addresses_keeps_the_address_that_was_asked_for() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, seen| Act::text(200, seen.host())).await;
    let mut block = service("block", mesh.free_ip(), mesh.waypoint_ip(), &PORTS);
    let port = (server.address.port(), AppProtocol::Http11);
    block.ports.extend(service("port", mesh.free_ip(), mesh.waypoint_ip(), &[port]).ports);
    block.addresses = vec![mesh_model::NetworkAddress::new("", server.address.ip())];
    block.load_balancing.mode = LoadBalancingMode::Passthrough;
    mesh.writer.change(|edit| edit.insert_service(block));
    let stream = mesh.tunnel(Target::from(server.address)).await.unwrap();
    let reply = Client::http1(stream).await.get("/").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "reviews"));
    assert!(server.only().header("x-request-id").is_some(), "it went through the waypoint");
}

#[tokio::test]
async fn eg_19_the_address_that_takes_the_connection_is_used() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "external")).await;
    let front = Front::start(mesh.free_ip(), Begin::default(), server.address).await;
    named(&mesh, front.address.port());
    // Nobody listens at the first one.
    let addresses = vec![mesh.free_ip(), front.address.ip()];
    mesh.names.lock().unwrap().insert("api.example.com".to_owned(), addresses);
    let mut once = rule("once", vec![backend(REVIEWS, 80)]);
    once.retry.attempts = 0;
    let one_at_a_time = config(REVIEWS, vec![once]);
    mesh.configure(one_at_a_time.clone());
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.status, 503);
    mesh.configure(ServiceConfig { race_connections: true, ..one_at_a_time });
    assert_eq!(client.get("/").await.body, "external");
    assert_eq!(client.get("/").await.body, "external");
    assert_eq!(front.greetings().len(), 1, "the addresses are one place");
}
