//! Tests of `admission::gate`.

use std::collections::BTreeMap;

use controller_translate::cluster::Settings;
use mesh_xds::{Audience, Entry};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Code;

use super::*;
use crate::tests::{Spoken, objects};

fn gate() -> Gate {
    let picture = Picture::new(Settings::default());
    picture.apply(objects(MESH));
    Gate::new(Arc::new(Spoken), Arc::new(picture), Arc::new(["istio-system/ztunnel".to_owned()].into()))
}

const MESH: &str = "
apiVersion: v1
kind: Pod
metadata: {name: way-1, namespace: prod, uid: u-1, labels: {app: way}}
spec: {nodeName: n1, serviceAccountName: way, containers: []}
status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: app-1, namespace: prod, uid: u-2, labels: {app: other}}
spec: {nodeName: n1, serviceAccountName: app, containers: []}
status: {podIP: 10.0.0.2, phase: Running}
---
apiVersion: v1
kind: Service
metadata: {name: way, namespace: prod}
spec: {clusterIP: 10.96.0.1, selector: {app: way}, ports: [{port: 15008}]}
";

fn node(id: &str, fields: &[(&str, &str)]) -> Node {
    let fields = fields
        .iter()
        .map(|&(name, text)| (name.to_owned(), Value { kind: Some(Kind::StringValue(text.to_owned())) }));
    let metadata = Struct { fields: fields.collect::<BTreeMap<_, _>>() };
    Node { id: id.to_owned(), metadata: Some(metadata), ..Default::default() }
}

async fn view(token: &str, node: &Node) -> Result<Arc<dyn View>, Status> {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    gate().admit(&metadata).await?.view(node)
}

fn entry(tags: &[&str]) -> Entry {
    Entry { audience: Audience::Only(tags.iter().map(|&tag| tag.into()).collect()), ..Entry::new("x", &()) }
}

#[tokio::test]
async fn a_node_proxy_sees_addresses_and_policies() {
    let node = node("ztunnel~10.0.0.9~ztunnel-1.istio-system~d", &[("NODE_NAME", "n1")]);
    let view = view("istio-system/ztunnel/ztunnel-1/u-9", &node).await.ok().unwrap();
    let all = Entry::new("x", &());
    assert!(view.sees(ADDRESS, &all) && view.sees(AUTHORIZATION, &all));
    assert!(!view.sees(SERVICE_CONFIG, &all) && !view.sees("type.test/secret", &all));
    assert!(!view.sees(WAYPOINT_CONFIG, &all));
    assert_eq!(view.implied(ADDRESS), ["node/n1"]);
    assert!(view.implied(AUTHORIZATION).is_empty());
}

#[tokio::test]
async fn a_waypoint_sees_addresses_and_the_configs_of_services_that_name_it() {
    let node = node("waypoint~10.0.0.1~way-1.prod~d", &[("SERVICE_ACCOUNT", "way")]);
    let view = view("prod/way/way-1/u-1", &node).await.ok().unwrap();
    let all = Entry::new("x", &());
    assert!(view.sees(ADDRESS, &all) && !view.sees(AUTHORIZATION, &all));
    assert!(view.sees(SERVICE_CONFIG, &entry(&["other", "prod/way.prod.svc.cluster.local"])));
    assert!(view.sees(SERVICE_CONFIG, &entry(&["/10.96.0.1"])));
    assert!(!view.sees(SERVICE_CONFIG, &entry(&["prod/other.prod.svc.cluster.local"])));
    assert!(!view.sees(SERVICE_CONFIG, &entry(&[])));
    assert!(view.sees(WAYPOINT_CONFIG, &entry(&["prod/way.prod.svc.cluster.local"])));
    assert!(!view.sees(WAYPOINT_CONFIG, &entry(&["prod/other.prod.svc.cluster.local"])));
}

#[tokio::test(start_paused = true)]
async fn a_waypoint_that_was_just_made_is_waited_for() {
    let gate = Gate { picture: Arc::new(Picture::new(Settings::default())), ..gate() };
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", "Bearer prod/way/way-1/u-1".parse().unwrap());
    let made = async {
        // The call is waiting by now: it was polled first.
        gate.picture.apply(objects(MESH));
    };
    let (caller, ()) = tokio::join!(gate.admit(&metadata), made);
    let node = node("waypoint~10.0.0.1~way-1.prod~d", &[("SERVICE_ACCOUNT", "way")]);
    assert!(caller.unwrap().view(&node).is_ok());
}

#[tokio::test(start_paused = true)]
async fn others_are_refused() {
    let ztunnel = node("ztunnel~10.0.0.9~ztunnel-1.istio-system~d", &[]);
    let waypoint = node("waypoint~10.0.0.1~way-1.prod~d", &[]);
    let liar = node("waypoint~10.0.0.1~way-1.prod~d", &[("SERVICE_ACCOUNT", "ztunnel")]);
    let cases = [
        ("prod/way/way-1/u-1", &ztunnel, Code::Unauthenticated, "another namespace"),
        ("prod/way/way-1/u-1", &liar, Code::Unauthenticated, "another service account"),
        ("prod/way/way-1/u-7", &waypoint, Code::Unauthenticated, "an earlier pod of that name"),
        ("prod/other/way-1/u-1", &waypoint, Code::Unauthenticated, "another account's pod"),
        ("prod/way/gone/u-1", &waypoint, Code::Unauthenticated, "a pod that is not there"),
        ("prod/way", &waypoint, Code::Unauthenticated, "a token of no pod"),
        ("prod/app/app-1/u-2", &waypoint, Code::Unavailable, "a pod of no service"),
        ("x", &waypoint, Code::Unauthenticated, "no token"),
    ];
    for (token, node, code, case) in cases {
        assert_eq!(view(token, node).await.err().map(|status| status.code()), Some(code), "{case}");
    }
    let odd = view("prod/way/way-1/u-1", &node("way-1", &[])).await.err().unwrap();
    assert_eq!(odd.code(), Code::InvalidArgument);
    for value in ["", "Bearer", "Basic abc", &format!("Bearer {}", "x".repeat(20_000))] {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", value.parse().unwrap());
        assert_eq!(gate().admit(&metadata).await.err().unwrap().code(), Code::Unauthenticated, "{value}");
    }
    assert_eq!(gate().admit(&MetadataMap::new()).await.err().unwrap().code(), Code::Unauthenticated);
}
