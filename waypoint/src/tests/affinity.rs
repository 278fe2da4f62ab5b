//! What callers have in common leads them to the same backend.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_model::{Choice, ConsistentHash, HashAlgorithm, HashCookie, HashKey, LoadBalancer, TrafficPolicy};

use super::client::{Client, ClientBody, request, with};
use super::mesh::Mesh;

/// Five backends that are chosen by a hash.
async fn hashed(key: HashKey, algorithm: HashAlgorithm) -> Mesh {
    let mesh = Mesh::start().await;
    for name in ["v1", "v2", "v3", "v4", "v5"] {
        mesh.echo(name).await;
    }
    let choice = Choice::ConsistentHash(ConsistentHash { key, algorithm });
    let load_balancer = LoadBalancer { choice, ..LoadBalancer::default() };
    mesh.shape(TrafficPolicy { load_balancer, ..TrafficPolicy::default() });
    mesh
}

fn ring() -> HashAlgorithm {
    HashAlgorithm::Ring { minimum_size: 1024 }
}

fn maglev() -> HashAlgorithm {
    HashAlgorithm::Maglev { table_size: 65_537 }
}

/// Who answers ten times.
async fn ten(client: &mut Client, request: impl Fn() -> http::Request<ClientBody>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..10 {
        names.insert(client.send(request()).await.body);
    }
    names
}

#[tokio::test]
async fn lb_21_a_header_leads_to_one_backend() {
    for algorithm in [ring(), maglev()] {
        let mesh = hashed(HashKey::Header("x-user".into()), algorithm).await;
        let (mut one, mut two) = (mesh.http1(80).await, mesh.http2(80).await);
        let mut all = BTreeSet::new();
        for user in ["anna", "ben", "carla", "dan", "eve", "fay", "gus", "hal", "ida", "jon"] {
            let names = ten(&mut one, || with(request("GET", "/"), "x-user", user)).await;
            assert_eq!(names.len(), 1, "{user}: {names:?}");
            assert_eq!(ten(&mut two, || with(request("GET", "/"), "x-user", user)).await, names);
            all.extend(names);
        }
        assert!(all.len() > 1, "users differ: {all:?}");
    }
}

#[tokio::test]
async fn lb_21_without_the_header_requests_spread() {
    let mesh = hashed(HashKey::Header("x-user".into()), ring()).await;
    let mut client = mesh.http2(80).await;
    let mut names = BTreeSet::new();
    for _ in 0..10 {
        names.extend(ten(&mut client, || request("GET", "/")).await);
    }
    assert!(names.len() > 1, "{names:?}");
}

#[tokio::test]
async fn lb_21_a_query_parameter_or_the_source_lead_to_one_backend() {
    for (key, path) in [(HashKey::QueryParameter("user".into()), "/?a=b&user=anna"), (HashKey::SourceIp, "/")]
    {
        for algorithm in [ring(), maglev()] {
            let mesh = hashed(key.clone(), algorithm).await;
            let mut names = ten(&mut mesh.http1(80).await, || request("GET", path)).await;
            names.extend(ten(&mut mesh.http2(80).await, || request("GET", path)).await);
            assert_eq!(names.len(), 1, "{key:?}: {names:?}");
        }
    }
}

#[tokio::test]
async fn lb_21_a_cookie_is_given_once_and_leads_to_one_backend() {
    let cookie = HashCookie {
        name: "user".into(),
        path: Some("/shop".into()),
        ttl: Some(Duration::from_secs(60)),
        attributes: vec![("SameSite".into(), "Strict".into())],
    };
    let mesh = hashed(HashKey::Cookie(cookie), ring()).await;
    let mut client = mesh.http1(80).await;
    for _ in 0..5 {
        let first = client.get("/shop").await;
        let line = first.header("set-cookie").unwrap();
        let (pair, attributes) = line.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=60; Path=/shop; SameSite=Strict; HttpOnly");
        for _ in 0..10 {
            let reply = client.send(with(request("GET", "/shop"), "cookie", pair)).await;
            assert_eq!((reply.body.as_str(), reply.header("set-cookie")), (first.body.as_str(), None));
        }
    }
}

#[tokio::test]
async fn lb_21_a_cookie_nobody_gives_is_hashed_where_it_is() {
    let cookie = HashCookie { name: "user".into(), path: None, ttl: None, attributes: Vec::new() };
    let mesh = hashed(HashKey::Cookie(cookie), maglev()).await;
    let mut client = mesh.http2(80).await;
    assert_eq!(client.get("/").await.header("set-cookie"), None);
    let names = ten(&mut client, || with(request("GET", "/"), "cookie", "a=b; user=anna")).await;
    assert_eq!(names.len(), 1, "{names:?}");
}
