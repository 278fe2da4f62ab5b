//! Tests of `configuration`: an API server in memory that asks the webhook, or does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::*;
use crate::kubernetes::fake_api::{Objects, client, failure};

const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/adit";
const PROBES: &str = "/apis/security.istio.io/v1/namespaces/istio-system/authorizationpolicies";
const DENIED: &str = "admission webhook \"validation.adit.io\" denied the request: \
    spec.rules[0].when[0].key: \"adit.webhook.probe\" is not an attribute a condition can be about";

fn settings() -> ConfigurationSettings {
    ConfigurationSettings { name: "adit".to_owned(), namespace: "istio-system".to_owned() }
}

fn installed() -> Objects {
    let objects = Objects::default();
    objects.put(
        PATH,
        json!({ "metadata": { "name": "adit" }, "webhooks": [{
            "name": "validation.adit.io", "failurePolicy": "Fail", "sideEffects": "None",
            "objectSelector": { "matchLabels": { "istio.io/rev": "canary" } },
            "admissionReviewVersions": ["v1"], "clientConfig": { "service": { "name": "a", "namespace": "b" } }
        }] }),
    );
    objects
}

/// Answers a probe so, and counts them.
fn cluster(objects: &Objects, probe: (u16, Value)) -> (Client, Arc<AtomicUsize>) {
    let probes = Arc::new(AtomicUsize::new(0));
    let (objects, counter) = (objects.clone(), probes.clone());
    let client = client(move |call| {
        let answer = if call.path == PROBES {
            assert!(call.query.contains("dryRun=All"), "nothing may be stored");
            assert_eq!(call.body["metadata"]["labels"]["istio.io/rev"], "canary", "the selector must match");
            counter.fetch_add(1, Ordering::Relaxed);
            probe.clone()
        } else {
            objects.answer(call)
        };
        std::future::ready(answer)
    });
    (client, probes)
}

fn webhook(objects: &Objects) -> Value {
    objects.get(PATH).unwrap()["webhooks"][0].clone()
}

#[tokio::test]
async fn the_policy_becomes_fail_once_the_webhook_has_denied_the_probe() {
    let objects = installed();
    let (client, probes) = cluster(&objects, failure(422, DENIED));
    keep(&client, &settings(), "ROOT").await.unwrap();
    let kept = webhook(&objects);
    assert_eq!(kept["failurePolicy"], "Fail");
    assert_eq!(kept["rules"][0]["apiGroups"][0], "networking.istio.io");
    assert_eq!(kept["clientConfig"]["caBundle"], serde_json::to_value(ByteString(b"ROOT".to_vec())).unwrap());
    let before = objects.get(PATH);
    keep(&client, &settings(), "ROOT").await.unwrap();
    assert_eq!(objects.get(PATH), before, "nothing is written where nothing is wrong");
    assert_eq!(probes.load(Ordering::Relaxed), 1);
    keep(&client, &settings(), "NEW").await.unwrap();
    assert_ne!(objects.get(PATH), before);
}

#[tokio::test]
async fn the_policy_stays_ignore_until_the_webhook_is_reached() {
    let elsewhere = DENIED.replace("validation.adit.io", "other.example.com");
    let unreached = [
        (201, json!({ "apiVersion": "v1", "kind": "x", "metadata": { "name": "adit-webhook-probe" } })),
        failure(500, "failed calling webhook: connection refused"),
        failure(404, "the server could not find the requested resource"),
        failure(403, "you may not"),
        failure(422, &elsewhere),
        failure(422, "admission webhook \"validation.adit.io\" denied the request: something else"),
    ];
    for answer in unreached {
        let objects = installed();
        let (client, _) = cluster(&objects, answer.clone());
        keep(&client, &settings(), "ROOT").await.unwrap_err();
        let kept = webhook(&objects);
        assert_eq!(kept["failurePolicy"], "Ignore", "{answer:?}");
        assert!(kept["clientConfig"]["caBundle"].is_string(), "it must be trusted to be reached");
    }
}

#[tokio::test]
async fn rules_that_others_have_changed_are_put_right_and_proven_again() {
    let objects = installed();
    let (client, probes) = cluster(&objects, failure(422, DENIED));
    keep(&client, &settings(), "ROOT").await.unwrap();
    let kept = objects.get(PATH);
    let mut edited = kept.clone().unwrap();
    edited["webhooks"][0]["rules"][0]["resources"] = json!(["authorizationpolicies"]);
    objects.put(PATH, edited);
    keep(&client, &settings(), "ROOT").await.unwrap();
    assert_eq!(objects.get(PATH).unwrap()["webhooks"], kept.unwrap()["webhooks"]);
    assert_eq!(probes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_said() {
    let (client, _) = cluster(&Objects::default(), failure(422, DENIED));
    let error = keep(&client, &settings(), "ROOT").await.unwrap_err().to_string();
    assert!(error.contains("is not there"), "{error}");
}

#[test]
fn the_webhook_denies_the_probe() {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u", "operation": "CREATE", "object": {
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": { "name": PROBE, "namespace": "istio-system" }, "spec": probe_spec()
        } }
    });
    let answer = crate::webhook::review::review(review.to_string().as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer["response"]["status"]["message"].as_str().unwrap().contains(PROBE_KEY), "{answer}");
}
