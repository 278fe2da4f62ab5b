//! The environment of containers.

use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "web-1", "namespace": "prod", "uid": "u", "labels": { "app": "web" } },
        "spec": { "nodeName": "node-1", "containers": [] },
        "status": { "podIP": "10.244.1.2" }
    }))
    .unwrap()
}

fn data() -> Data {
    let mut data = Data::default();
    for document in [
        json!({ "kind": "ConfigMap", "metadata": { "name": "c", "namespace": "prod" }, "data": { "A": "1", "B": "2" } }),
        json!({ "kind": "Secret", "metadata": { "name": "s", "namespace": "prod" }, "data": { "K": "cGFzcw==" } }),
    ] {
        data.put(&document).unwrap();
    }
    data
}

fn variables_of(container: serde_json::Value) -> Result<BTreeMap<String, String>, String> {
    let container = serde_json::from_value(container).unwrap();
    let services =
        service_variables([("my-db", Ipv4Addr::new(10, 96, 1, 0), vec![(Some("pg"), 5432)])].into_iter());
    let surroundings =
        Surroundings { pod: &pod(), host: Ipv4Addr::new(172, 30, 0, 11), data: &data(), services };
    variables(&container, &surroundings)
}

#[test]
fn values_come_from_text_fields_and_objects() {
    let variables = variables_of(json!({
        "name": "c",
        "envFrom": [{ "prefix": "P_", "configMapRef": { "name": "c" } }, { "secretRef": { "name": "none", "optional": true } }],
        "env": [
            { "name": "PLAIN", "value": "x" },
            { "name": "JOINED", "value": "$(PLAIN)-$(P_A)-$(LATER)-$$(PLAIN)" },
            { "name": "LATER", "value": "y" },
            { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "APP", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "ACCOUNT", "valueFrom": { "fieldRef": { "fieldPath": "spec.serviceAccountName" } } },
            { "name": "SECRET", "valueFrom": { "secretKeyRef": { "name": "s", "key": "K" } } },
            { "name": "ABSENT", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "Z", "optional": true } } },
        ],
    }))
    .unwrap();
    for (name, value) in [
        ("P_A", "1"),
        ("P_B", "2"),
        ("JOINED", "x-1-$(LATER)-$(PLAIN)"),
        ("NAME", "web-1"),
        ("APP", "web"),
        ("IP", "10.244.1.2"),
        ("ACCOUNT", "default"),
        ("SECRET", "pass"),
        ("MY_DB_SERVICE_HOST", "10.96.1.0"),
        ("MY_DB_SERVICE_PORT", "5432"),
        ("MY_DB_SERVICE_PORT_PG", "5432"),
    ] {
        assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!variables.contains_key("ABSENT"));
}

#[test]
fn what_is_missing_is_named() {
    for (env, reason) in [
        (json!([{ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "spec.x" } } }]), "spec.x"),
        (
            json!([{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": "Z" } } }]),
            "no key \"Z\"",
        ),
        (json!([{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "n", "key": "Z" } } }]), "prod/n"),
    ] {
        let error = variables_of(json!({ "name": "c", "env": env })).unwrap_err();
        assert!(error.contains(reason) && error.starts_with("variable A"), "{error}");
    }
    let error =
        variables_of(json!({ "name": "c", "envFrom": [{ "configMapRef": { "name": "n" } }] })).unwrap_err();
    assert!(error.contains("ConfigMap prod/n"), "{error}");
}

#[test]
fn references_are_expanded_as_kubernetes_does() {
    let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    for (text, expected) in [
        ("$(A)", "1"),
        ("a$(A)b$(A)", "a1b1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(B)"),
        ("$A $ $( $(A", "$A $ $( $(A"),
    ] {
        assert_eq!(expand(text, &known), expected, "{text}");
    }
}
