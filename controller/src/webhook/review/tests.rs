//! Tests of `review`.

use serde_json::json;

use super::*;

fn policy(key: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "name": "p", "namespace": "prod" },
        "spec": { "rules": [{ "when": [{ "key": key, "values": ["x"] }] }] }
    })
}

fn asked(operation: &str, object: &Value, old: &Value) -> Value {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": operation, "object": object, "oldObject": old,
            "kind": { "group": "x", "version": "v1", "kind": "y" }, "userInfo": {}, "dryRun": false
        }
    });
    let answer: Value = serde_json::from_slice(&review(body.to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    assert_eq!(answer["response"]["uid"], "u-1");
    answer["response"].clone()
}

fn created(object: &Value) -> Value {
    asked("CREATE", object, &Value::Null)
}

#[test]
fn what_works_is_allowed_and_what_cannot_is_denied_naming_the_fields() {
    assert_eq!(created(&policy("source.principal")), json!({ "uid": "u-1", "allowed": true }));
    let mut wrong = policy("source.colour");
    wrong["spec"]["rules"][0]["to"] = json!([{ "operation": {} }]);
    let denied = created(&wrong);
    assert_eq!(denied["allowed"], false);
    let message = denied["status"]["message"].as_str().unwrap();
    for part in ["spec.rules[0].when[0].key", "source.colour", "spec.rules[0].to[0].operation", "; "] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn what_is_not_known_is_allowed_with_a_warning() {
    let mut newer = policy("source.principal");
    newer["spec"]["mood"] = json!("gentle");
    let mut version = policy("source.principal");
    version["apiVersion"] = json!("security.istio.io/v9");
    let thing = json!({ "apiVersion": "example.com/v1", "kind": "Thing" });
    let mut route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "r" },
        "spec": { "rules": [], "novelty": 1 }
    });
    for (object, word) in [(&newer, "mood"), (&version, "v9"), (&thing, "Thing"), (&route, "spec.novelty")] {
        let allowed = created(object);
        assert_eq!(allowed["allowed"], true);
        assert!(allowed["warnings"][0].as_str().unwrap().contains(word), "{word}: {allowed}");
    }
    // A name that the API server has still to generate is none of our business.
    route["metadata"] = json!({ "generateName": "r-" });
    assert_eq!(created(&route)["allowed"], true);
    let config_map = json!({ "apiVersion": "v1", "kind": "ConfigMap" });
    assert_eq!(created(&config_map), json!({ "uid": "u-1", "allowed": true }));
}

#[test]
fn what_is_stored_can_be_changed_and_removed_but_not_made_worse() {
    let (good, bad, worse) = (policy("source.principal"), policy("a"), policy("b"));
    assert_eq!(asked("DELETE", &Value::Null, &bad)["allowed"], true);
    assert_eq!(asked("CONNECT", &bad, &Value::Null)["allowed"], true);
    let same = asked("UPDATE", &bad, &bad);
    assert_eq!(same["allowed"], true);
    assert!(same["warnings"][0].as_str().unwrap().starts_with("still wrong: spec.rules[0]"));
    assert_eq!(asked("UPDATE", &worse, &bad)["allowed"], false);
    assert_eq!(asked("UPDATE", &bad, &good)["allowed"], false);
    let mut going = bad;
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(asked("UPDATE", &going, &good)["allowed"], true, "its finalizers can be removed");
}

#[test]
fn a_denial_stays_readable() {
    let mut wrong = policy("a");
    let long = "ä".repeat(2000);
    let rules: Vec<_> = (0..500).map(|_| json!({ "when": [{ "key": long, "values": ["x"] }] })).collect();
    wrong["spec"]["rules"] = json!(rules);
    let denied = created(&wrong);
    assert!(denied["status"]["message"].as_str().unwrap().len() <= MAX_MESSAGE + 4);
}

#[test]
fn garbage_is_no_review() {
    let deep = "[".repeat(100_000);
    for garbage in [
        "",
        "x",
        "{}",
        "[]",
        "null",
        &deep,
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#,
    ] {
        assert!(review(garbage.as_bytes()).is_err(), "{garbage:.50}");
    }
    let beta = json!({ "apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview" });
    let error = review(beta.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, NoReview::Kind { .. }), "{error}");
    for object in [json!(null), json!(1), json!("x"), json!([]), json!({ "metadata": 1 })] {
        assert_eq!(created(&object)["allowed"], true, "{object}");
    }
}
