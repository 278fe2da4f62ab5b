//! What spans of requests say, by the names that Envoy and Istio use (telemetry.md §6).

use std::borrow::Cow;

use mesh_model::WorkloadKind;

use crate::{Party, RequestDetails, RequestEnd};

type Tags = Vec<(Cow<'static, str>, String)>;

/// Statuses of gRPC that mean that the server failed: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
/// DATA_LOSS.
const FAILURES: [u32; 6] = [2, 4, 12, 13, 14, 15];

/// Without any status nobody was answered.
pub(crate) fn is_failure(end: &RequestEnd) -> bool {
    end.code == 0 || end.code >= 500 || end.grpc_status.is_some_and(|status| FAILURES.contains(&status))
}

pub(crate) fn add_request(tags: &mut Tags, details: &RequestDetails, end: &RequestEnd) {
    let mut add = |name: &'static str, value: String| tags.push((name.into(), value));
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let authority = details.authority.as_deref().unwrap_or_default();
    add("component", "proxy".to_owned());
    add("guid:x-request-id", or_dash(&details.request_id));
    add("http.url", format!("http://{authority}{}", details.path));
    add("http.method", details.method.clone());
    add("downstream_cluster", "-".to_owned());
    add("user_agent", or_dash(&details.user_agent));
    add("http.protocol", details.protocol.to_owned());
    if let Some(peer) = details.downstream_remote_address {
        add("peer.address", peer.ip().to_canonical().to_string());
    }
    add("request_size", end.received.to_string());
    add("response_size", end.sent.to_string());
    add("http.status_code", end.code.to_string());
    add("response_flags", end.flags.to_string());
    if let Some(status) = end.grpc_status {
        add("grpc.status_code", status.to_string());
    }
    if let Some(cluster) = &details.upstream_cluster {
        add("upstream_cluster", cluster.clone());
        add("upstream_cluster.name", cluster.clone());
    }
    if let Some(address) = details.upstream_host {
        add("upstream_address", address.to_string());
    }
}

/// Who took part, as `source` or `destination`.
pub(crate) fn add_party(tags: &mut Tags, side: &str, party: &Party) {
    let Some(workload) = &party.workload else { return };
    let kind = match workload.kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::CronJob => "cronjob",
        WorkloadKind::Pod => "pod",
        WorkloadKind::Job => "job",
    };
    for (what, value) in [
        ("workload", &*workload.workload_name),
        ("namespace", &workload.namespace),
        ("cluster_id", &workload.cluster_id),
        ("canonical_service", &workload.canonical_name),
        ("canonical_revision", &workload.canonical_revision),
        ("app", &workload.canonical_name),
        ("app_version", &workload.canonical_revision),
        ("workload_type", kind),
        ("instance_name", &workload.name),
    ] {
        if !value.is_empty() {
            tags.push((format!("istio.{side}_{what}").into(), value.to_owned()));
        }
    }
}
