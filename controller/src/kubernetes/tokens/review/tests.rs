//! Tests of `review`.

use serde_json::{Value, json};

use super::*;

fn judged(status: Value) -> Result<Proven, Outcome> {
    let claims = Claims { exp: None, aud: None };
    let status = serde_json::from_value(status).unwrap();
    judge(status, &claims, &["istio-ca".to_owned()]).map_err(|refused| refused.outcome)
}

fn status(username: &str, audiences: &[&str], extra: Value) -> Value {
    json!({ "authenticated": true, "audiences": audiences, "user": { "username": username, "extra": extra } })
}

const WEB: &str = "system:serviceaccount:prod:web";

#[test]
fn a_token_need_not_be_for_a_pod() {
    let proven = judged(status(WEB, &["other", "istio-ca"], json!({}))).unwrap();
    assert_eq!((proven.account().as_str(), proven.pod), ("prod/web", None));
}

#[test]
fn an_answer_that_proves_nothing_proves_nothing() {
    for nothing in [json!({}), json!({ "authenticated": false }), json!({ "audiences": ["istio-ca"] })] {
        assert_eq!(judged(nothing), Err(Outcome::Invalid));
    }
    let mut doubtful = status(WEB, &["istio-ca"], json!({}));
    doubtful["error"] = json!("but");
    assert_eq!(judged(doubtful), Err(Outcome::Invalid));
}

#[test]
fn the_api_server_must_confirm_the_audience() {
    for audiences in [&[] as &[&str], &["other"]] {
        assert_eq!(judged(status(WEB, audiences, json!({}))), Err(Outcome::Audience));
    }
}

#[test]
fn only_service_accounts_are_accepted() {
    for name in [
        "",
        "admin",
        "system:node:n1",
        "system:serviceaccount:prod",
        "system:serviceaccount:prod:",
        "system:serviceaccount::web",
        "system:serviceaccount:prod:web:x",
        "system:serviceaccount:prod:a/b",
    ] {
        assert_eq!(judged(status(name, &["istio-ca"], json!({}))), Err(Outcome::Invalid), "{name}");
    }
}

#[test]
fn half_a_pod_is_refused() {
    for extra in [
        json!({ "authentication.kubernetes.io/pod-name": ["web-1"] }),
        json!({ "authentication.kubernetes.io/pod-uid": ["w-1"] }),
        json!({ "authentication.kubernetes.io/pod-name": ["a", "b"], "authentication.kubernetes.io/pod-uid": ["w"] }),
        json!({ "authentication.kubernetes.io/pod-name": [""], "authentication.kubernetes.io/pod-uid": ["w"] }),
    ] {
        assert_eq!(judged(status(WEB, &["istio-ca"], extra.clone())), Err(Outcome::Invalid), "{extra}");
    }
}
