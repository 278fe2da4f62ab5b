//! Sessions: a client stays with the endpoint that served it first, and with the backend of its rule.

use std::collections::HashSet;
use std::time::Duration;

use mesh_model::{Health, SessionCarrier, SessionPersistence};

use super::client::{Client, Reply, request, with};
use super::mesh::{Mesh, REVIEWS, eventually};
use super::samples::{backend, rule};

fn by(carrier: SessionCarrier) -> SessionPersistence {
    let name = Some("sid".into());
    SessionPersistence { name, carrier, absolute_timeout: None, idle_timeout: None, permanent: false }
}

fn cookie_of(reply: &Reply) -> Option<String> {
    Some(reply.header("set-cookie")?.split_once(';')?.0.to_owned())
}

async fn get(client: &mut Client, cookie: &str) -> Reply {
    client.send(with(request("GET", "/"), "cookie", cookie)).await
}

#[tokio::test]
async fn gep_1619_a_cookie_keeps_a_client_with_its_endpoint() {
    let mesh = Mesh::start().await;
    for name in ["v1", "v2", "v3", "v4"] {
        mesh.echo(name).await;
    }
    mesh.govern_by(|rule| rule.session = Some(by(SessionCarrier::Cookie)));
    let mut client = mesh.http1(80).await;
    let mut served = HashSet::new();
    for _ in 0..40 {
        let first = client.get("/").await;
        let cookie = cookie_of(&first).unwrap();
        served.insert(first.body.clone());
        let again = get(&mut client, &format!("a=b; {cookie}")).await;
        assert_eq!(again.body, first.body);
        assert_eq!(cookie_of(&again), None, "it knows already");
    }
    assert_eq!(served.len(), 4, "those without a cookie are balanced");
    for made_up in ["sid=nonsense", "sid=", &format!("sid={}", "A".repeat(32))] {
        assert!(cookie_of(&get(&mut client, made_up).await).is_some(), "{made_up}");
    }
}

#[tokio::test]
async fn gep_1619_a_client_whose_endpoint_is_gone_gets_another() {
    let mesh = Mesh::start().await;
    let servers = [mesh.echo("v1").await, mesh.echo("v2").await];
    mesh.govern_by(|rule| rule.session = Some(by(SessionCarrier::Cookie)));
    let mut client = mesh.http1(80).await;
    let first = client.get("/").await;
    let cookie = cookie_of(&first).unwrap();
    let (gone, other) = if first.body == "v1" { (0, "v2") } else { (1, "v1") };
    let mut unwell = mesh.endpoint(&first.body, REVIEWS, servers[gone].address);
    unwell.health = Health::Unhealthy;
    mesh.add(unwell);
    let mut moved = None;
    eventually(async || {
        let reply = get(&mut client, &cookie).await;
        moved = cookie_of(&reply);
        reply.body == other
    })
    .await;
    let moved = moved.unwrap();
    // It is back, but its former client has moved.
    mesh.add(mesh.endpoint(&first.body, REVIEWS, servers[gone].address));
    for _ in 0..10 {
        assert_eq!(get(&mut client, &moved).await.body, other);
    }
}

#[tokio::test]
async fn gep_1619_a_session_stays_with_the_backend_that_weight_has_chosen() {
    let mesh = Mesh::start().await;
    mesh.add_service("canary", 2);
    let stable = mesh.echo("stable").await;
    let canary =
        super::backend::Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "canary")).await;
    mesh.add(mesh.endpoint("canary", "canary", canary.address));
    let govern = |stable_weight, canary_weight| {
        let mut split = rule("split", vec![backend(REVIEWS, 80), backend("canary", 80)]);
        if let mesh_model::RuleAction::Forward(forward) = &mut split.action {
            forward.backends[0].weight = stable_weight;
            forward.backends[1].weight = canary_weight;
        }
        split.session = Some(by(SessionCarrier::Cookie));
        mesh.govern(vec![split]);
    };
    govern(0, 1);
    let mut client = mesh.http1(80).await;
    let first = client.get("/").await;
    assert_eq!(first.body, "canary");
    let cookie = cookie_of(&first).unwrap();
    govern(1000, 1);
    for _ in 0..20 {
        assert_eq!(get(&mut client, &cookie).await.body, "canary");
    }
    // Who has no weight takes nothing.
    govern(1, 0);
    let moved = get(&mut client, &cookie).await;
    assert_eq!((moved.body.as_str(), cookie_of(&moved).is_some()), ("stable", true));
    drop(stable);
}

#[tokio::test]
async fn gep_1619_a_header_does_the_same() {
    let mesh = Mesh::start().await;
    for name in ["v1", "v2", "v3"] {
        mesh.echo(name).await;
    }
    mesh.govern_by(|rule| rule.session = Some(by(SessionCarrier::Header)));
    let mut client = mesh.http2(85).await;
    for _ in 0..10 {
        let first = client.get("/").await;
        let token = first.header("sid").unwrap().to_owned();
        for _ in 0..3 {
            let again = client.send(with(request("GET", "/"), "sid", &token)).await;
            assert_eq!((again.body.as_str(), again.header("sid")), (first.body.as_str(), None));
        }
    }
}

#[tokio::test]
async fn gep_1619_a_permanent_cookie_says_when_its_session_ends() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let session = SessionPersistence {
        absolute_timeout: Some(Duration::from_secs(3600)),
        permanent: true,
        ..by(SessionCarrier::Cookie)
    };
    mesh.govern_by(|rule| rule.session = Some(session));
    let reply = mesh.http1(80).await.get("/").await;
    let line = reply.header("set-cookie").unwrap();
    assert!(line.ends_with("; Path=/; HttpOnly; Max-Age=3600"), "{line}");
}
