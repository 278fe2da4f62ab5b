//! Keys that are fetched: what is asked for, and what is told once somebody has fetched them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/document.rs"]
mod document;

use std::sync::Arc;
use std::time::Duration;

use controller_translate::{
    Cluster, KeySet, KeySource, Kind, Name, ObjectKey, Resource, Settings, resources, status,
};

const OBJECTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: prod }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: tokens, namespace: prod }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: waypoint }]
  jwtRules: [{ issuer: i, jwksUri: "https://issuer/keys", timeout: 9s }, { issuer: "https://other" }]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: selecting, namespace: prod }
spec: { selector: { matchLabels: { app: web } }, jwtRules: [{ issuer: i, jwksUri: "https://unused/keys" }] }
"#;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Settings::default());
    for text in document::split(OBJECTS) {
        cluster.apply(document::read(text).unwrap().1);
    }
    cluster
}

/// The keys that the waypoint is told of, by issuer.
fn keys(cluster: &Cluster) -> Vec<(String, String)> {
    let key = cluster.waypoint_key(&Name::new("prod", "waypoint"));
    let Some(Resource::WaypointConfig(config)) = resources::derive(cluster, &key) else { panic!("none") };
    config.security.token_rules.iter().map(|it| (it.issuer.to_string(), it.keys.to_string())).collect()
}

fn told(cluster: &Cluster) -> String {
    let key = ObjectKey::new(Kind::RequestAuthentication, "prod", "tokens");
    serde_json::to_string(&status::derive(cluster, &key).unwrap()).unwrap()
}

#[test]
fn az_keys_are_asked_for_where_a_waypoint_needs_them() {
    let wanted: Vec<_> = cluster().wanted_keys().into_iter().collect();
    let seconds = Duration::from_secs;
    assert_eq!(
        wanted,
        [
            (KeySource::Uri("https://issuer/keys".into()), seconds(9)),
            (KeySource::Issuer("https://other".into()), seconds(9)),
        ]
    );
}

#[test]
fn az_keys_reach_the_waypoint_and_an_outage_keeps_them() {
    let mut cluster = cluster();
    let source = KeySource::Uri("https://issuer/keys".into());
    assert!(keys(&cluster).iter().all(|(_, keys)| keys.is_empty()), "no token is good before");
    assert!(told(&cluster).contains("not been fetched yet"), "{}", told(&cluster));

    let set: Arc<str> = r#"{"keys":[]}"#.into();
    let known = KeySet { keys: Some(set.clone()), problem: None };
    let affected = cluster.set_keys(&source, Some(known.clone()));
    assert!(affected.resources.contains(&cluster.waypoint_key(&Name::new("prod", "waypoint"))));
    assert_eq!(keys(&cluster)[0], ("i".to_owned(), set.to_string()));
    assert_eq!(cluster.set_keys(&source, Some(known)), Default::default(), "nothing new");

    let outage = KeySet { keys: Some(set.clone()), problem: Some("it is away".to_owned()) };
    assert!(!cluster.set_keys(&source, Some(outage)).statuses.is_empty());
    assert_eq!(keys(&cluster)[0].1, *set);
    assert!(told(&cluster).contains("it is away; the keys of before are used"), "{}", told(&cluster));

    let never = KeySet { keys: None, problem: Some("no such host".to_owned()) };
    cluster.set_keys(&KeySource::Issuer("https://other".into()), Some(never));
    assert!(told(&cluster).contains("no such host; tokens of this issuer are refused"), "{}", told(&cluster));
    cluster.set_keys(&source, None);
    assert_eq!(keys(&cluster)[0].1, "");
}
