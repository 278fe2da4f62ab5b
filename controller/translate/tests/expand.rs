//! What follows from Gateways and Deployments (api.md §4.3, WP-01, WP-15).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/document.rs"]
mod document;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use controller_translate::expand::{WaypointTemplate, expand, pods};
use controller_translate::objects::validate;
use controller_translate::{Kind, Object, Settings};
use serde_json::{Value, json};

fn read(text: &str) -> Vec<Object> {
    document::split(text).map(|text| document::read(text).unwrap().1).collect()
}

fn generate(text: &str) -> Vec<Object> {
    let env =
        BTreeMap::from([("XDS_ADDRESS".to_owned(), "https://istiod.istio-system.svc:15012".to_owned())]);
    let template = WaypointTemplate { image: "adit:test".into(), env, ..WaypointTemplate::default() };
    expand(&read(text), &Settings::default(), &template)
}

fn names(objects: &[Object]) -> Vec<String> {
    objects.iter().map(|object| object.key().to_string()).collect()
}

const WAYPOINT: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: prod, uid: "42" }
spec:
  gatewayClassName: istio-waypoint
  infrastructure: { labels: { team: shop }, annotations: { note: hello } }
  listeners: [{ name: mesh, port: 15008, protocol: HBONE }]
"#;

#[test]
fn wp_01_a_waypoint_is_an_account_a_deployment_and_a_service() {
    let objects = generate(WAYPOINT);
    assert!(objects.iter().all(|object| validate(object).is_empty()));
    let made = objects.iter().filter(|object| !matches!(object, Object::Pod(_)));
    let yaml: Vec<String> = made.map(|object| serde_saphyr::to_string(object).unwrap()).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand/waypoint.yaml");
    let derived = yaml.join("---\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &derived).unwrap();
    }
    assert_eq!(derived, fs::read_to_string(&path).unwrap());
}

#[test]
fn annotations_choose_the_name_the_account_and_the_type_of_service() {
    let text = WAYPOINT.replace(
        "uid: \"42\"",
        "annotations: { gateway.istio.io/name-override: other, gateway.istio.io/service-account: own, \
         networking.istio.io/service-type: LoadBalancer }",
    );
    let objects = generate(&text);
    assert_eq!(names(&objects[..2]), ["Deployment prod/other", "Service prod/other"]);
    let value = serde_json::to_value(&objects[0]).unwrap();
    assert_eq!(value["spec"]["template"]["spec"]["serviceAccountName"], json!("own"));
    assert_eq!(serde_json::to_value(&objects[1]).unwrap()["spec"]["type"], json!("LoadBalancer"));
}

/// The environment of a waypoint's container that is not from its pod.
fn environment(text: &str) -> BTreeMap<String, String> {
    let objects = generate(text);
    let deployment = objects.iter().find(|it| matches!(it, Object::Deployment(_))).unwrap();
    let value = serde_json::to_value(deployment).unwrap();
    let variables = value["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let given = variables.iter().filter_map(|it| Some((text(&it["name"])?, text(&it["value"])?)));
    given.collect()
}

fn proxy_config(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\nspec: {spec}\n"
    )
}

#[test]
fn proxy_configs_say_threads_and_environment_the_closest_first() {
    let mesh = proxy_config(
        "mesh",
        "istio-system",
        "{ concurrency: 1, environmentVariables: { A: mesh, B: mesh, C: mesh, XDS_ADDRESS: 'https://other:15012' } }",
    );
    let everything = [
        mesh.clone(),
        proxy_config("all", "prod", "{ concurrency: 0, environmentVariables: { B: prod, C: prod } }"),
        proxy_config(
            "some",
            "prod",
            "{ selector: { matchLabels: { team: shop } }, environmentVariables: { C: shop } }",
        ),
        proxy_config("younger", "prod", "{ environmentVariables: { D: never } }"),
        proxy_config(
            "others",
            "prod",
            "{ selector: { matchLabels: { team: bank } }, environmentVariables: { C: bank } }",
        ),
        proxy_config("elsewhere", "test", "{ concurrency: 7, environmentVariables: { A: test } }"),
        proxy_config("own", "prod", "{ selector: { matchLabels: { team: none } } }"),
    ];
    let found = environment(&(WAYPOINT.to_owned() + &everything.concat()));
    let expected = [
        ("A", "mesh"),
        ("B", "prod"),
        ("C", "shop"),
        ("GATEWAY_NAME", "waypoint"),
        ("WAYPOINT_WORKER_THREADS", "100%"),
        ("XDS_ADDRESS", "https://other:15012"),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let of_mesh = environment(&(WAYPOINT.to_owned() + &mesh));
    assert_eq!(of_mesh["WAYPOINT_WORKER_THREADS"], "1");
}

#[test]
fn sec_who_a_waypoint_is_is_not_for_proxy_configs_to_say() {
    let spec = "{ environmentVariables: { GATEWAY_NAME: other, POD_NAME: other, SERVICE_ACCOUNT: other } }";
    let with = environment(&(WAYPOINT.to_owned() + &proxy_config("own", "prod", spec)));
    assert_eq!(with, environment(WAYPOINT));
}

#[test]
fn wp_15_nothing_is_made_for_gateways_that_are_not_ours_to_make() {
    for (from, to) in [
        ("istio-waypoint", "istio"),
        ("uid: \"42\"", "labels: { istio.io/rev: canary }"),
        ("port: 15008", "port: 80"),
        ("  infrastructure:", "  addresses: [{ value: 10.0.0.1 }]\n  infrastructure:"),
    ] {
        assert_eq!(names(&generate(&WAYPOINT.replace(from, to))), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn what_is_there_already_is_left_as_it_is() {
    let service =
        "\n---\napiVersion: v1\nkind: Service\nmetadata: { name: waypoint, namespace: prod }\nspec: {}";
    let made = names(&generate(&format!("{WAYPOINT}{service}")));
    assert!(made.contains(&"Deployment prod/waypoint".to_owned()));
    assert!(!made.contains(&"Service prod/waypoint".to_owned()));
}

fn deployment(replicas: Value, image: &str) -> Object {
    let template = json!({
        "metadata": { "labels": { "app": "a" } },
        "spec": { "containers": [{ "name": "c", "image": image }] }
    });
    let spec =
        json!({ "replicas": replicas, "selector": { "matchLabels": { "app": "a" } }, "template": template });
    Object::from_value(
        Kind::Deployment,
        json!({ "metadata": { "name": "d", "namespace": "x" }, "spec": spec }),
    )
    .unwrap()
}

fn pods_of(object: &Object) -> Vec<Object> {
    let Object::Deployment(deployment) = object else { panic!("no Deployment") };
    pods(deployment).into_iter().map(|pod| Object::Pod(Box::new(pod))).collect()
}

#[test]
fn pods_have_the_same_names_until_their_template_changes() {
    let three = pods_of(&deployment(json!(3), "v1"));
    assert_eq!(three.len(), 3);
    assert_eq!(three[..1], pods_of(&deployment(json!(null), "v1")));
    assert_eq!(pods_of(&deployment(json!(0), "v1")), []);
    assert_ne!(three[0].key(), pods_of(&deployment(json!(1), "v2"))[0].key());
    let value = serde_json::to_value(&three[2]).unwrap();
    let hash = value["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(value["metadata"]["name"], json!(format!("d-{hash}-2")));
    assert_eq!(value["metadata"]["ownerReferences"][0]["name"], json!(format!("d-{hash}")));
    assert_eq!(value["spec"]["containers"][0]["image"], json!("v1"));
    assert!(three.iter().all(|pod| validate(pod).is_empty()));
}
