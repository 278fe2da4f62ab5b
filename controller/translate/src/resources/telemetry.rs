//! What waypoints tell of requests, merged from the mesh's settings and Telemetry objects (telemetry.md §2.2). Of what
//! several say, the last counts, field by field: the root namespace, the waypoint's, the service's; then what targets the
//! class, the waypoint, the service. Of several in one place the oldest comes last.

mod access_log;
mod collector;
mod log_filter;
mod metrics;
mod tracing;

use std::cmp::Reverse;
use std::sync::Arc;

use mesh_model::Telemetry;

use super::targets::{Target, names};
use crate::cluster::{Cluster, Gateway, Kept, MeshService, Name, ServiceObject};
use crate::objects::{TelemetryMode, TelemetrySpec};
use access_log::LogWishes;
pub(crate) use collector::provider_hosts as trace_provider_hosts;
use metrics::MetricWishes;
use tracing::TracingWishes;

/// For requests to services that say nothing else, and to workloads by their own addresses.
pub(super) fn of_waypoint(cluster: &Cluster, name: &Name, gateway: &Gateway) -> Telemetry {
    merge(cluster, in_order(cluster, (name, gateway), None))
}

/// For requests to one service, if that is different.
pub(super) fn of_service(cluster: &Cluster, service: &MeshService<'_>) -> Option<Telemetry> {
    if cluster.telemetries.is_empty() {
        return None;
    }
    let waypoint = cluster.attachment_of_service(service.object).waypoint()?;
    let gateway = cluster.gateways.get(&waypoint.gateway)?;
    let at = (&waypoint.gateway, gateway);
    let own = merge(cluster, in_order(cluster, at, Some(service.object)));
    (own != of_waypoint(cluster, &waypoint.gateway, gateway)).then_some(own)
}

/// What of an object is not done as written, each with its field.
pub(crate) fn find_problems(cluster: &Cluster, spec: &TelemetrySpec) -> Vec<String> {
    let mut merge = Merge::new(cluster);
    merge.add(spec);
    merge.problems
}

/// Whether something is about servers too, which waypoints are.
fn is_for_servers(mode: TelemetryMode) -> bool {
    mode != TelemetryMode::Client
}

const FOR_CLIENTS: &str = "CLIENT has no effect at waypoints, which report as servers";

fn in_order<'a>(
    cluster: &'a Cluster,
    (waypoint, gateway): (&Name, &Gateway),
    object: Option<ServiceObject<'_>>,
) -> Vec<&'a TelemetrySpec> {
    let mut namespaces: Vec<Arc<str>> = vec![cluster.settings.root_namespace.clone()];
    let own = object.map(|object| object.name().namespace.clone());
    for namespace in [Some(waypoint.namespace.clone()), own].into_iter().flatten() {
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    let key = object.map(ServiceObject::key);
    let class = &gateway.spec.gateway_class_name;
    let mut specs = Vec::new();
    for namespace in &namespaces {
        let is_wide =
            |_: &Name, spec: &TelemetrySpec| spec.selector.is_none() && spec.targets().next().is_none();
        specs.extend(layer(cluster, namespace, is_wide));
    }
    let targeting = |wanted: &dyn Fn(&Target) -> bool, namespace: &str| {
        layer(cluster, namespace, |name, spec| names(cluster, name, spec.targets(), wanted))
    };
    let by_class = |target: &Target| matches!(target, Target::Class(it) if it == class);
    let by_gateway = |target: &Target| matches!(target, Target::Gateway(it) if it == waypoint);
    specs.extend(targeting(&by_class, &cluster.settings.root_namespace));
    specs.extend(targeting(&by_gateway, &waypoint.namespace));
    if let Some(key) = key {
        let by_name = |target: &Target| matches!(target, Target::Object(it) if *it == key);
        specs.extend(targeting(&by_name, &key.namespace));
    }
    specs
}

/// What is wanted of one namespace, the oldest last.
fn layer<'a>(
    cluster: &'a Cluster,
    namespace: &str,
    wanted: impl Fn(&Name, &TelemetrySpec) -> bool,
) -> Vec<&'a TelemetrySpec> {
    let all = cluster.telemetries.in_namespace(namespace);
    let mut found: Vec<(&Name, &Kept<TelemetrySpec>)> =
        all.filter(|(name, object)| wanted(name, &object.spec)).collect();
    found.sort_by_key(|(name, object)| Reverse((object.facts.created, *name)));
    found.into_iter().map(|(_, object)| &object.spec).collect()
}

fn merge(cluster: &Cluster, specs: Vec<&TelemetrySpec>) -> Telemetry {
    let mut merge = Merge::new(cluster);
    specs.into_iter().for_each(|spec| merge.add(spec));
    let Merge { tracing, log, metrics, .. } = merge;
    Telemetry { tracing: tracing.settle(cluster), access_log: log.settle(cluster), metrics: metrics.settle() }
}

/// What has been said so far.
struct Merge<'c> {
    cluster: &'c Cluster,
    tracing: TracingWishes,
    log: LogWishes,
    metrics: MetricWishes,
    problems: Vec<String>,
}

impl<'c> Merge<'c> {
    fn new(cluster: &'c Cluster) -> Self {
        Merge {
            cluster,
            tracing: TracingWishes::default(),
            log: LogWishes::default(),
            metrics: MetricWishes::new(cluster),
            problems: Vec::new(),
        }
    }

    fn add(&mut self, spec: &TelemetrySpec) {
        let Merge { cluster, tracing, log, metrics, problems } = self;
        for (at, wished) in spec.tracing.iter().enumerate() {
            tracing.add(cluster, wished, &format!("spec.tracing[{at}]"), problems);
        }
        for (at, wished) in spec.access_logging.iter().enumerate() {
            log.add(cluster, wished, &format!("spec.accessLogging[{at}]"), problems);
        }
        for (at, wished) in spec.metrics.iter().enumerate() {
            metrics.add(cluster, wished, &format!("spec.metrics[{at}]"), problems);
        }
    }
}
