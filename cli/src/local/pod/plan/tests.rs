//! What is run for a pod.

use serde_json::json;

use super::*;

fn variables() -> BTreeMap<String, String> {
    BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("PORT".to_owned(), "80".to_owned())])
}

fn command_of(container: serde_json::Value, images: &[&str]) -> Result<Vec<String>, String> {
    let images: Vec<_> = images.iter().map(|text| text.parse().unwrap()).collect();
    command(&serde_json::from_value(container).unwrap(), &images, &variables())
}

#[test]
fn the_containers_own_command_comes_first_if_it_is_here() {
    let sleep = json!({ "name": "c", "image": "curl", "command": ["sleep"], "args": ["$(PORT)"] });
    assert_eq!(command_of(sleep.clone(), &["*=cat"]).unwrap(), ["sleep", "80"]);
    let absent = json!({ "name": "c", "image": "web:1", "command": ["/no/such"], "args": ["-x"] });
    assert_eq!(command_of(absent.clone(), &["web*=cat /dev/null"]).unwrap(), ["cat", "/dev/null"]);
    let error = command_of(absent, &[]).unwrap_err();
    assert!(error.contains("no program \"/no/such\""), "{error}");
}

#[test]
fn an_image_without_command_needs_a_mapping() {
    let bare = json!({ "name": "c", "image": "web:1", "args": ["-p", "$(PORT)"] });
    assert_eq!(command_of(bare.clone(), &["web:*=cat -A"]).unwrap(), ["cat", "-A", "-p", "80"]);
    let error = command_of(bare.clone(), &["db=cat"]).unwrap_err();
    assert!(error.contains("--run 'web:1=COMMAND'"), "{error}");
    let error = command_of(bare, &["web:*=no-such-program"]).unwrap_err();
    assert!(error.contains("no program \"no-such-program\""), "{error}");
}

#[test]
fn fields_without_effect_are_named_once_each() {
    let pod: Pod = serde_json::from_value(json!({
        "spec": {
            "volumes": [{ "name": "v" }],
            "containers": [
                { "name": "a", "resources": { "limits": { "cpu": "1" } }, "volumeMounts": [{ "name": "v", "mountPath": "/v" }] },
                { "name": "b", "resources": { "limits": { "cpu": "1" } }, "securityContext": {} },
            ],
        },
    }))
    .unwrap();
    let ignored: Vec<_> = ignored_fields(&pod).into_iter().collect();
    assert_eq!(ignored, ["resources", "securityContext", "volumeMounts", "volumes"]);
}
