//! Objects that have no effect in this release are told so: nobody should count on a policy that is not there.

use super::condition::{Condition, observe};
use crate::cluster::Cluster;
use crate::objects::{Kind, ObjectKey};

pub(super) fn derive(cluster: &Cluster, key: &ObjectKey) -> Option<Vec<Condition>> {
    let facts = cluster.unenforced.get(key)?;
    let (condition, consequence) = match key.kind {
        Kind::EnvoyFilter | Kind::WasmPlugin | Kind::TrafficExtension => {
            ("WaypointAccepted", "waypoints run no extensions")
        }
        // Of other kinds nothing is kept of which anybody expects an effect.
        _ => return None,
    };
    let message = format!("{} has no effect in this release: {consequence}", key.kind);
    let mut conditions = vec![Condition::fails(condition, "UnsupportedValue", message)];
    observe(&mut conditions, facts.generation);
    Some(conditions)
}
