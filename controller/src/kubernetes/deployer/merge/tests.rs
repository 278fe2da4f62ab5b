//! Tests of `merge`.

use serde_json::json;

use super::*;

#[test]
fn objects_are_merged_lists_by_name_and_null_deletes() {
    let cases = [
        ("a field is replaced", json!({ "a": 1, "b": 2 }), json!({ "a": 3 }), json!({ "a": 3, "b": 2 })),
        ("null deletes", json!({ "a": 1, "b": 2 }), json!({ "a": null }), json!({ "b": 2 })),
        (
            "what is new has no nulls",
            json!({}),
            json!({ "a": { "b": null, "c": 1 } }),
            json!({ "a": { "c": 1 } }),
        ),
        (
            "containers and their variables by name",
            json!({ "containers": [{ "name": "x", "image": "i", "env": [{ "name": "A", "value": "1" }] }] }),
            json!({ "containers": [
                { "name": "y" },
                { "name": "x", "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }] }
            ] }),
            json!({ "containers": [
                { "name": "x", "image": "i", "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }] },
                { "name": "y" }
            ] }),
        ),
        (
            "mounts by path",
            json!({ "volumeMounts": [{ "mountPath": "/a", "name": "a" }] }),
            json!({ "volumeMounts": [{ "mountPath": "/a", "readOnly": true }] }),
            json!({ "volumeMounts": [{ "mountPath": "/a", "name": "a", "readOnly": true }] }),
        ),
        (
            "ports by number",
            json!({ "ports": [{ "port": 1, "name": "a" }, { "port": 2 }] }),
            json!({ "ports": [{ "port": 1, "nodePort": 30000 }, { "port": 2, "$patch": "delete" }] }),
            json!({ "ports": [{ "port": 1, "name": "a", "nodePort": 30000 }] }),
        ),
        (
            "other lists are replaced",
            json!({ "args": ["a", "b"] }),
            json!({ "args": ["c"] }),
            json!({ "args": ["c"] }),
        ),
        (
            "a list is made",
            json!({}),
            json!({ "env": [{ "name": "A" }] }),
            json!({ "env": [{ "name": "A" }] }),
        ),
    ];
    for (what, mut base, patch, expected) in cases {
        merge(&mut base, &patch);
        assert_eq!(base, expected, "{what}");
    }
}
