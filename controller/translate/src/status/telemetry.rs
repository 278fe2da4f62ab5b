//! Telemetry: where it holds, and what of it waypoints do not do as written (api.md §3.7).

use super::condition::{Condition, observe};
use super::policy::{attached, in_force};
use crate::cluster::{Cluster, Name};
use crate::resources::find_telemetry_problems;

/// With a selector it is for sidecars, of which there are none.
pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.telemetries.get(name).filter(|object| object.spec.selector.is_none())?;
    let problems = find_telemetry_problems(cluster, &object.spec);
    let condition = match object.spec.targets().next() {
        Some(_) => attached(cluster, name, object.spec.targets(), problems),
        None if name.namespace == cluster.settings.root_namespace => in_force("for all waypoints", &problems),
        None => in_force(&format!("for waypoints and services of namespace {}", name.namespace), &problems),
    };
    let mut conditions = vec![condition];
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}
