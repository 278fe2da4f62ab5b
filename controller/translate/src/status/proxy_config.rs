//! ProxyConfig: for which waypoints it holds, and what of it has no effect (api.md §3.2).

use super::condition::{Condition, observe};
use super::policy::in_force;
use crate::cluster::{Cluster, Name};
use crate::expand::find_proxy_config_problems;

pub(super) fn derive(cluster: &Cluster, name: &Name) -> Option<Vec<Condition>> {
    let object = cluster.proxy_configs.get(name)?;
    let problems = find_proxy_config_problems(cluster, name, object);
    let place = match name.namespace == cluster.settings.root_namespace {
        true => "for all waypoints".to_owned(),
        false => format!("for waypoints of namespace {}", name.namespace),
    };
    let selected = object.spec.selector.as_ref().is_some_and(|it| !it.match_labels.is_empty());
    let pods = if selected { " whose pods have the labels of its selector" } else { "" };
    let mut conditions = vec![in_force(&format!("{place}{pods}"), &problems)];
    observe(&mut conditions, object.facts.generation);
    Some(conditions)
}
