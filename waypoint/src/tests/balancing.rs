//! Which backend gets a request, and how it is reached.

use std::collections::BTreeMap;

use mesh_hbone::Target;
use mesh_model::{Health, Identity, RuleAction};

use super::backend::Backend;
use super::client::{Client, request};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, gateway, rule, workload};

#[tokio::test]
async fn lb_02_requests_of_one_connection_reach_every_endpoint() {
    let mesh = Mesh::start().await;
    for name in ["v1", "v2", "v3"] {
        mesh.echo(name).await;
    }
    for mut client in [mesh.http2(80).await, mesh.http1(80).await] {
        let mut hits: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..100 {
            *hits.entry(client.get("/").await.body).or_default() += 1;
        }
        assert_eq!(hits.len(), 3, "{hits:?}");
    }
}

#[tokio::test]
async fn gw_04_weights_are_kept() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.add_service("reviews-v2", 2);
    let v2 = Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "v2")).await;
    mesh.add(mesh.endpoint("v2", "reviews-v2", v2.address));
    let weighted = |service, weight| mesh_model::Backend { weight, ..backend(service, 80) };
    mesh.govern(vec![rule("canary", vec![weighted(REVIEWS, 90), weighted("reviews-v2", 10)])]);
    let mut client = mesh.http2(80).await;
    let mut to_v2 = 0;
    for _ in 0..1000 {
        to_v2 += u32::from(client.get("/").await.body == "v2");
    }
    // Six standard deviations around 100 of 1000.
    assert!((43..=157).contains(&to_v2), "{to_v2}");
}

#[tokio::test]
async fn lb_06_unhealthy_endpoints_get_nothing() {
    let mesh = Mesh::start().await;
    let (sick, well) = (mesh.echo("sick").await, mesh.echo("well").await);
    let mut endpoint = mesh.endpoint("sick", REVIEWS, sick.address);
    endpoint.health = Health::Unhealthy;
    mesh.add(endpoint);
    let mut client = mesh.http1(80).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "well");
    }
    assert_eq!((sick.seen().len(), well.seen().len()), (0, 20));
}

#[tokio::test]
async fn l4_26_captured_backends_see_the_waypoint_s_identity_and_their_own_address() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "captured")).await;
    let node = mesh.captured(mesh.endpoint("captured", REVIEWS, server.address)).await;
    let mut client = mesh.http1(80).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.body, "captured");
    }
    let asked = node.asked.lock().unwrap().clone();
    let waypoint = Identity::new("cluster.local", "shop", "waypoint");
    assert_eq!(asked, [(waypoint, Target::from(server.address))], "one tunnel for all requests");
}

#[tokio::test]
async fn hb_20_a_backend_that_is_somebody_else_gets_nothing() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "wrong")).await;
    let mut endpoint = mesh.endpoint("claimed", REVIEWS, server.address);
    mesh.captured(endpoint.clone()).await;
    endpoint.tunnel = mesh_model::TunnelProtocol::Hbone;
    endpoint.service_account = "another".into();
    mesh.add(endpoint);
    assert_eq!(mesh.http1(80).await.get("/").await.status, 503);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn wp_10_an_endpoint_is_reached_past_its_own_waypoint() {
    let mesh = Mesh::start().await;
    let server = mesh.echo("v1").await;
    let mut endpoint = mesh.endpoint("v1", REVIEWS, server.address);
    endpoint.waypoint = Some(gateway(mesh.free_ip()));
    mesh.add(endpoint);
    assert_eq!(mesh.http1(80).await.get("/").await.body, "v1");
}

#[tokio::test]
async fn wp_03_a_pod_addressed_itself_gets_it_itself() {
    let mesh = Mesh::start().await;
    mesh.echo("other").await;
    let server = mesh.echo("pod").await;
    let mut pod = mesh.endpoint("pod", REVIEWS, server.address);
    pod.waypoint = Some(gateway(mesh.waypoint_ip()));
    mesh.add(pod);
    // Rules of its service are not its own.
    mesh.govern_by(|rule| rule.action = RuleAction::Forward(mesh_model::Forward { backends: vec![] }));
    let stream = mesh.tunnel(Target::from(server.address)).await.unwrap();
    let mut client = Client::http1(stream).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.body, "pod");
    }
    assert!(server.seen()[0].header("x-request-id").is_some(), "it went through the waypoint");
}

#[tokio::test]
async fn lb_23_an_endpoint_that_is_gone_gets_nothing_more() {
    let mesh = Mesh::start().await;
    let (v1, _v2) = (mesh.echo("v1").await, mesh.echo("v2").await);
    let mut client = mesh.http1(80).await;
    for _ in 0..10 {
        client.send(request("GET", "/")).await;
    }
    mesh.writer.change(|edit| edit.remove_workload(&workload("v1", mesh.client_ip()).uid));
    let before = v1.seen().len();
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "v2");
    }
    assert_eq!(v1.seen().len(), before);
}
