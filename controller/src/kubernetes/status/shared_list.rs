//! Lists in statuses of the Gateway API, to which every controller adds entries of its own.

use controller_translate::Kind;
use serde_json::Value;

/// Such a list, and who we are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedList {
    /// Its field in the status.
    pub(super) field: &'static str,
    controller: &'static str,
}

impl SharedList {
    /// The list in the statuses of a kind, if they have one.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute => {
                Some(SharedList { field: "parents", controller: "istio.io/gateway-controller" })
            }
            Kind::BackendTlsPolicy => {
                Some(SharedList { field: "ancestors", controller: "istio.io/mesh-controller" })
            }
            _ => None,
        }
    }

    fn entries(self, status: &Value) -> impl Iterator<Item = &Value> {
        status.get(self.field).and_then(Value::as_array).into_iter().flatten()
    }

    fn is_ours(self, entry: &Value) -> bool {
        entry.get("controllerName").and_then(Value::as_str) == Some(self.controller)
    }

    /// Our entries of a status.
    pub(super) fn ours(self, status: &Value) -> Vec<&Value> {
        self.entries(status).filter(|entry| self.is_ours(entry)).collect()
    }

    /// The entries of others, and instead of our old ones those.
    pub(super) fn merge(self, status: &Value, wanted: Vec<Value>) -> Vec<Value> {
        let others = self.entries(status).filter(|entry| !self.is_ours(entry)).cloned();
        others.chain(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn st_13_entries_of_other_controllers_stay() {
        let list = SharedList::of(Kind::BackendTlsPolicy).unwrap();
        let entry = |controller: &str, at: u32| json!({ "controllerName": controller, "at": at });
        let (theirs, old, new) = (
            entry("example.com/gateway", 1),
            entry("istio.io/mesh-controller", 1),
            entry("istio.io/mesh-controller", 2),
        );
        let status = json!({ "ancestors": [old.clone(), theirs.clone()] });
        assert_eq!(list.ours(&status), [&old]);
        assert_eq!(list.merge(&status, vec![new.clone()]), [theirs.clone(), new]);
        assert_eq!(list.merge(&status, Vec::new()), [theirs]);
        assert_eq!(list.merge(&Value::Null, Vec::new()), Vec::<Value>::new());
    }
}
