//! Kinds that are understood and checked but have no effect (yet): what is kept of their objects is only who
//! has to be told so.

use super::Cluster;
use super::table::{self, Kept};
use crate::objects::Object;

impl Cluster {
    /// Returns whether anything changed.
    pub(super) fn put_unenforced(&mut self, object: &Object) -> bool {
        let key = object.key();
        match expects_effect(object) {
            true => table::put(&mut self.unenforced, key, Kept::new(object.metadata(), ()).facts),
            false => self.unenforced.remove(&key).is_some(),
        }
    }
}

/// Whoever wrote it counts on something that does not happen. Objects for sidecars, for gateways at the edge
/// or for Envoy's start have no effect in an ambient mesh of Istio's either.
fn expects_effect(object: &Object) -> bool {
    match object {
        Object::EnvoyFilter(it) => !it.spec.target_refs.is_empty(),
        Object::WasmPlugin(it) => it.spec.target_ref.is_some() || !it.spec.target_refs.is_empty(),
        Object::TrafficExtension(it) => !it.spec.target_refs.is_empty(),
        _ => false,
    }
}
