//! The statuses that objects have, as the watches show them: what a status that is to be
//! written is compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controller_translate::{Kind, ObjectKey};
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

/// Every field manager of ours begins with one of these.
const MANAGERS: [&str; 2] = ["istio-ambient-", "adit.io/"];

/// An object's status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenStatus {
    /// All of it, or its conditions only where nothing else of it is ours to write.
    pub status: Value,
    /// The items of its lists that are ours, as managed fields name them: `k:{"type":"Accepted"}`.
    pub owned: BTreeSet<String>,
    /// The version of the API that the object is served in, for instance `v1`.
    pub api_version: String,
}

/// The statuses of all objects that can have one of ours.
#[derive(Clone, Default)]
pub struct Seen {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    statuses: BTreeMap<ObjectKey, SeenStatus>,
    changed: BTreeSet<ObjectKey>,
}

/// Whether objects of that kind get statuses from us.
pub(super) fn has_status(kind: Kind) -> bool {
    !matches!(kind, Kind::Namespace | Kind::ServiceAccount | Kind::Node | Kind::Pod | Kind::Deployment)
}

impl Seen {
    /// What an object's status is now.
    pub fn find(&self, key: &ObjectKey) -> Option<SeenStatus> {
        self.lock().statuses.get(key).cloned()
    }

    /// The objects that there are.
    pub fn keys(&self) -> BTreeSet<ObjectKey> {
        self.lock().statuses.keys().cloned().collect()
    }

    /// Waits until statuses have changed; of which objects.
    pub async fn changed(&self) -> BTreeSet<ObjectKey> {
        loop {
            let changed = mem::take(&mut self.lock().changed);
            if !changed.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }

    /// Takes in an object as it is now.
    pub(super) fn put(&self, key: &ObjectKey, api_version: &str, object: &DynamicObject) {
        if !has_status(key.kind) {
            return;
        }
        let seen = SeenStatus {
            status: status(key.kind, object),
            owned: owned(object),
            api_version: api_version.to_owned(),
        };
        let mut inner = self.lock();
        if inner.statuses.get(key) != Some(&seen) {
            inner.statuses.insert(key.clone(), seen);
            inner.changed.insert(key.clone());
            drop(inner);
            self.changed.notify_one();
        }
    }

    pub(super) fn remove(&self, key: &ObjectKey) {
        let mut inner = self.lock();
        inner.statuses.remove(key);
        inner.changed.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(kind: Kind, object: &DynamicObject) -> Value {
    let status = object.data.get("status");
    match (kind, status) {
        (_, None) => Value::Null,
        (Kind::Service, Some(status)) => {
            let conditions = status.get("conditions").cloned();
            Value::Object(conditions.map(|it| ("conditions".to_owned(), it)).into_iter().collect())
        }
        (_, Some(status)) => status.clone(),
    }
}

fn owned(object: &DynamicObject) -> BTreeSet<String> {
    let mut owned = BTreeSet::new();
    for entry in object.metadata.managed_fields.iter().flatten() {
        let manager = entry.manager.as_deref().unwrap_or_default();
        if !MANAGERS.iter().any(|ours| manager.starts_with(ours)) {
            continue;
        }
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:status"));
        if let Some(Value::Object(fields)) = fields {
            collect(fields, &mut owned);
            owned.extend(whole_list(fields, object.data.get("status")));
        }
    }
    owned
}

/// The conditions of a kind whose list of them is one field to the API server: all are whose the list is.
fn whole_list(fields: &Map<String, Value>, status: Option<&Value>) -> Vec<String> {
    let is_whole = fields.get("f:conditions").and_then(Value::as_object).is_some_and(Map::is_empty);
    let conditions = status.and_then(|status| status.get("conditions")).and_then(Value::as_array);
    let conditions = conditions.filter(|_| is_whole).into_iter().flatten();
    conditions.filter_map(|it| Some(format!("k:{}", json!({ "type": it.get("type")? })))).collect()
}

fn collect(fields: &Map<String, Value>, owned: &mut BTreeSet<String>) {
    for (name, value) in fields {
        if name.starts_with("k:") {
            owned.insert(name.clone());
        }
        if let Value::Object(fields) = value {
            collect(fields, owned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(conditions_field: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": { "name": "a", "managedFields": [
                { "manager": "istio-ambient-service", "fieldsV1": { "f:status": { "f:conditions": conditions_field } } },
            ] },
            "status": { "conditions": [{ "type": "Accepted" }, { "type": "Theirs" }] },
        }))
        .unwrap()
    }

    #[test]
    fn st_05_a_condition_that_no_longer_holds_is_ours_to_take_away() {
        let one = json!({ r#"k:{"type":"Accepted"}"#: { ".": {}, "f:status": {} } });
        assert_eq!(owned(&object(one)), BTreeSet::from([r#"k:{"type":"Accepted"}"#.to_owned()]));
        let all = [r#"k:{"type":"Accepted"}"#, r#"k:{"type":"Theirs"}"#].map(str::to_owned);
        assert_eq!(owned(&object(json!({}))), BTreeSet::from(all), "the list is one field");
    }
}
