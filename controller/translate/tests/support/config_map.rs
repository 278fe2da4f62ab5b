//! ConfigMaps in manifests: what somebody would have read of their certificates.

use std::sync::Arc;

use controller_translate::cluster::Certificates;
use controller_translate::{Name, Object};

/// What an object has to say about certificates, if it is a ConfigMap with data.
pub(crate) fn read(object: &Object) -> Option<(Name, Certificates)> {
    let Object::ConfigMap(map) = object else { return None };
    let certificates = map.data.as_ref()?.get("ca.crt").map(|text| Arc::from(text.as_str()));
    let key = object.key();
    let name = Name::new(key.namespace, key.name);
    Some((name, certificates.ok_or_else(|| "has no key ca.crt".to_owned())))
}
