//! Backends close to the waypoint, and those further away.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_model::{
    Choice, Health, LoadBalancer, Locality, LocalityPreference, OutlierDetection, TrafficPolicy, Workload,
};

use super::backend::{Act, Backend};
use super::mesh::{Mesh, REVIEWS};
use super::samples::workload;

/// A waypoint in `r1`, whose traffic has a preference for places.
async fn mesh(locality: LocalityPreference) -> Mesh {
    let mesh = Mesh::start().await;
    mesh.add(Workload { locality: region("r1"), ..workload("waypoint", mesh.waypoint_ip()) });
    let detection = OutlierDetection {
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_percent: 100,
        min_health_percent: 0,
        consecutive_gateway_errors: None,
        consecutive_errors: Some(3),
        consecutive_local_origin_failures: None,
        split_local_origin_errors: false,
        error_codes: Vec::new(),
    };
    let choice = Choice::RoundRobin;
    mesh.shape(TrafficPolicy {
        load_balancer: LoadBalancer { choice, locality: Some(locality), warmup: None },
        outlier_detection: Some(detection),
        ..TrafficPolicy::default()
    });
    mesh
}

fn region(name: &str) -> Locality {
    Locality { region: name.into(), ..Locality::default() }
}

/// A backend in a region that answers with its name.
async fn backend_in(mesh: &Mesh, name: &'static str, place: &str, status: u16) -> Workload {
    let server = Backend::start(mesh.free_ip(), move |_, _| Act::text(status, name)).await;
    let endpoint = Workload { locality: region(place), ..mesh.endpoint(name, REVIEWS, server.address) };
    mesh.add(endpoint.clone());
    endpoint
}

/// Who answers so many requests, and how often.
async fn answers(mesh: &Mesh, count: u32) -> BTreeMap<String, u32> {
    let mut client = mesh.http2(80).await;
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(client.get("/").await.body).or_default() += 1;
    }
    answers
}

fn only(name: &str, count: u32) -> BTreeMap<String, u32> {
    [(name.to_owned(), count)].into()
}

#[tokio::test]
async fn lb_10_the_next_region_takes_over() {
    let failover = vec![("r1".into(), "r3".into())];
    let mesh = mesh(LocalityPreference { failover, ..LocalityPreference::default() }).await;
    let near = backend_in(&mesh, "near", "r1", 200).await;
    backend_in(&mesh, "far", "r2", 200).await;
    backend_in(&mesh, "named", "r3", 200).await;
    assert_eq!(answers(&mesh, 20).await, only("near", 20));
    mesh.add(Workload { health: Health::Unhealthy, ..near.clone() });
    assert_eq!(answers(&mesh, 20).await, only("named", 20));
    mesh.add(near);
    assert_eq!(answers(&mesh, 20).await, only("near", 20));
}

#[tokio::test]
async fn lb_10_res_20_the_next_region_takes_over_from_one_that_fails() {
    let mesh = mesh(LocalityPreference::default()).await;
    backend_in(&mesh, "near", "r1", 500).await;
    backend_in(&mesh, "far", "r2", 200).await;
    let expected = BTreeMap::from([("near".to_owned(), 3), ("far".to_owned(), 17)]);
    assert_eq!(answers(&mesh, 20).await, expected);
}

#[tokio::test]
async fn shares_of_regions_are_kept() {
    let shares = BTreeMap::from([("r1/*".into(), 80), ("r2/*".into(), 20)]);
    let distribute = vec![("r1/*".into(), shares)];
    let mesh = mesh(LocalityPreference { distribute, ..LocalityPreference::default() }).await;
    for (name, place) in [("near", "r1"), ("far", "r2"), ("none", "r3")] {
        backend_in(&mesh, name, place, 200).await;
    }
    let answers = answers(&mesh, 500).await;
    // Six standard deviations around 100 of 500.
    assert!((46..=154).contains(&answers["far"]), "{answers:?}");
    assert_eq!(answers["near"] + answers["far"], 500);
}
