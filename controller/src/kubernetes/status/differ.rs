//! What there is to write, if anything: the status that is wanted against the one that is
//! there, of which others may have written parts. Pure.

use std::collections::BTreeSet;

use controller_translate::{Kind, ObjectKey, Status};
use serde_json::{Value, json};

use super::shared_list::SharedList;
use crate::kubernetes::seen::SeenStatus;

/// A write to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Task {
    /// Have these fields, and no others of ours.
    Apply {
        /// The version of the API.
        api_version: String,
        /// Who applies.
        manager: &'static str,
        /// The status.
        status: Value,
    },
    /// Have these entries in a list, beside those of other controllers.
    Share {
        /// The version of the API.
        api_version: String,
        /// The list.
        list: SharedList,
        /// The entries.
        entries: Vec<Value>,
    },
}

/// `None` where nothing is to be done: it is as it should be, or the object is gone.
pub(super) fn plan(
    key: &ObjectKey,
    wanted: Option<&Status>,
    seen: Option<&SeenStatus>,
    now: &str,
) -> Option<Task> {
    let seen = seen?;
    let api_version = seen.api_version.clone();
    let status = wanted.map(|status| status.stamp(Some(&seen.status), now));
    if let Some(list) = SharedList::of(key.kind) {
        let entries = status.as_ref().and_then(|it| it.get(list.field)).and_then(Value::as_array);
        let entries = entries.cloned().unwrap_or_default();
        let is_same = list.ours(&seen.status) == entries.iter().collect::<Vec<_>>();
        return (!is_same).then_some(Task::Share { api_version, list, entries });
    }
    let manager = manager(key.kind);
    match status {
        Some(status) => {
            let is_same = covers(&seen.status, &status) && seen.owned.is_subset(&names(&status));
            (!is_same).then_some(Task::Apply { api_version, manager, status })
        }
        None => (!seen.owned.is_empty()).then(|| {
            let status = json!({ "conditions": [] });
            Task::Apply { api_version, manager, status }
        }),
    }
}

/// Who writes statuses of a kind (api.md §5.7). One for all conditions of an object: their
/// list may be one field to the API server, which two managers would take from each other.
fn manager(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway | Kind::GatewayClass => "adit.io/gateway-status",
        Kind::Service | Kind::ServiceEntry => "istio-ambient-service",
        Kind::WorkloadEntry => "istio-ambient-workloadentry",
        Kind::AuthorizationPolicy => "istio-ambient-ztunnel-policy",
        _ => "adit.io/route-status",
    }
}

/// What identifies an item of a list.
const IDENTITIES: [&str; 2] = ["type", "name"];

fn identity(item: &Value) -> Option<(&'static str, &Value)> {
    IDENTITIES.into_iter().find_map(|name| item.get(name).map(|value| (name, value)))
}

/// Whether everything that is wanted is there.
fn covers(seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (Value::Object(seen), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            // Empty lists are not kept everywhere.
            seen.get(name).map_or_else(|| wanted == &json!([]), |seen| covers(seen, wanted))
        }),
        // Items without names are ours together or not at all.
        (Value::Array(seen), Value::Array(wanted)) if wanted.is_empty() => seen.iter().all(is_kept_by_name),
        (Value::Array(seen), Value::Array(wanted)) if wanted.iter().all(is_kept_by_name) => {
            wanted.iter().all(|item| {
                let same = seen.iter().find(|it| identity(it) == identity(item));
                same.is_some_and(|same| covers(same, item))
            })
        }
        (seen, wanted) => seen == wanted,
    }
}

/// Addresses have a type too, but that does not name them.
fn is_kept_by_name(item: &Value) -> bool {
    identity(item).is_some() && item.get("value").is_none()
}

/// The names of the items of its lists, as managed fields have them.
fn names(status: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![status];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => waiting.extend(fields.values()),
            Value::Array(items) => {
                for item in items.iter().filter(|item| is_kept_by_name(item)) {
                    if let Some((name, value)) = identity(item) {
                        found.insert(format!("k:{}", json!({ name: value })));
                    }
                }
                waiting.extend(items);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_24_an_address_that_a_host_has_no_more_is_taken_away() {
        let addresses = json!({ "addresses": [{ "value": "240.240.0.1", "host": "a.example" }] });
        let none = json!({ "addresses": [] });
        assert!(!covers(&addresses, &none));
        assert!(covers(&json!({}), &none) && covers(&none, &none) && covers(&addresses, &addresses));
        let conditions = json!({ "conditions": [{ "type": "Theirs" }] });
        assert!(covers(&conditions, &json!({ "conditions": [] })), "those of others stay");
    }
}
