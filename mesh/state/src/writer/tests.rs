//! Batches: what they change together and who hears of it.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::{Health, PolicyKey, Scope, Service, ServiceConfig, SmallMap, Workload};

use crate::samples::{address, endpoint, key, pod, policy, service, workload};

fn endpoint_names(reader: &crate::Reader, service: &str) -> Vec<String> {
    reader.snapshot().endpoints(&key(service)).map(|(workload, _)| workload.name.to_string()).collect()
}

#[test]
fn lb_13_endpoints_and_their_service_come_and_go_in_any_order() {
    let (writer, reader) = crate::new();
    writer.change(|edit| edit.insert_workload(endpoint("one", "10.0.0.1", "web")));
    assert_eq!(endpoint_names(&reader, "web"), ["one"], "staged");
    writer.change(|edit| edit.insert_service(service("web", &["10.96.0.1"])));
    assert_eq!(endpoint_names(&reader, "web"), ["one"]);
    writer.change(|edit| edit.insert_service(Service { canonical: true, ..service("web", &["10.96.0.2"]) }));
    assert_eq!(endpoint_names(&reader, "web"), ["one"], "an update keeps them");
    writer.change(|edit| {
        edit.remove_service(&key("web"));
        edit.insert_service(service("web", &["10.96.0.1"]));
        edit.remove_workload(&workload("one").uid);
        edit.insert_workload(endpoint("one", "10.0.0.9", "web"));
    });
    assert_eq!(endpoint_names(&reader, "web"), ["one"], "removed and added again");
    assert!(reader.snapshot().find_workload(&address("10.0.0.9")).is_some());
    assert_eq!(reader.snapshot().find_workload(&address("10.0.0.1")), None);
    writer.change(|edit| edit.remove_workload(&workload("one").uid));
    assert!(endpoint_names(&reader, "web").is_empty());
}

#[test]
fn lb_14_a_workload_leaves_the_services_it_no_longer_names() {
    let (writer, reader) = crate::new();
    let both = SmallMap::from([(key("web"), SmallMap::new()), (key("api"), SmallMap::from([(80, 1)]))]);
    writer.change(|edit| edit.insert_workload(Workload { services: both, ..pod("one", "10.0.0.1") }));
    let only = SmallMap::from([(key("api"), SmallMap::from([(80, 2)]))]);
    writer.change(|edit| edit.insert_workload(Workload { services: only, ..pod("one", "10.0.0.1") }));
    assert!(endpoint_names(&reader, "web").is_empty());
    let snapshot = reader.snapshot();
    let ports: Vec<_> = snapshot.endpoints(&key("api")).map(|(_, ports)| ports.clone()).collect();
    assert_eq!(ports, [SmallMap::from([(80, 2)])], "in its newest form");
}

#[test]
fn lb_15_a_batch_is_seen_at_once() {
    let (writer, reader) = crate::new();
    let changes = reader.addresses_changed();
    writer.change(|edit| {
        for number in 0..1000 {
            let text = format!("10.0.{}.{}", number / 250, number % 250);
            edit.insert_workload(endpoint(&format!("web-{number}"), &text, "web"));
        }
    });
    assert_eq!(*changes.borrow(), 1);
    assert_eq!(endpoint_names(&reader, "web").len(), 1000);
    assert_eq!(reader.snapshot().workloads().count(), 1000);
}

#[test]
fn readers_hear_of_what_concerns_them() {
    let (writer, reader) = crate::new();
    let counts = || {
        let [addresses, policies, configs] =
            [reader.addresses_changed(), reader.policies_changed(), reader.configs_changed()];
        (*addresses.borrow(), *policies.borrow(), *configs.borrow())
    };
    let selected = Workload { authorization_policies: vec![PolicyKey::new("prod", "p")], ..workload("one") };
    let config = ServiceConfig {
        key: key("web"),
        ports: SmallMap::new(),
        subsets: Vec::new(),
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    };
    let before = reader.snapshot();
    writer.change(|edit| edit.remove_workload(&workload("one").uid));
    assert!(Arc::ptr_eq(&before, &reader.snapshot()), "nothing changed");
    writer.change(|edit| edit.insert_workload(workload("one")));
    assert_eq!(counts(), (1, 0, 0));
    writer.change(|edit| edit.insert_workload(workload("one")));
    assert_eq!(counts(), (1, 0, 0), "it is the same");
    writer.change(|edit| edit.insert_workload(Workload { health: Health::Unhealthy, ..workload("one") }));
    assert_eq!(counts(), (2, 0, 0));
    writer.change(|edit| edit.insert_workload(selected));
    assert_eq!(counts(), (3, 1, 0), "other policies apply to it now");
    writer.change(|edit| edit.insert_policy(policy("prod", "p", Scope::WorkloadSelector)));
    writer.change(|edit| edit.insert_policy(policy("prod", "p", Scope::WorkloadSelector)));
    assert_eq!(counts(), (3, 2, 0));
    writer.change(|edit| edit.remove_policy(&PolicyKey::new("prod", "p")));
    assert_eq!(counts(), (3, 3, 0));
    writer.change(|edit| edit.insert_service_config(config.clone()));
    writer.change(|edit| edit.insert_service_config(config));
    assert_eq!(counts(), (3, 3, 1));
    assert!(reader.snapshot().service_config(&key("web")).is_some());
    writer.change(|edit| edit.remove_service_config(&key("web")));
    assert_eq!(counts(), (3, 3, 2));
    assert_eq!(reader.snapshot().service_config(&key("web")), None);
}

#[tokio::test(start_paused = true)]
async fn cap_26_a_workload_is_waited_for() {
    let (writer, reader) = crate::new();
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { reader.fetch_workload(&address("10.0.0.1"), Duration::from_secs(5)).await }
    });
    tokio::task::yield_now().await;
    writer.change(|edit| edit.insert_workload(pod("other", "10.0.0.2")));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    writer.change(|edit| edit.insert_workload(pod("one", "10.0.0.1")));
    assert_eq!(&*waiting.await.unwrap().unwrap().name, "one");
    let known = reader.fetch_workload_by_uid(&workload("one").uid, Duration::ZERO).await;
    assert_eq!(&*known.unwrap().name, "one");
    let start = tokio::time::Instant::now();
    assert_eq!(reader.fetch_workload(&address("10.0.0.3"), Duration::from_secs(5)).await, None);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}
