//! What the waypoint knows, as JSON for whoever looks for a reason.

use mesh_identity::Store;
use mesh_model::{RateLimit, Security, ServiceConfig, Subset, TrafficPolicy, TunnelProtocol, WaypointConfig};
use mesh_state::{Reader, Snapshot};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::balance::{Groups, LeftOut};
use crate::config::Config;
use crate::health::{Charted, Charts};

/// Everything, pretty and in order.
pub(crate) fn dump(
    config: &Config,
    reader: &Reader,
    certificates: &Store,
    (groups, charts): (&Groups, &Charts),
) -> String {
    let snapshot = reader.snapshot();
    let certificates: Vec<Value> = certificates
        .snapshot()
        .into_iter()
        .map(|(identity, state)| json!({ "identity": identity.to_string(), "state": state.to_string() }))
        .collect();
    let whole = json!({
        "version": { "version": env!("CARGO_PKG_VERSION") },
        "config": config,
        "certificates": certificates,
        "services": sorted(services(&snapshot), "service"),
        "workloads": sorted(workloads(&snapshot), "uid"),
        "waypoints": sorted(snapshot.waypoint_configs().map(|config| waypoint(config)).collect(), "waypoint"),
        "endpointsLeftOut": left_out(groups),
        "health": health(charts),
        "routes": sorted(snapshot.service_configs().map(|config| routes(config)).collect(), "service"),
    });
    format!("{whole:#}\n")
}

fn sorted(mut values: Vec<Value>, key: &str) -> Vec<Value> {
    values.sort_by(|a, b| a[key].as_str().cmp(&b[key].as_str()));
    values
}

fn services(snapshot: &Snapshot) -> Vec<Value> {
    let service = |service: &std::sync::Arc<mesh_model::Service>| {
        let ports = service.ports.iter().map(|port| {
            let protocol = format!("{:?}", port.app_protocol);
            json!({ "port": port.service_port, "targetPort": port.target_port, "protocol": protocol })
        });
        json!({
            "service": service.key.to_string(),
            "addresses": service.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "ports": ports.collect::<Vec<_>>(),
            "waypoint": service.waypoint.as_ref().map(|waypoint| waypoint.destination.to_string()),
            "endpoints": snapshot.endpoints(&service.key).map(|(workload, _)| workload.uid.to_string()).collect::<Vec<_>>(),
        })
    };
    snapshot.services().map(service).collect()
}

fn workloads(snapshot: &Snapshot) -> Vec<Value> {
    let workload = |workload: &std::sync::Arc<mesh_model::Workload>| {
        json!({
            "uid": workload.uid.to_string(),
            "addresses": workload.addresses,
            "identity": workload.identity().to_string(),
            "protocol": if workload.tunnel == TunnelProtocol::Hbone { "HBONE" } else { "TCP" },
            "health": format!("{:?}", workload.health),
            "labels": workload.labels.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect::<serde_json::Map<_, _>>(),
        })
    };
    snapshot.workloads().map(workload).collect()
}

/// Endpoints that failed too often.
fn left_out(groups: &Groups) -> Vec<Value> {
    let now = Instant::now();
    let one = |it: LeftOut| {
        json!({
            "service": it.scope.service.to_string(),
            "port": it.scope.port,
            "subset": it.scope.subset.as_deref(),
            "workload": it.workload.to_string(),
            "address": it.address.to_string(),
            "reason": it.reason.to_string(),
            "secondsLeft": it.until.saturating_duration_since(now).as_secs(),
        })
    };
    groups.left_out().into_iter().map(one).collect()
}

/// Endpoints that are asked how they are.
fn health(charts: &Charts) -> Vec<Value> {
    let one = |it: Charted| {
        json!({
            "service": it.service.to_string(),
            "workload": it.workload.to_string(),
            "address": it.address.to_string(),
            "health": it.health.to_string(),
            "complaint": it.complaint,
        })
    };
    charts.list().into_iter().map(one).collect()
}

fn routes(config: &ServiceConfig) -> Value {
    let ports = config.ports.iter().map(|(number, port)| {
        let rules = port.http_rules.iter().map(|rule| format!("{rule:?}"));
        let streams = port.stream_rules.iter().map(|rule| format!("{rule:?}"));
        json!({
            "port": number,
            "governed": port.governed,
            "rules": rules.collect::<Vec<_>>(),
            "streams": streams.collect::<Vec<_>>(),
        })
    });
    let traffic = config.traffic.iter().map(|(port, policy)| traffic(*port, policy));
    json!({
        "service": config.key.to_string(),
        "ports": ports.collect::<Vec<_>>(),
        "security": security(&config.security),
        "traffic": traffic.collect::<Vec<_>>(),
        "subsets": config.subsets.iter().map(subset).collect::<Vec<_>>(),
        "rateLimits": config.rate_limits.iter().map(rate_limit).collect::<Vec<_>>(),
        "healthCheck": config.health_check.as_ref().map(|check| format!("{check:?}")),
        "hedging": config.hedging.iter().map(|hedged| format!("{hedged:?}")).collect::<Vec<_>>(),
    })
}

fn subset(subset: &Subset) -> Value {
    let traffic = subset.traffic.iter().map(|(port, policy)| traffic(*port, policy));
    json!({ "subset": &*subset.name, "traffic": traffic.collect::<Vec<_>>() })
}

fn traffic(port: u16, policy: &TrafficPolicy) -> Value {
    json!({ "port": port, "policy": format!("{policy:?}") })
}

fn waypoint(config: &WaypointConfig) -> Value {
    json!({
        "waypoint": config.key.to_string(),
        "security": security(&config.security),
        "rateLimits": config.rate_limits.iter().map(rate_limit).collect::<Vec<_>>(),
    })
}

fn rate_limit(limit: &RateLimit) -> Value {
    json!({ "limit": &*limit.name, "target": &*limit.target, "rule": format!("{limit:?}") })
}

fn security(security: &Security) -> Value {
    let policies = security.policies.iter().map(|policy| {
        let rules: Vec<String> = policy.rules.iter().map(|rule| format!("{rule:?}")).collect();
        let action = format!("{:?}", policy.action);
        json!({ "policy": policy.key.to_string(), "action": action, "dryRun": policy.dry_run, "rules": rules })
    });
    let issuers = security.token_rules.iter().map(|rule| {
        let has_keys = !rule.keys.is_empty();
        json!({ "issuer": &*rule.issuer, "audiences": rule.audiences.iter().map(|it| &**it).collect::<Vec<_>>(), "hasKeys": has_keys })
    });
    json!({ "policies": policies.collect::<Vec<_>>(), "issuers": issuers.collect::<Vec<_>>() })
}
