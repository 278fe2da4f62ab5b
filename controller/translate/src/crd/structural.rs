//! From the schema of a Rust type to one that Kubernetes calls structural: every value has one type, nothing
//! refers elsewhere, and nothing is filled in, since a default would change what users wrote.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const FREE: &str = "x-kubernetes-preserve-unknown-fields";

/// The schema of a type.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.inline_subschemas = true;
        it.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    rewrite(&mut schema);
    schema
}

fn rewrite(schema: &mut Value) {
    if let Value::Bool(_) = schema {
        *schema = json!({ FREE: true });
    }
    let Value::Object(fields) = schema else { return };
    flatten_choice(fields);
    for name in ["$schema", "title", "default", "writeOnly"] {
        fields.remove(name);
    }
    // Unknown fields are for the API server to prune and for `--validate` to report.
    if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
        fields.remove("additionalProperties");
    }
    drop_null(fields);
    integer(fields);
    shorten(fields);
    for value in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        rewrite(value.1);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(name) {
            rewrite(inner);
        }
    }
}

/// `anyOf` and `oneOf` become what all alternatives allow together; that only one of them may be there is
/// checked by whoever reads the object.
fn flatten_choice(fields: &mut Map<String, Value>) {
    for name in ["anyOf", "oneOf"] {
        let Some(Value::Array(mut alternatives)) = fields.remove(name) else { continue };
        alternatives.retain(|it| it["type"] != "null");
        let several = alternatives.len() > 1;
        for mut alternative in alternatives {
            let Some(inner) = alternative.as_object_mut() else { continue };
            flatten_choice(inner);
            if several {
                // What one needs the others do not, nor is its description theirs.
                inner.remove("required");
                inner.remove("description");
            }
            merge(fields, std::mem::take(inner));
        }
    }
}

fn merge(fields: &mut Map<String, Value>, other: Map<String, Value>) {
    for (name, value) in other {
        match (name.as_str(), fields.get_mut(&name), value) {
            ("const", _, value) => {
                let listed = fields.entry("enum").or_insert_with(|| json!([]));
                listed.as_array_mut().into_iter().for_each(|it| it.push(value.clone()));
            }
            ("enum", Some(Value::Array(listed)), Value::Array(more)) => listed.extend(more),
            ("properties", Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
            // The field's own description says more than that of its type.
            (_, Some(_), _) => {}
            (_, None, value) => {
                fields.insert(name, value);
            }
        }
    }
}

/// Fields that may be left out are not nullable: the API has no nulls.
fn drop_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|it| !it.is_null());
    }
}

/// Formats that OpenAPI does not have become bounds.
fn integer(fields: &mut Map<String, Value>) {
    let bound = match fields.get("format").and_then(Value::as_str) {
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        Some("uint64") => {
            fields.remove("format");
            return;
        }
        _ => return,
    };
    fields.remove("format");
    fields.entry("maximum").or_insert_with(|| bound.into());
}

/// The first sentences, on one line.
fn shorten(fields: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = fields.get_mut("description") {
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        *text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    }
}

/// Where a schema breaks the rules of structural schemas, by path.
pub fn find_breaches(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}

fn walk(schema: &Value, path: &str, found: &mut Vec<String>) {
    let Some(fields) = schema.as_object() else {
        return found.push(format!("{path}: is no object"));
    };
    let typed = fields.get("type").is_some_and(Value::is_string);
    let open =
        [FREE, "x-kubernetes-int-or-string"].iter().any(|name| fields.get(*name) == Some(&json!(true)));
    if !typed && !open {
        found.push(format!("{path}: has no type"));
    }
    let forbidden = ["$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "const", "default", "nullable"];
    for name in forbidden.into_iter().chain(["patternProperties", "definitions", "title", "uniqueItems"]) {
        if fields.contains_key(name) {
            found.push(format!("{path}: has {name}"));
        }
    }
    if fields.contains_key("properties") && fields.contains_key("additionalProperties") {
        found.push(format!("{path}: has both properties and additionalProperties"));
    }
    if fields.get("type") == Some(&json!("array")) && !fields.contains_key("items") {
        found.push(format!("{path}: has no items"));
    }
    for (name, inner) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(inner, &format!("{path}.{name}"), found);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get(name) {
            walk(inner, &format!("{path}[{name}]"), found);
        }
    }
}
