//! From what the API server sends to objects, without what nobody reads.

use controller_translate::objects::{Invalid, validate};
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
    match validate(&object).into_iter().find(|invalid| !is_kept(kind, invalid)) {
        None => Ok(object),
        Some(invalid) => Err((invalid.field, invalid.reason)),
    }
}

/// A rule of a policy that no webhook has seen must not vanish: it is kept, closes what it is about, and the policy's
/// status says what is wrong with it.
fn is_kept(kind: Kind, invalid: &Invalid) -> bool {
    kind == Kind::AuthorizationPolicy && invalid.field.starts_with("spec.rules[")
}

#[cfg(test)]
mod tests {
    use kube::core::ApiResource;

    use super::*;

    fn read(spec: Value) -> Result<Object, (String, String)> {
        let resource =
            ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("security.istio.io", "v1", ""));
        let mut object = DynamicObject::new("p", &resource).within("prod");
        object.data = json!({ "spec": spec });
        self::object(Kind::AuthorizationPolicy, object)
    }

    #[test]
    fn sec_a_policy_with_a_bad_rule_is_kept_to_close_what_it_is_about() {
        let target = json!({ "kind": "Service", "name": "web" });
        let bad_rule = json!({ "action": "DENY", "targetRef": target,
                               "rules": [{ "when": [{ "key": "unheard.of", "values": ["x"] }] }] });
        assert!(read(bad_rule).is_ok());
        let two_places = json!({ "targetRef": target, "selector": { "matchLabels": { "a": "b" } } });
        assert_eq!(read(two_places).unwrap_err().0, "spec");
        assert!(read(json!({ "rules": [{ "to": [{ "operation": { "pathes": ["/"] } }] }] })).is_err());
    }
}
