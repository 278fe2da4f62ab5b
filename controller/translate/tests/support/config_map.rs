//! ConfigMaps in manifests: what somebody would have read of them.

use std::sync::Arc;

use controller_translate::Name;
use controller_translate::cluster::Certificates;
use serde_json::Value;

/// What a ConfigMap has to say about certificates, if a document is one with data.
pub(crate) fn read(text: &str) -> Option<(Name, Certificates)> {
    let value: Value = serde_saphyr::from_str(text).ok()?;
    if value["kind"] != "ConfigMap" || !value["data"].is_object() {
        return None;
    }
    let part = |name: &str| value["metadata"][name].as_str().unwrap_or_default().to_owned();
    let certificates = value["data"]["ca.crt"].as_str().map(Arc::from);
    let name = Name::new(part("namespace"), part("name"));
    Some((name, certificates.ok_or_else(|| "has no key ca.crt".to_owned())))
}
