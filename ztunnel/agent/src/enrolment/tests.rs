//! Tests of `enrolment`.

use super::*;
use crate::pod;

/// A pod of namespace `shop` labelled ambient by its namespace, changed by `change`.
fn pod(change: serde_json::Value) -> PodRecord {
    let mut record = serde_json::json!({
        "uid": "1", "name": "web", "namespace": "shop", "serviceAccount": "web-account",
        "netns": "/run/netns/web", "ips": ["10.244.1.2"],
        "namespaceLabels": { "istio.io/dataplane-mode": "ambient" },
    });
    for (key, value) in change.as_object().unwrap() {
        record[key] = value.clone();
    }
    pod::parse(&serde_json::to_vec(&record).unwrap()).unwrap()
}

fn refused(change: serde_json::Value) -> &'static str {
    decide(&pod(change), &Rules::default()).unwrap_err()
}

fn labels(mode: &str) -> serde_json::Value {
    serde_json::json!({ "istio.io/dataplane-mode": mode })
}

#[test]
fn cap_01_labels_of_namespace_and_pod_decide() {
    let eligible = |own: Option<&str>, inherited: Option<&str>| {
        let mode = |value: Option<&str>| value.map_or(serde_json::json!({}), labels);
        let change = serde_json::json!({ "labels": mode(own), "namespaceLabels": mode(inherited) });
        decide(&pod(change), &Rules::default()).is_ok()
    };
    assert!(eligible(None, Some("ambient")));
    assert!(eligible(Some("ambient"), None));
    assert!(eligible(Some("ambient"), Some("none")));
    assert!(!eligible(Some("none"), Some("ambient")));
    assert!(!eligible(None, None));
    assert!(!eligible(None, Some("none")));
    assert!(eligible(Some("other"), Some("ambient")));
}

#[test]
fn cap_01_an_enrolment_says_who_and_where() {
    let enrolment = decide(&pod(serde_json::json!({})), &Rules::default()).unwrap();
    let expected = Enrolment {
        name: "web".into(),
        namespace: "shop".into(),
        service_account: "web-account".into(),
        netns: Some("/run/netns/web".into()),
        ips: vec!["10.244.1.2".parse().unwrap()],
        capture: Settings { inbound: true, dns: true },
        notice: None,
    };
    assert_eq!(enrolment, expected);
}

#[test]
fn cni_16_host_network_and_finished_pods_are_never_enrolled() {
    let own = labels("ambient");
    let host = serde_json::json!({ "hostNetwork": true, "labels": own });
    assert_eq!(refused(host), "the pod uses the node's own network");
    assert_eq!(refused(serde_json::json!({ "finished": true })), "the pod has finished");
    assert_eq!(refused(serde_json::json!({ "netns": null })), "the pod has no network namespace yet");
}

#[test]
fn cni_05_an_excluded_namespace_beats_every_label() {
    let change = serde_json::json!({ "namespace": "kube-system", "labels": labels("ambient") });
    assert_eq!(refused(change), "its namespace is excluded");
}

#[test]
fn cap_22_a_pod_with_a_sidecar_is_not_captured() {
    let change = serde_json::json!({ "annotations": { "sidecar.istio.io/status": "{}" } });
    assert_eq!(refused(change), "the pod has a sidecar");
}

#[test]
fn cni_15_annotations_set_what_is_captured() {
    let capture = |annotations: serde_json::Value, dns_capture| {
        let rules = Rules { dns_capture, ..Rules::default() };
        let enrolment = decide(&pod(serde_json::json!({ "annotations": annotations })), &rules).unwrap();
        (enrolment.capture.inbound, enrolment.capture.dns, enrolment.notice)
    };
    let none = serde_json::json!({});
    assert_eq!(capture(none.clone(), false), (true, false, None));
    assert_eq!(capture(none, true), (true, true, None));
    let dns = |value: &str| serde_json::json!({ "ambient.istio.io/dns-capture": value });
    assert_eq!(capture(dns("true"), false), (true, true, None));
    assert_eq!(capture(dns("false"), true), (true, false, None));
    let bypass = serde_json::json!({ "ambient.istio.io/bypass-inbound-capture": "true" });
    assert_eq!(capture(bypass, true), (false, true, None));
    let notice =
        r#"annotation ambient.istio.io/dns-capture is "maybe", expected true or false: ignored"#.to_owned();
    assert_eq!(capture(dns("maybe"), true), (true, true, Some(notice)));
}

fn enrolled(change: serde_json::Value, inode: u64) -> (Wanted, Actual, Step) {
    let enrolment = decide(&pod(change), &Rules::default()).unwrap();
    (
        Wanted::Enrolled(enrolment.clone(), inode),
        Actual::Enrolled(enrolment.clone(), inode),
        Step::Enrol(enrolment, inode),
    )
}

/// The step for a pod of which this is wanted and this is actual.
fn planned(wanted: Option<&Wanted>, actual: Option<&Actual>) -> Option<Step> {
    let wanted = wanted.map(|wanted| ("1".to_owned(), wanted.clone())).into_iter().collect();
    let actual = actual.map(|actual| ("1".to_owned(), actual.clone())).into_iter().collect();
    plan(&wanted, &actual).pop().map(|(_, step)| step)
}

#[test]
fn cap_02_the_plan_is_what_differs_between_wanted_and_actual() {
    let (wanted, actual, enrol) = enrolled(serde_json::json!({}), 7);
    let (wanted_moved, _, enrol_moved) = enrolled(serde_json::json!({}), 8);
    let bypass = serde_json::json!({ "ambient.istio.io/bypass-inbound-capture": "true" });
    let (wanted_changed, _, enrol_changed) = enrolled(serde_json::json!({ "annotations": bypass }), 7);
    let netns = Some(PathBuf::from("/run/netns/web"));
    let free = Wanted::Free { reason: "label".into(), netns: netns.clone() };
    let release = Step::Release { reason: "label".into(), netns };
    let unusable = Wanted::Unusable("gone".into());

    assert_eq!(planned(Some(&wanted), None), Some(enrol.clone()));
    assert_eq!(planned(Some(&wanted), Some(&actual)), None);
    assert_eq!(planned(Some(&wanted), Some(&Actual::Free)), Some(enrol));
    assert_eq!(planned(Some(&wanted_moved), Some(&actual)), Some(enrol_moved));
    assert_eq!(planned(Some(&wanted_changed), Some(&actual)), Some(enrol_changed));
    assert_eq!(planned(Some(&free), Some(&actual)), Some(release.clone()));
    assert_eq!(planned(Some(&free), None), Some(release), "an earlier agent may have enrolled it");
    assert_eq!(planned(Some(&free), Some(&Actual::Free)), None);
    assert_eq!(planned(Some(&unusable), Some(&actual)), None);
    assert_eq!(planned(Some(&unusable), None), Some(Step::Keep("gone".into())));
    assert_eq!(planned(None, Some(&actual)), Some(Step::Forget));
}

#[test]
fn what_is_gone_is_seen_to_first() {
    let (wanted, actual, enrol) = enrolled(serde_json::json!({}), 7);
    let steps =
        plan(&BTreeMap::from([("a".to_owned(), wanted)]), &BTreeMap::from([("z".to_owned(), actual)]));
    assert_eq!(steps, [("z".to_owned(), Step::Forget), ("a".to_owned(), enrol)]);
}
