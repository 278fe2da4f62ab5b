//! Copies of requests.

use std::time::{Duration, Instant};

use mesh_model::{Mirror, PerMillion};

use super::backend::{Act, Backend};
use super::client::{post, with};
use super::mesh::Mesh;
use super::samples::{backend, headers};

const MUCH: Duration = Duration::from_secs(20);

/// A service for copies, with one backend.
async fn shadow(mesh: &Mesh, act: fn() -> Act) -> Backend {
    mesh.add_service("shadow", 3);
    let server = Backend::start(mesh.free_ip(), move |_, _| act()).await;
    mesh.add(mesh.endpoint("shadow", "shadow", server.address));
    server
}

async fn arrived(server: &Backend, count: usize) {
    let begin = Instant::now();
    while server.seen().len() < count {
        assert!(begin.elapsed() < MUCH, "{} of {count} copies arrived", server.seen().len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn mirror() -> Mirror {
    Mirror { backend: backend("shadow", 80), share: PerMillion::ALL }
}

#[tokio::test]
async fn gw_26_the_same_request_with_the_same_id_and_changes() {
    let mesh = Mesh::start().await;
    let (v1, shadow) = (mesh.echo("v1").await, shadow(&mesh, || Act::text(500, "ignored")).await);
    mesh.govern_by(|rule| {
        rule.mirrors = vec![mirror()];
        rule.request_headers.set = headers(&[("x-rule", "1")]);
    });
    let reply = mesh.http1(80).await.send(with(post("/path?q", "the body"), "x-mine", "2")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "v1"));
    arrived(&shadow, 1).await;
    let (primary, copy) = (v1.only(), shadow.only());
    assert_eq!((copy.path(), copy.host(), &copy.body[..]), ("/path?q", "reviews-shadow", &b"the body"[..]));
    assert_eq!((copy.header("x-rule"), copy.header("x-mine")), (Some("1"), Some("2")));
    assert_eq!(copy.header("x-request-id"), primary.header("x-request-id"));
}

#[tokio::test]
async fn res_15_a_copy_that_hangs_or_cannot_be_sent_is_not_noticed() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let shadow = shadow(&mesh, || Act::Hang).await;
    mesh.govern_by(|rule| {
        rule.mirrors = vec![mirror(), Mirror { backend: backend("nowhere", 80), ..mirror() }]
    });
    let begin = Instant::now();
    assert_eq!(mesh.http1(80).await.send(post("/", "x")).await.status, 200);
    assert!(begin.elapsed() < MUCH);
    arrived(&shadow, 1).await;
}

#[tokio::test]
async fn gw_27_28_several_mirrors_and_shares() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let shadow = shadow(&mesh, || Act::text(200, "")).await;
    let share = |millionths| Mirror { share: PerMillion(millionths), ..mirror() };
    mesh.govern_by(|rule| rule.mirrors = vec![share(1_000_000), share(1_000_000), share(0)]);
    let mut client = mesh.http1(80).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
    arrived(&shadow, 40).await;
}

#[tokio::test]
async fn res_15_a_request_too_large_to_keep_is_sent_but_not_copied() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let shadow = shadow(&mesh, || Act::text(200, "")).await;
    mesh.govern_by(|rule| rule.mirrors = vec![mirror()]);
    let mut client = mesh.http1(80).await;
    assert_eq!(client.send(post("/large", "x".repeat(200 * 1024))).await.status, 200);
    assert_eq!(client.send(post("/small", "x")).await.status, 200);
    arrived(&shadow, 1).await;
    assert_eq!(shadow.only().path(), "/small");
    assert_eq!(v1.seen()[0].body.len(), 200 * 1024);
}
