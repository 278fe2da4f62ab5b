//! Entries of a route's status: one list, to which every controller adds its own.

use serde_json::Value;

/// Who we are in the statuses of routes.
const CONTROLLERS: [&str; 1] = ["istio.io/gateway-controller"];

fn is_ours(parent: &Value) -> bool {
    let controller = parent.get("controllerName").and_then(Value::as_str);
    controller.is_some_and(|controller| CONTROLLERS.contains(&controller))
}

/// Our entries of a status.
pub(super) fn ours(status: &Value) -> Vec<&Value> {
    let parents = status.get("parents").and_then(Value::as_array);
    parents.into_iter().flatten().filter(|parent| is_ours(parent)).collect()
}

/// The entries of others, and instead of our old ones those.
pub(super) fn merge(status: &Value, wanted: Vec<Value>) -> Vec<Value> {
    let parents = status.get("parents").and_then(Value::as_array);
    let others = parents.into_iter().flatten().filter(|parent| !is_ours(parent)).cloned();
    others.chain(wanted).collect()
}
