//! The manifests of `e2e/manifests`, applied unchanged to a local mesh: each says so, has its effect, and leaves nothing
//! behind. The tests of a cluster apply the same files.

use std::path::{Path, PathBuf};

use serde_json::Value;

#[path = "../../../e2e/manifests/checks.rs"]
mod checks;

use crate::harness::{ADIT, Mesh, echo_pod, namespace};
use checks::{CHECKS, Call, Check, L7, PLAIN, Saying, numbered};

const NAMESPACE: &str = "prod";
/// Whom policies can name.
const AUTHORIZER: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                          data:\n  mesh: |\n    extensionProviders:\n    - name: shop-authorizer\n      \
                          envoyExtAuthzHttp: {service: shadow.prod.svc.cluster.local, port: 80, timeout: 5s}\n";

fn path(manifest: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/manifests").join(manifest)
}

fn change(mesh: &Mesh, verb: &str, manifest: &str) {
    let output = mesh.adit(&[verb, "-n", NAMESPACE, "-f", path(manifest).to_str().unwrap()]);
    assert!(output.status.success(), "{verb} {manifest}: {output:?}");
}

fn answers(mesh: &Mesh, url: &str, options: &[&str]) -> Vec<Value> {
    let said = mesh.call("prod/client", url, &[options, &["--json"]].concat());
    said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn holds(mesh: &Mesh, when: &str, call: &Call) {
    let beside = call.beside.map(|url| mesh.start("prod/client", &[ADIT, "echo", "call", url, "-n1000"]));
    let (mut attempt, mut last) = (0, Vec::new());
    let look = || {
        attempt += 1;
        last = answers(mesh, &numbered(call.url, attempt), call.options);
        if let Some(then) = call.then {
            last = answers(mesh, then, &[]);
        }
        call.expect.fits(&last, attempt).then_some(())
    };
    mesh.eventually(look, || format!("{when}: {} {:?}: no {:?}", call.url, call.options, call.expect));
    drop(beside);
}

fn says(mesh: &Mesh, manifest: &str, saying: &Saying) {
    let (_, kind, name) = saying.object;
    let look = || {
        let objects = mesh.get(kind);
        let object = objects.iter().find(|it| it["metadata"]["name"] == name)?;
        has_condition(&object["status"], saying).then_some(())
    };
    mesh.eventually(look, || format!("{manifest} does not say {saying:?}"));
}

/// At the top of a status, or else of one of its parents or ancestors.
fn has_condition(status: &Value, saying: &Saying) -> bool {
    let is_it = |condition: &Value| {
        condition["type"] == saying.condition
            && condition["status"] == "True"
            && condition["reason"] == saying.reason
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let each = [list(&status["parents"]), list(&status["ancestors"]), vec![status.clone()]].concat();
    each.iter().flat_map(|it| list(&it["conditions"])).any(|condition| is_it(&condition))
}

fn plays(mesh: &Mesh, check: &Check) {
    let manifest = check.manifest;
    check.without.iter().for_each(|call| holds(mesh, &format!("before {manifest}"), call));
    change(mesh, "apply", manifest);
    check.says.iter().for_each(|saying| says(mesh, manifest, saying));
    check.with.iter().for_each(|call| holds(mesh, &format!("with {manifest}"), call));
    change(mesh, "delete", manifest);
    check.without.iter().for_each(|call| holds(mesh, &format!("after {manifest}"), call));
}

fn shop() -> String {
    let pod = |name: &str, app: &str, version: &str, node| {
        let pod = echo_pod(NAMESPACE, name, app, version, node);
        if app == "reviews" { pod.replacen("labels: {", "labels: {shop: reviews, ", 1) } else { pod }
    };
    let outside = echo_pod(NAMESPACE, "outside", "outside", "v1", 1)
        .replacen("labels: {", "labels: {istio.io/dataplane-mode: none, ", 1)
        .replacen("echo, --http", "echo, --https, '8443', --http", 1);
    let settings =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: prod}\ndata: {A: b}\n---\n";
    [
        namespace(NAMESPACE, true),
        settings.to_owned(),
        pod("client", "client", "v1", 1),
        pod("reviews-v1", "reviews", "v1", 1),
        pod("reviews-v2", "reviews", "v2", 2),
        pod("shadow", "shadow", "v1", 2),
        outside,
    ]
    .concat()
}

#[test]
fn gw_01_l7_33_public_manifests_work_unchanged() {
    let mesh = Mesh::up(&shop());
    change(&mesh, "apply", "shop.yaml");
    holds(&mesh, "shop.yaml", &L7);
    for check in &CHECKS {
        if check.needs_authorizer {
            mesh.apply(AUTHORIZER);
        }
        plays(&mesh, check);
    }
    // What the controller reads, and what it does not.
    let maps: Vec<Value> = mesh.get("cm").iter().map(|it| it["metadata"]["name"].clone()).collect();
    assert_eq!(maps, ["istio", "settings"]);
    holds(&mesh, "in the end", &L7);
    holds(&mesh, "in the end", &PLAIN);
}

#[test]
fn every_manifest_is_checked() {
    let mut files: Vec<String> = std::fs::read_dir(path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml") && name != "shop.yaml")
        .collect();
    files.sort();
    let mut checked: Vec<_> = CHECKS.iter().map(|check| check.manifest.to_owned()).collect();
    checked.sort();
    assert_eq!(files, checked);
}
