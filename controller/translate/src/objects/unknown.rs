//! Fields that the types of Kubernetes know nothing of: typing errors, or a newer API.

use serde_json::Value;

use super::Object;

/// How many are named; a document that is wrong throughout need not fill a screen.
const MOST: usize = 20;

/// Names the fields of a document that reading it as `object` left out, by path.
pub fn find_unknown_fields(document: &Value, object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    // An object that was read can be written; if not, there is nothing to compare with.
    if let Ok(known) = serde_json::to_value(object) {
        compare(document, &known, &mut String::new(), &mut found);
    }
    found
}

fn compare(written: &Value, known: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (name, value) in written {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                match known.get(name) {
                    Some(known) => compare(value, known, path, found),
                    None if is_empty(value) || found.len() >= MOST => {}
                    None => found.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (at, (value, known)) in written.iter().zip(known).enumerate() {
                path.push_str(&format!("[{at}]"));
                compare(value, known, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Such values are not written again, so their absence says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::Kind;

    #[test]
    fn names_the_fields_that_do_not_exist() {
        let document = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "a", "labels": { "any": "thing" }, "lables": { "b": "c" } },
            "spec": {
                "selektor": { "app": "a" }, "externalIPs": [],
                "ports": [{ "port": 80, "targetPort": "http", "nodeport": 3 }]
            },
            "status": {}
        });
        let object = Object::from_value(Kind::Service, document.clone()).unwrap();
        assert_eq!(
            find_unknown_fields(&document, &object),
            ["metadata.lables", "spec.ports[0].nodeport", "spec.selektor"]
        );
    }
}
