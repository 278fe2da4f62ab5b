//! What `kubectl get` shows of each kind, as users of Istio know it.

use serde_json::{Value, json};

use crate::objects::Kind;

/// The columns of a kind; `None` leaves it at the name and the age.
pub(super) fn of(kind: Kind) -> Option<Value> {
    let columns = match kind {
        Kind::VirtualService => vec![column("Gateways", ".spec.gateways"), column("Hosts", ".spec.hosts")],
        Kind::DestinationRule => vec![column("Host", ".spec.host")],
        Kind::ServiceEntry => vec![
            column("Hosts", ".spec.hosts"),
            column("Location", ".spec.location"),
            column("Resolution", ".spec.resolution"),
        ],
        Kind::WorkloadEntry => return Some(json!([age(), column("Address", ".spec.address")])),
        Kind::AuthorizationPolicy => vec![column("Action", ".spec.action")],
        Kind::PeerAuthentication => vec![column("Mode", ".spec.mtls.mode")],
        _ => return None,
    };
    Some(columns.into_iter().chain([age()]).collect())
}

fn column(name: &str, path: &str) -> Value {
    json!({ "name": name, "type": "string", "jsonPath": path })
}

fn age() -> Value {
    json!({ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" })
}
