//! A waypoint counts from the moment it serves, and never stops counting: traffic it has to judge must not go
//! around it because it restarts (api.md §4.4, WP-02, WP-05, ST-14).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use controller_translate::{
    Affected, Cluster, Kind, Name, Object, Resource, ResourceKey, Settings, resources,
};
use serde_json::{Value, json};

fn object(kind: Kind, value: Value) -> Object {
    Object::from_value(kind, value).unwrap()
}

fn gateway() -> Object {
    let listener = json!({ "name": "mesh", "port": 15008, "protocol": "HBONE" });
    let spec = json!({ "gatewayClassName": "istio-waypoint", "listeners": [listener] });
    object(Kind::Gateway, json!({ "metadata": { "name": "w", "namespace": "x" }, "spec": spec }))
}

fn labels() -> Value {
    json!({ "gateway.networking.k8s.io/gateway-name": "w", "gateway.istio.io/managed": "istio.io-mesh-controller" })
}

fn waypoint_service(ip: Option<&str>) -> Object {
    let spec = json!({ "clusterIP": ip, "ports": [{ "port": 15008 }] });
    object(
        Kind::Service,
        json!({ "metadata": { "name": "w", "namespace": "x", "labels": labels() }, "spec": spec }),
    )
}

fn waypoint_pod(ready: &str) -> Object {
    let status = json!({ "podIP": "10.0.0.9", "conditions": [{ "type": "Ready", "status": ready }] });
    let metadata = json!({ "name": "w-0", "namespace": "x", "labels": labels() });
    object(Kind::Pod, json!({ "metadata": metadata, "spec": { "containers": [] }, "status": status }))
}

fn bound_service() -> Object {
    let metadata = json!({ "name": "a", "namespace": "x", "labels": { "istio.io/use-waypoint": "w" } });
    object(Kind::Service, json!({ "metadata": metadata, "spec": { "ports": [{ "port": 80 }] } }))
}

fn key(cluster: &Cluster) -> ResourceKey {
    cluster.service_key(&Name::new("x", "a"))
}

fn is_bound(cluster: &Cluster) -> bool {
    match resources::derive(cluster, &key(cluster)) {
        Some(Resource::Service(service)) => service.waypoint.is_some(),
        other => panic!("no service but {other:?}"),
    }
}

fn names(affected: &Affected, cluster: &Cluster) -> bool {
    affected.resources.contains(&key(cluster))
}

#[test]
fn wp_02_a_waypoint_is_used_once_its_service_has_an_address_and_a_pod_is_ready() {
    let mut cluster = Cluster::new(Settings::default());
    cluster.apply(bound_service());
    cluster.apply(gateway());
    assert!(!is_bound(&cluster));
    cluster.apply(waypoint_pod("True"));
    assert!(!is_bound(&cluster), "without a Service");
    cluster.apply(waypoint_service(None));
    assert!(!is_bound(&cluster), "without an address");
    cluster.apply(waypoint_pod("False"));
    cluster.apply(waypoint_service(Some("10.96.0.1")));
    assert!(!is_bound(&cluster), "without a ready pod");
    let affected = cluster.apply(waypoint_pod("True"));
    assert!(names(&affected, &cluster) && is_bound(&cluster));
}

#[test]
fn wp_02_a_waypoint_that_was_ready_stays_until_its_gateway_goes() {
    let mut cluster = Cluster::new(Settings::default());
    for object in [bound_service(), gateway(), waypoint_service(Some("10.96.0.1")), waypoint_pod("True")] {
        cluster.apply(object);
    }
    assert!(is_bound(&cluster));
    let affected = cluster.apply(waypoint_pod("False"));
    assert!(!names(&affected, &cluster) && is_bound(&cluster));
    cluster.remove(&waypoint_pod("False").key());
    cluster.apply(gateway());
    assert!(is_bound(&cluster));
    let affected = cluster.remove(&gateway().key());
    assert!(names(&affected, &cluster) && !is_bound(&cluster));
    cluster.apply(gateway());
    assert!(!is_bound(&cluster), "a new Gateway starts anew");
}

#[test]
fn an_object_applied_twice_affects_nothing_the_second_time() {
    let mut cluster = Cluster::new(Settings::default());
    for object in [bound_service(), gateway(), waypoint_service(Some("10.96.0.1")), waypoint_pod("True")] {
        assert_ne!(cluster.apply(object.clone()), Affected::default());
        assert_eq!(cluster.apply(object), Affected::default());
    }
    assert_eq!(cluster.remove(&Object::key(&gateway())).statuses.len(), 2);
    assert_eq!(cluster.remove(&Object::key(&gateway())), Affected::default());
}
