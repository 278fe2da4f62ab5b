//! Backends that fail too often are left out for a while (RES-20).

use std::time::Duration;

use mesh_model::{OutlierDetection, ServiceConfig, TrafficPolicy};

use super::backend::Act;
use super::client::Client;
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, config, rule};

fn policy(errors: u32) -> TrafficPolicy {
    let detection = OutlierDetection {
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_percent: 10,
        min_health_percent: 0,
        consecutive_gateway_errors: None,
        consecutive_errors: Some(errors),
        consecutive_local_origin_failures: None,
        split_local_origin_errors: false,
        error_codes: Vec::new(),
    };
    TrafficPolicy { outlier_detection: Some(detection), ..TrafficPolicy::default() }
}

/// The statuses of so many requests.
async fn statuses(client: &mut Client, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(client.get("/").await.status);
    }
    statuses
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|it| **it == status).count()
}

/// The metric of this name has this value.
fn told(mesh: &Mesh, name: &str, value: u32) {
    let cluster = "{cluster_name=\"inbound-vip|80|http|reviews.shop.svc.cluster.local\"}";
    let line = format!("envoy_cluster_outlier_detection_{name}{cluster} {value}\n");
    assert!(mesh.registry.encode().contains(&line), "{line}{}", mesh.registry.encode());
}

#[tokio::test]
async fn res_20_a_backend_that_fails_is_left_out_and_returns() {
    let mesh = Mesh::start().await;
    mesh.echo("well").await;
    let bad = mesh.backend("bad", |before, _| Act::text(if before < 3 { 500 } else { 200 }, "bad")).await;
    mesh.shape(policy(3));
    let replies = statuses(&mut mesh.http1(80).await, 100).await;
    assert_eq!((count(&replies, 500), count(&replies, 200)), (3, 97));
    assert_eq!(bad.seen().len(), 3);
    told(&mesh, "ejections_active", 1);
    told(&mesh, "ejections_enforced_total", 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(41)).await;
    tokio::time::resume();
    let replies = statuses(&mut mesh.http1(80).await, 100).await;
    assert_eq!(count(&replies, 200), 100);
    assert!(bad.seen().len() > 3, "it gets requests again");
    told(&mesh, "ejections_active", 0);
    told(&mesh, "ejections_enforced_total", 1);
}

#[tokio::test]
async fn res_20_a_success_in_between_is_enough_to_stay() {
    let mesh = Mesh::start().await;
    let status = |before: usize| if before % 3 == 2 { 200 } else { 503 };
    let wavering = mesh.backend("wavering", move |before, _| Act::text(status(before), "wavering")).await;
    mesh.echo("well").await;
    mesh.shape(policy(3));
    statuses(&mut mesh.http1(80).await, 100).await;
    let before = wavering.seen().len();
    statuses(&mut mesh.http1(80).await, 100).await;
    assert!(wavering.seen().len() > before);
}

#[tokio::test]
async fn res_20_the_last_one_is_used_however_it_does() {
    let mesh = Mesh::start().await;
    let bad = mesh.backend("bad", |_, _| Act::text(500, "bad")).await;
    mesh.shape(policy(1));
    assert_eq!(statuses(&mut mesh.http1(80).await, 10).await, [500; 10]);
    assert_eq!(bad.seen().len(), 10);
}

#[tokio::test]
async fn res_20_without_a_policy_nobody_is_left_out() {
    let mesh = Mesh::start().await;
    let bad = mesh.backend("bad", |_, _| Act::text(500, "bad")).await;
    mesh.echo("well").await;
    let replies = statuses(&mut mesh.http1(80).await, 100).await;
    assert_eq!(count(&replies, 500), bad.seen().len());
    assert!(bad.seen().len() > 10);
}

#[tokio::test]
async fn res_20_a_request_that_takes_too_long_counts() {
    let mesh = Mesh::start().await;
    let slow = mesh.backend("slow", |_, _| Act::Hang).await;
    mesh.echo("well").await;
    let mut only = rule("only", vec![backend(REVIEWS, 80)]);
    only.request_timeout = Some(Duration::from_millis(50));
    let traffic = [(80, policy(1))].into();
    mesh.configure(ServiceConfig { traffic, ..config(REVIEWS, vec![only]) });
    let replies = statuses(&mut mesh.http1(80).await, 50).await;
    assert_eq!((count(&replies, 504), slow.seen().len()), (1, 1));
}

#[tokio::test]
async fn res_20_a_backend_that_cannot_be_reached_counts() {
    let mesh = Mesh::start().await;
    mesh.echo("well").await;
    // Nobody listens there.
    mesh.add(mesh.endpoint("gone", REVIEWS, (mesh.free_ip(), 9).into()));
    mesh.shape(policy(2));
    // What cannot connect is retried by default, so clients do not notice.
    assert_eq!(statuses(&mut mesh.http1(80).await, 100).await, [200; 100]);
    told(&mesh, "ejections_active", 1);
}
