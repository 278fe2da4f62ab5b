//! ServiceEntries and WorkloadEntries that share hosts, labels and addresses with each other and with Services.

use serde_json::{Value, json};

use super::{Choice, NAMESPACES, SERVICES, VERSIONS, labels};

pub(super) fn host(c: &mut Choice) -> String {
    match c.below(3) {
        0 => format!("{}.{}.svc.cluster.local", c.of(&SERVICES), c.of(&NAMESPACES)),
        1 => "api.example".to_owned(),
        _ => "db.example".to_owned(),
    }
}

pub(super) fn make_entry(backend: &mut Value) {
    backend["group"] = "networking.istio.io".into();
    backend["kind"] = "ServiceEntry".into();
}

pub(super) fn make_host(backend: &mut Value, c: &mut Choice) {
    backend["group"] = "networking.istio.io".into();
    backend["kind"] = "Hostname".into();
    backend["name"] = host(c).into();
}

fn endpoint(c: &mut Choice) -> Value {
    let address = c.of(&["10.0.0.1", "10.0.0.2", "db.internal", "unix:///run/db"]);
    let mut labels = json!({ "app": c.of(&["a", "b"]), "version": c.of(&VERSIONS) });
    if let Some(waypoint) = c.maybe(|c| c.of(&["w", "v", "none"])) {
        labels["istio.io/use-waypoint"] = waypoint.into();
    }
    let mut endpoint = json!({ "address": address, "labels": labels });
    if let Some(port) = c.maybe(|c| c.of(&[8080, 9090])) {
        endpoint["ports"] = json!({ c.of(&["http", "web"]): port });
    }
    endpoint
}

pub(super) fn service_entry(c: &mut Choice) -> Value {
    let resolution = c.of(&["NONE", "STATIC", "DNS", "DYNAMIC_DNS"]);
    let first = if c.below(4) == 0 { "*.example".to_owned() } else { host(c) };
    let hosts: Vec<String> = [Some(first), c.maybe(host)].into_iter().flatten().collect();
    let mut spec = json!({
        "hosts": hosts, "resolution": resolution,
        "ports": [{ "number": c.of(&[80, 81]), "name": "http", "protocol": "HTTP" }]
    });
    match c.below(3) {
        0 => spec["endpoints"] = json!([endpoint(c), endpoint(c)]),
        1 => spec["workloadSelector"] = json!({ "labels": { "app": c.of(&["a", "b"]) } }),
        _ => {}
    }
    if c.below(3) == 0 {
        spec["addresses"] = json!([c.of(&["10.99.0.1", "240.240.0.1", "10.99.0.0/16"])]);
    }
    let mut labels = labels(c);
    if c.below(6) == 0 {
        labels["networking.istio.io/enable-autoallocate-ip"] = "false".into();
    }
    let mut entry = json!({ "metadata": { "name": c.of(&SERVICES), "labels": labels }, "spec": spec });
    if c.below(2) == 0 {
        let noted = json!({ "value": c.of(&["240.240.0.1", "240.240.0.2"]), "host": c.of(&hosts) });
        entry["status"] = json!({ "addresses": [noted] });
    }
    entry
}

pub(super) fn workload_entry(c: &mut Choice) -> Value {
    json!({ "metadata": { "name": c.of(&["p", "q"]) }, "spec": endpoint(c) })
}
