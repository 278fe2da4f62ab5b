//! Tests of `pods`.

use serde_json::json;

use super::*;

fn facts(uid: &str, change: serde_json::Value) -> Facts {
    let mut pod = json!({
        "metadata": { "uid": uid, "name": format!("pod-{uid}"), "namespace": "shop" },
        "spec": { "containers": [] },
        "status": { "phase": "Running", "podIPs": [{ "ip": "10.244.1.2" }] }
    });
    for (key, value) in change.as_object().unwrap() {
        pod[key] = value.clone();
    }
    Facts::of(&serde_json::from_value(pod).unwrap())
}

fn shop(mode: Option<&str>) -> PartialObjectMeta<Namespace> {
    let labels = mode.map_or(json!({}), |mode| json!({ "istio.io/dataplane-mode": mode }));
    serde_json::from_value(json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": { "name": "shop", "labels": labels }
    }))
    .unwrap()
}

/// A node of which both lists have been read.
fn known(mode: Option<&str>, pods: &[Facts]) -> Known {
    let mut known = Known::new(Rules::default());
    known.take_pod(Event::Init);
    pods.iter().cloned().for_each(|pod| known.take_pod(Event::InitApply(pod)));
    known.take_pod(Event::InitDone);
    assert!(!known.is_complete());
    known.take_namespace(Event::Init);
    known.take_namespace(Event::InitApply(shop(mode)));
    known.take_namespace(Event::InitDone);
    assert!(known.is_complete());
    known
}

fn missing(known: &Known) -> Vec<Uid> {
    known.missing().into_iter().collect()
}

#[test]
fn cap_01_a_namespace_that_is_labelled_makes_its_pods_wanted() {
    let mut known = known(None, &[facts("1", json!({}))]);
    assert_eq!(missing(&known), [] as [&str; 0]);
    known.take_namespace(Event::Apply(shop(Some("ambient"))));
    assert_eq!(missing(&known), ["1"]);
    known.found([("1".to_owned(), NetworkNamespace::current().unwrap())].into());
    assert_eq!(missing(&known), [] as [&str; 0]);
    let record = &known.records()["1"];
    assert!(record.namespace_held.is_some());
    assert_eq!(record.namespace_labels["istio.io/dataplane-mode"], "ambient");
    known.take_namespace(Event::Delete(shop(None)));
    assert!(known.records()["1"].namespace_labels.is_empty());
}

#[test]
fn a_pod_that_does_not_run_or_is_not_wanted_is_not_looked_for() {
    let pods = [
        facts("host", json!({ "spec": { "hostNetwork": true, "containers": [] } })),
        facts("new", json!({ "status": { "phase": "Pending" } })),
        facts("done", json!({ "status": { "phase": "Succeeded", "podIPs": [{ "ip": "10.244.1.3" }] } })),
        facts("web", json!({})),
    ];
    assert_eq!(missing(&known(Some("ambient"), &pods)), ["web"]);
    let left = json!({ "metadata": { "uid": "left", "namespace": "shop",
        "annotations": { "ambient.istio.io/redirection": "enabled" } } });
    assert_eq!(
        missing(&known(None, &[facts("left", left)])),
        ["left"],
        "an earlier agent may have enrolled it"
    );
}

#[test]
fn up_11_an_announced_pod_stays_wanted_while_the_watch_of_namespaces_has_to_catch_up() {
    let mut known = known(Some("ambient"), &[]);
    let pod = |status: serde_json::Value| {
        let metadata = json!({ "uid": "1", "name": "web", "namespace": "new" });
        facts("1", json!({ "metadata": metadata, "status": status }))
    };
    let running = json!({ "phase": "Running", "podIPs": [{ "ip": "10.244.1.2" }] });
    let mut record = pod(running.clone()).record;
    record.namespace_held = Some(NetworkNamespace::current().unwrap());
    record.namespace_labels.insert("istio.io/dataplane-mode".to_owned(), "ambient".to_owned());
    known.announce(Announcement::Made(Box::new(record)));
    // The watch of pods is ahead of that of namespaces.
    for status in [json!({ "phase": "Pending" }), running] {
        known.take_pod(Event::Apply(pod(status)));
        let record = known.records().remove("1").unwrap();
        assert!(enrolment::decide(&record, &known.rules).is_ok(), "it is not released for that");
    }
    let mut late = shop(None);
    late.metadata.name = Some("new".to_owned());
    known.take_namespace(Event::Apply(late));
    assert!(known.records()["1"].namespace_labels.is_empty(), "what the watch says counts once it does");
}

#[test]
fn an_announced_pod_is_there_before_the_watch_tells_of_it() {
    let mut known = known(Some("ambient"), &[]);
    let mut record = facts("1", json!({})).record;
    record.namespace_held = Some(NetworkNamespace::current().unwrap());
    known.announce(Announcement::Made(Box::new(record)));
    assert!(known.records()["1"].namespace_held.is_some());
    known.take_pod(Event::Apply(facts("1", json!({ "status": { "phase": "Pending" } }))));
    let record = known.records().remove("1").unwrap();
    assert!(record.namespace_held.is_some(), "the object has no addresses yet");
    assert_eq!(record.ips.len(), 1, "those of the announcement stand");
    known.announce(Announcement::Failed("1".to_owned()));
    assert!(known.records()["1"].namespace_held.is_none());
    known.take_pod(Event::Delete(facts("1", json!({}))));
    assert!(known.records().is_empty());
}

#[test]
fn a_sandbox_made_anew_is_looked_for_again() {
    let mut known = known(Some("ambient"), &[facts("1", json!({}))]);
    known.found([("1".to_owned(), NetworkNamespace::current().unwrap())].into());
    let other = json!({ "status": { "phase": "Running", "podIPs": [{ "ip": "10.244.1.9" }] } });
    known.take_pod(Event::Apply(facts("1", other)));
    assert_eq!(missing(&known), ["1"]);
}

#[test]
fn a_list_that_is_read_again_drops_what_is_gone() {
    let mut known = known(Some("ambient"), &[facts("1", json!({})), facts("2", json!({}))]);
    known.take_pod(Event::Init);
    known.take_pod(Event::InitApply(facts("2", json!({}))));
    assert_eq!(known.records().len(), 2, "until the list is whole");
    known.take_pod(Event::InitDone);
    assert_eq!(known.records().into_keys().collect::<Vec<_>>(), ["2"]);
}
