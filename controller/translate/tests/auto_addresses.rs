//! Addresses that nobody wrote, where statuses are written: an address counts once it is in the status
//! (DNS-24, EG-04, EG-22).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use controller_translate::cluster::AddressSource;
use controller_translate::{
    Cluster, Kind, Name, Object, ObjectKey, Resource, ResourceKey, Settings, Status, resources, status,
};
use mesh_model::NamespacedHostname;
use serde_json::{Value, json};

const HOST: &str = "api.example.com";

fn cluster() -> Cluster {
    Cluster::new(Settings { auto_addresses: AddressSource::Status, ..Settings::default() })
}

fn entry(name: &str, created: &str, spec: Value, status: Option<&Value>) -> Object {
    let mut spec = spec;
    spec["hosts"] = json!([HOST]);
    spec["ports"] = json!([{ "number": 80, "name": "http", "protocol": "HTTP" }]);
    let metadata = json!({ "name": name, "namespace": "x", "creationTimestamp": created });
    let object = json!({ "metadata": metadata, "spec": spec, "status": status });
    Object::from_value(Kind::ServiceEntry, object).unwrap()
}

fn by_name(name: &str, status: Option<&Value>) -> Object {
    entry(name, "2026-01-01T00:00:00Z", json!({ "resolution": "DNS" }), status)
}

/// What is written about an object.
fn written(cluster: &Cluster, name: &str) -> Value {
    let key = ObjectKey::new(Kind::ServiceEntry, "x", name);
    serde_json::to_value(status::derive(cluster, &key).unwrap()).unwrap()
}

fn in_use(cluster: &Cluster) -> Vec<String> {
    let key = ResourceKey::Service(NamespacedHostname::new("x", HOST));
    match resources::derive(cluster, &key) {
        Some(Resource::Service(service)) => service.addresses.iter().map(|it| it.ip.to_string()).collect(),
        None => Vec::new(),
        other => panic!("no service but {other:?}"),
    }
}

fn values(status: &Value) -> Vec<String> {
    let addresses = status["addresses"].as_array().unwrap().iter();
    addresses.map(|it| it["value"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn dns_24_an_address_counts_once_it_is_in_the_status() {
    let mut cluster = cluster();
    cluster.apply(by_name("a", None));
    let status = written(&cluster, "a");
    assert_eq!(values(&status).len(), 2);
    assert!(in_use(&cluster).is_empty());
    let affected = cluster.apply(by_name("a", Some(&status)));
    assert!(affected.resources.contains(&ResourceKey::Service(NamespacedHostname::new("x", HOST))));
    assert_eq!(in_use(&cluster), values(&status));
    assert_eq!(written(&cluster, "a"), status, "nothing more to write");
    cluster.remove(&ObjectKey::new(Kind::ServiceEntry, "x", "a"));
    assert!(in_use(&cluster).is_empty());
}

#[test]
fn dns_24_a_status_with_an_address_of_another_object_is_corrected_and_not_used() {
    let mut cluster = cluster();
    let stolen = json!({ "addresses": [{ "value": "240.240.0.7", "host": HOST }] });
    cluster.apply(by_name("b", Some(&stolen)));
    assert_eq!(in_use(&cluster), ["240.240.0.7"]);
    cluster.apply(entry("a", "2025-01-01T00:00:00Z", json!({ "addresses": ["240.240.0.7"] }), None));
    assert!(!values(&written(&cluster, "b")).contains(&"240.240.0.7".to_owned()));
    assert_eq!(in_use(&cluster), ["240.240.0.7"], "of the object whose user wrote it");
    cluster.remove(&ObjectKey::new(Kind::ServiceEntry, "x", "a"));
    assert_eq!(in_use(&cluster), ["240.240.0.7"]);
}

#[test]
fn dns_24_foreign_and_unreadable_addresses_in_a_status_do_not_count() {
    let mut cluster = cluster();
    let status = json!({ "addresses": [
        { "value": "10.0.0.1", "host": HOST }, { "value": "240.240.0.7", "host": "other.example.com" },
        { "value": "nonsense", "host": HOST }, "240.240.0.8",
    ] });
    cluster.apply(by_name("a", Some(&status)));
    assert!(in_use(&cluster).is_empty());
    assert!(
        values(&written(&cluster, "a"))
            .iter()
            .all(|it| it.starts_with("240.240.") || it.starts_with("2001:2::"))
    );
}

#[test]
fn dns_24_no_address_where_users_have_their_own_or_want_none() {
    let mut labelled = by_name("d", None);
    labelled.metadata_mut().labels =
        Some([("networking.istio.io/enable-autoallocate-ip".to_owned(), "false".to_owned())].into());
    let created = "2026-01-01T00:00:00Z";
    let mut cluster = cluster();
    for object in [
        entry("b", created, json!({ "resolution": "NONE" }), None),
        entry("c", created, json!({ "resolution": "DNS", "addresses": ["10.0.0.1"] }), None),
        labelled,
    ] {
        let name = object.key().name;
        cluster.apply(object);
        assert!(values(&written(&cluster, &name)).is_empty(), "{name}");
    }
}

#[test]
fn st_05_a_status_is_kept_for_every_service_entry() {
    let mut cluster = cluster();
    cluster.apply(by_name("a", None));
    let key = Name::new("x", "a");
    let key = ObjectKey::new(Kind::ServiceEntry, key.namespace, key.name);
    assert!(matches!(status::derive(&cluster, &key), Some(Status::ServiceEntry(_))));
    assert!(status::keys(&cluster).contains(&key));
}
