//! Merges what a person says into a generated object, the way `kubectl patch --type strategic` does.

use serde_json::{Map, Value};

/// The field that says what else is to happen than merging.
const DIRECTIVE: &str = "$patch";

/// Merges `patch` into `base`: objects field by field, lists of named things by name, everything else
/// replaced; null deletes.
pub(super) fn merge(base: &mut Value, patch: &Value) {
    merge_field("", base, patch);
}

fn merge_field(field: &str, base: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => {
            if !base.is_object() {
                *base = Value::Object(Map::new());
            }
            if let Value::Object(base) = base {
                merge_object(base, patch);
            }
        }
        Value::Array(patch) => match (identity(field), &mut *base) {
            (Some(identity), Value::Array(base)) => merge_list(identity, base, patch),
            _ => *base = Value::Array(patch.iter().map(without_nulls).collect()),
        },
        patch => *base = patch.clone(),
    }
}

fn merge_object(base: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, value) in patch {
        match value {
            Value::Null => drop(base.remove(field)),
            value => merge_field(field, base.entry(field.as_str()).or_insert(Value::Null), value),
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    let mut whole = Value::Null;
    merge_field("", &mut whole, value);
    whole
}

/// By which of their fields the things in a list are told apart; the first that there is.
fn identity(list: &str) -> Option<&'static [&'static str]> {
    Some(match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ports" => &["containerPort", "port"],
        "topologySpreadConstraints" => &["topologyKey"],
        "hostAliases" => &["ip"],
        _ => return None,
    })
}

fn merge_list(identity: &[&str], base: &mut Vec<Value>, patch: &[Value]) {
    for item in patch {
        let id = identity.iter().find_map(|field| Some((*field, item.get(field)?)));
        let place = id.and_then(|(field, id)| base.iter().position(|it| it.get(field) == Some(id)));
        let deletes = item.get(DIRECTIVE).is_some_and(|it| it == "delete");
        match (place, deletes) {
            (Some(place), true) => drop(base.remove(place)),
            (None, true) => {}
            (Some(place), false) => merge(&mut base[place], item),
            (None, false) => base.push(without_nulls(item)),
        }
    }
}

#[cfg(test)]
mod tests;
