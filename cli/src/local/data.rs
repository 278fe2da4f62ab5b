//! ConfigMaps and Secrets: texts by key, for the environment of containers.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Kind, namespace and name.
type Key = (String, String, String);

/// The ConfigMaps and Secrets of a mesh.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    objects: BTreeMap<Key, BTreeMap<String, String>>,
}

impl Data {
    /// Whether a kind is kept here.
    pub(super) fn keeps(api_version: &str, kind: &str) -> bool {
        api_version == "v1" && matches!(kind, "ConfigMap" | "Secret")
    }

    /// Takes in an object; the error says what is wrong with it.
    pub(super) fn put(&mut self, object: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = &object["metadata"];
        let namespace = text(&metadata["namespace"]).unwrap_or_else(|| "default".to_owned());
        let key = (
            text(&object["kind"]).unwrap_or_default(),
            namespace,
            text(&metadata["name"]).ok_or("metadata.name: is missing")?,
        );
        let mut entries = BTreeMap::new();
        let encoded = if key.0 == "Secret" { "data" } else { "binaryData" };
        for (name, value) in object[encoded].as_object().into_iter().flatten() {
            let decoded = value.as_str().and_then(|value| STANDARD.decode(value).ok());
            let decoded = decoded.ok_or_else(|| format!("{encoded}.{name}: is not base64"))?;
            // What is not text cannot stand in an environment.
            entries.extend(String::from_utf8(decoded).ok().map(|value| (name.clone(), value)));
        }
        let plain = if key.0 == "Secret" { "stringData" } else { "data" };
        for (name, value) in object[plain].as_object().into_iter().flatten() {
            let value =
                text(value).ok_or_else(|| format!("{plain}.{name}: is not text; put it in quotes"))?;
            entries.insert(name.clone(), value);
        }
        self.objects.insert(key, entries);
        Ok(())
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.objects.clear();
    }

    /// An object's texts.
    pub(super) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&BTreeMap<String, String>> {
        self.objects.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_decoded_and_mistakes_named() {
        let mut data = Data::default();
        let secret = |extra: Value| {
            let mut object = json!({ "kind": "Secret", "metadata": { "name": "s" } });
            object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            object
        };
        data.put(&secret(json!({ "data": { "a": "eA==" }, "stringData": { "b": "y" } }))).unwrap();
        let found = data.find("Secret", "default", "s").unwrap();
        assert_eq!((found["a"].as_str(), found["b"].as_str()), ("x", "y"));
        assert_eq!(
            data.put(&secret(json!({ "data": { "a": "%" } }))),
            Err("data.a: is not base64".to_owned())
        );
        let number = json!({ "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "a": 1 } });
        assert_eq!(data.put(&number), Err("data.a: is not text; put it in quotes".to_owned()));
    }
}
