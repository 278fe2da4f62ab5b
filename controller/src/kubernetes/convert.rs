//! From what the API server sends to objects, without what nobody reads.

use controller_translate::objects::validate;
use controller_translate::{Kind, Object, ObjectKey};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::directory::parse;

/// As large as the object itself, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The name of what was sent.
pub(super) fn key(kind: Kind, object: &DynamicObject) -> ObjectKey {
    let metadata = &object.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    ObjectKey::new(kind, namespace, metadata.name.clone().unwrap_or_default())
}

/// Reads it, or says which field prevents that and why.
pub(super) fn object(kind: Kind, object: DynamicObject) -> Result<Object, (String, String)> {
    let mut metadata = object.metadata;
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    // Whichever version it was sent in: those we read differ in nothing else.
    let mut value = json!({ "apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": metadata });
    if let (Value::Object(fields), Value::Object(rest)) = (&mut value, object.data) {
        fields.extend(rest);
    }
    let object = parse(kind, &value)?;
    match validate(&object).into_iter().next() {
        None => Ok(object),
        Some(invalid) => Err((invalid.field, invalid.reason)),
    }
}
