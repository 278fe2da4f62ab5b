//! Tests of `demand`.

use mesh_model::{NetworkMode, Workload};

use super::*;
use crate::samples::{address, endpoint, gateway, gateway_at, key, pod, service, snapshot, workload};

fn client() -> Workload {
    pod("client", "10.0.0.1")
}

fn needed_for(snapshot: &Snapshot, destination: &str) -> Vec<String> {
    let source = client();
    let query = Query { source: &source, destination: destination.parse().unwrap() };
    needed(snapshot, query).iter().map(ToString::to_string).collect()
}

fn far(name: &str, service: &str) -> Workload {
    Workload {
        network: "north".into(),
        network_gateway: Some(gateway_at("north", "172.16.0.1")),
        ..endpoint(name, "10.9.0.1", service)
    }
}

#[test]
fn ad_14_a_connection_leans_on_more_the_more_is_known() {
    let nothing = snapshot(|_| {});
    assert_eq!(needed_for(&nothing, "10.96.0.1:80"), ["/10.96.0.1"]);
    assert_eq!(needed_for(&nothing, "[::ffff:10.96.0.1]:80"), ["/10.96.0.1"]);

    let mut web = service("web", &["10.96.0.1"]);
    web.waypoint = Some(gateway("waypoint"));
    let with_service = snapshot(|edit| edit.insert_service(web.clone()));
    assert_eq!(needed_for(&with_service, "10.96.0.1:80"), ["/10.96.0.1", "prod/waypoint.prod"]);

    let with_waypoint = snapshot(|edit| {
        edit.insert_service(web);
        edit.insert_service(service("waypoint", &["10.96.0.9"]));
        edit.insert_workload(far("waypoint-1", "waypoint"));
        edit.insert_workload(far("web-1", "web"));
    });
    assert_eq!(
        needed_for(&with_waypoint, "10.96.0.1:80"),
        ["/10.96.0.1", "prod/waypoint.prod", "north/172.16.0.1", "north/172.16.0.1"]
    );

    let mut served = pod("served", "10.0.0.2");
    served.waypoint = Some(gateway_at("", "10.0.0.3"));
    let with_workload = snapshot(|edit| edit.insert_workload(served.clone()));
    assert_eq!(needed_for(&with_workload, "10.0.0.2:80"), ["/10.0.0.2", "/10.0.0.3"]);
    served.waypoint = Some(gateway_at("", "10.0.0.1"));
    let own = snapshot(|edit| edit.insert_workload(served));
    assert_eq!(needed_for(&own, "10.0.0.2:80"), ["/10.0.0.2"], "WP-10: the client is that waypoint");
}

#[test]
fn ad_14_names_that_are_known_and_what_they_brought() {
    let snapshot = snapshot(|edit| {
        edit.insert_service(service("web", &["10.96.0.1"]));
        edit.insert_workload(endpoint("web-1", "10.0.0.2", "web"));
        edit.insert_workload(Workload {
            network_mode: NetworkMode::HostNetwork,
            ..pod("agent", "172.30.0.11")
        });
        edit.insert_workload(Workload { hostname: "db.example".into(), ..workload("db") });
    });
    let uid = |name: &str| ResourceKey::Workload(workload(name).uid);
    let host = |text: &str| ResourceName::Host(NamespacedHostname::new("prod", text));
    for (name, brought) in [
        (ResourceName::Address(address("10.96.0.1")), vec![uid("web-1"), ResourceKey::Service(key("web"))]),
        (ResourceName::Host(key("web")), vec![uid("web-1"), ResourceKey::Service(key("web"))]),
        (ResourceName::Address(address("10.0.0.2")), vec![uid("web-1")]),
        (ResourceName::Workload(workload("agent").uid), vec![uid("agent")]),
        (host("db.example"), vec![uid("db")]),
        // CAP-20: an address that is shared with the node tells nobody.
        (ResourceName::Address(address("172.30.0.11")), vec![]),
        (host("web"), vec![]),
    ] {
        assert_eq!(snapshot.knows(&name), !brought.is_empty(), "{name}");
        assert_eq!(snapshot.brought_by(&name), brought, "{name}");
    }
}

#[test]
fn ad_14_what_was_brought_is_removed_under_its_own_name() {
    let (writer, reader) = crate::new();
    writer.change(|edit| {
        edit.insert_service(service("web", &["10.96.0.1"]));
        edit.insert_workload(endpoint("web-1", "10.0.0.2", "web"));
    });
    let brought = reader.snapshot().brought_by(&ResourceName::Host(key("web")));
    assert_eq!(
        brought.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["Kubernetes//Pod/prod/web-1", "prod/web.prod"]
    );
    writer.change(|edit| brought.iter().for_each(|key| key.remove_from(edit)));
    let left = reader.snapshot();
    assert_eq!((left.workloads().count(), left.services().count()), (0, 0));
}
