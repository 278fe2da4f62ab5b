//! What ProxyConfigs say of a waypoint's process: how many threads it has, and its environment.
//!
//! As Istio merges them: what selects the pod counts before what holds for its namespace, and that before what holds for the
//! mesh, field by field and variable by variable. Of several in one place the oldest counts.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Kept, Name, includes};
use crate::objects::ProxyConfigSpec;
use crate::resources::Problem;

/// The variable that says how many threads a waypoint has.
const THREADS: &str = "WAYPOINT_WORKER_THREADS";
/// Variables that say who a pod is, and how long it has to end.
const OWN: [&str; 7] = [
    "GATEWAY_NAME",
    "INSTANCE_IP",
    "NODE_NAME",
    "POD_NAME",
    "POD_NAMESPACE",
    "SERVICE_ACCOUNT",
    "TERMINATION_GRACE_PERIOD_SECONDS",
];

/// The variables for pods with these labels.
pub(super) fn environment(
    cluster: &Cluster,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let root = cluster.settings.root_namespace.as_ref();
    let first = |namespace: &str, selecting: bool| {
        let here = cluster.proxy_configs.in_namespace(namespace);
        let all = here.filter(|(_, it)| match selector(&it.spec) {
            Some(wanted) => selecting && includes(labels, wanted),
            None => !selecting,
        });
        all.min_by_key(|(name, it)| (it.facts.created, *name)).map(|(_, it)| &it.spec)
    };
    // What comes later counts more.
    let said = [(root, false), (namespace, false), (root, true), (namespace, true)];
    let mut environment = BTreeMap::new();
    for spec in said.into_iter().filter_map(|(namespace, selecting)| first(namespace, selecting)) {
        let concurrency = spec.concurrency.filter(|threads| *threads >= 0);
        environment.extend(concurrency.map(|threads| (THREADS.to_owned(), threads_text(threads))));
        let given = spec.environment_variables.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        environment.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    }
    environment
}

/// None is all there are.
fn threads_text(threads: i32) -> String {
    if threads == 0 { "100%".to_owned() } else { threads.to_string() }
}

/// The labels of the pods it is about; none if it is about all of them.
fn selector(spec: &ProxyConfigSpec) -> Option<&BTreeMap<String, String>> {
    spec.selector.as_ref().map(|it| &it.match_labels).filter(|labels| !labels.is_empty())
}

/// What of a ProxyConfig has no effect at waypoints.
pub(crate) fn find_problems(cluster: &Cluster, name: &Name, object: &Kept<ProxyConfigSpec>) -> Vec<String> {
    let spec = &object.spec;
    let own = spec.environment_variables.keys().filter(|variable| OWN.contains(&variable.as_str()));
    let own = own.map(|variable| {
        let field = format!("spec.environmentVariables.{variable}");
        Problem::unsupported(field, "has no effect: it says who the waypoint is; remove it")
    });
    let image = spec.image.is_some().then(|| {
        Problem::unsupported(
            "spec.image",
            "has no effect: the image of waypoints is that of the chart's global.waypoint.image",
        )
    });
    let rank = (object.facts.created, name);
    let mut older = cluster
        .proxy_configs
        .in_namespace(&name.namespace)
        .filter(|(at, it)| (it.facts.created, *at) < rank && selector(&it.spec) == selector(spec));
    let older = older.next().map(|(at, _)| {
        Problem::unsupported(
            "spec",
            format!("has no effect: ProxyConfig {at} is older and about the same pods; write all into one"),
        )
    });
    own.chain(image).chain(older).map(|problem| problem.to_string()).collect()
}
