//! `baggage`: how a proxy describes a workload to another (wire.md §2.2). For
//! telemetry only; who somebody is, TLS says (SEC-17).

use std::sync::Arc;

use mesh_model::{Workload, WorkloadKind};

/// Longer values are not kept: they would live in label sets.
const LONGEST: usize = 256;

/// What another proxy said of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Baggage {
    pub cluster: Option<Arc<str>>,
    pub namespace: Option<Arc<str>>,
    pub workload_name: Option<Arc<str>>,
    pub kind: Option<WorkloadKind>,
    pub service_name: Option<Arc<str>>,
    pub revision: Option<Arc<str>>,
    pub region: Option<Arc<str>>,
    pub zone: Option<Arc<str>>,
}

/// The header's value for a workload; empty values are left out.
pub fn encode(workload: &Workload) -> String {
    let name_key = match workload.kind {
        WorkloadKind::Deployment => "k8s.deployment.name",
        WorkloadKind::CronJob => "k8s.cronjob.name",
        WorkloadKind::Pod => "k8s.pod.name",
        WorkloadKind::Job => "k8s.job.name",
    };
    let members = [
        ("k8s.cluster.name", &workload.cluster_id),
        ("k8s.namespace.name", &workload.namespace),
        (name_key, &workload.workload_name),
        ("service.name", &workload.canonical_name),
        ("service.version", &workload.canonical_revision),
        ("cloud.region", &workload.locality.region),
        ("cloud.availability_zone", &workload.locality.zone),
    ];
    let mut header = String::new();
    for (key, value) in members.into_iter().filter(|(_, value)| can_travel(value)) {
        if !header.is_empty() {
            header.push(',');
        }
        header.push_str(key);
        header.push('=');
        header.push_str(value);
    }
    header
}

/// Reads all the `baggage` headers of a message; what cannot be read says nothing.
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Baggage {
    let mut baggage = Baggage::default();
    for member in headers.into_iter().flat_map(|header| header.split(',')) {
        let member = member.split(';').next().unwrap_or_default();
        let Some((key, value)) = member.split_once('=') else {
            continue;
        };
        let value = value.trim();
        if !can_travel(value) || value.len() > LONGEST {
            continue;
        }
        let (field, kind) = match key.trim() {
            "k8s.cluster.name" => (&mut baggage.cluster, None),
            "k8s.namespace.name" => (&mut baggage.namespace, None),
            "k8s.deployment.name" => (&mut baggage.workload_name, Some(WorkloadKind::Deployment)),
            "k8s.cronjob.name" => (&mut baggage.workload_name, Some(WorkloadKind::CronJob)),
            "k8s.pod.name" => (&mut baggage.workload_name, Some(WorkloadKind::Pod)),
            "k8s.job.name" => (&mut baggage.workload_name, Some(WorkloadKind::Job)),
            "service.name" => (&mut baggage.service_name, None),
            "service.version" => (&mut baggage.revision, None),
            "cloud.region" => (&mut baggage.region, None),
            "cloud.availability_zone" => (&mut baggage.zone, None),
            _ => continue,
        };
        *field = Some(value.into());
        baggage.kind = kind.or(baggage.kind);
    }
    baggage
}

/// A value is there and does not break the header.
fn can_travel(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b",;\"\\".contains(&byte))
}

#[cfg(test)]
mod tests;
