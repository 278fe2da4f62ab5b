//! Places as tables.

use std::collections::BTreeMap;

use super::*;
use crate::tests::samples::workload;

fn at(place: &str) -> Workload {
    let mut parts = place.splitn(3, '/').map(Into::into);
    let mut next = || parts.next().unwrap_or_default();
    let locality = Locality { region: next(), zone: next(), subzone: next() };
    Workload { locality, ..workload("one", "10.0.0.1".parse().unwrap()) }
}

fn labelled(labels: &[(&str, &str)]) -> Workload {
    let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Workload { labels, ..at("r1/z1/s1") }
}

/// The groups of endpoints at these places, from `r1/z1/s1`.
fn groups<const N: usize>(policy: &LocalityPreference, places: [&str; N]) -> [Option<usize>; N] {
    let me = at("r1/z1/s1");
    let preference = Preference::of(Some(policy), &me);
    places.map(|place| preference.group_of(&me, &at(place), None))
}

#[test]
fn closer_goes_first_and_a_named_region_before_the_others() {
    let places = ["r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1"];
    let mut policy = LocalityPreference::default();
    assert_eq!(groups(&policy, places), [Some(0), Some(1), Some(2), Some(3), Some(3)]);
    policy.failover = vec![("r9".into(), "r2".into()), ("r1".into(), "r3".into())];
    assert_eq!(groups(&policy, places), [Some(0), Some(1), Some(2), Some(4), Some(3)]);
}

#[test]
fn shares_are_by_the_most_exact_place() {
    let shares = |entries: &[(&str, u32)]| -> BTreeMap<Arc<str>, u32> {
        entries.iter().map(|(place, share)| ((*place).into(), *share)).collect()
    };
    let policy = LocalityPreference {
        distribute: vec![
            ("r2/*".into(), shares(&[("*", 100)])),
            ("r1/z1/*".into(), shares(&[("r1/*", 20), ("r1/z1/*", 70), ("r2/z9", 10)])),
            ("*".into(), shares(&[("r3", 100)])),
        ],
        ..LocalityPreference::default()
    };
    let places = ["r1/z1/s1", "r1/z2/s1", "r2/z9/s7", "r2/z1/s1", "r3/z1/s1"];
    let found = groups(&policy, places);
    let me = at("r1/z1/s1");
    let preference = Preference::of(Some(&policy), &me);
    let promised = found.map(|group| group.and_then(|group| preference.share_of(group)));
    assert_eq!(promised, [Some(70), Some(20), Some(10), None, None]);
    let elsewhere = LocalityPreference { distribute: policy.distribute[..1].to_vec(), ..policy };
    assert_eq!(groups(&elsewhere, places), [Some(0); 5], "nothing is said of traffic from here");
}

#[test]
fn labels_in_common_go_first() {
    let policy = LocalityPreference {
        failover_priority: vec!["version=v2".into(), "topology.kubernetes.io/zone".into(), "rack".into()],
        ..LocalityPreference::default()
    };
    let me = labelled(&[("rack", "7")]);
    let preference = Preference::of(Some(&policy), &me);
    let elsewhere = Workload { locality: at("r1/z2/s1").locality, ..labelled(&[("version", "v2")]) };
    for (endpoint, expected) in [
        (labelled(&[("version", "v2"), ("rack", "7")]), 0),
        (labelled(&[("version", "v2"), ("rack", "8")]), 1),
        (labelled(&[("version", "v2")]), 1),
        (elsewhere, 2),
        (labelled(&[("version", "v1"), ("rack", "7")]), 3),
    ] {
        let group = preference.group_of(&me, &endpoint, None);
        assert_eq!(group, Some(expected), "{:?} {:?}", endpoint.labels, endpoint.locality);
    }
}

#[test]
fn lb_09_10_without_a_policy_the_service_says_who_goes_first() {
    let me = at("r1");
    let preference = Preference::of(None, &me);
    let group = |met| preference.group_of(&me, &me, met);
    assert!(group(Some(2)) < group(Some(1)) && group(Some(1)) < group(Some(0)));
    assert_eq!(group(None), None, "it may not be used at all");
}

#[test]
fn places_include_others() {
    for (place, other, expected) in [
        ("*", "r1/z1/s1", true),
        ("*", "", true),
        ("r1", "r1/z1/s1", true),
        ("r1/*", "r1/z1/s1", true),
        ("r1/z1", "r1/z1/s1", true),
        ("r1/z1/s2", "r1/z1/s1", false),
        ("r1/z2/*", "r1/z1/s1", false),
        ("r2", "r1/z1/s1", false),
        ("", "r1", false),
        ("r1/z1/s1", "r1", false),
    ] {
        assert_eq!(includes(place, &at(other).locality), expected, "{place} and {other}");
    }
}
