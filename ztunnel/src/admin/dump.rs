//! What ztunnel knows, as `istioctl ztunnel-config` reads it (telemetry.md §8).

mod certificate;
mod policy;
mod service;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::connections::ConnectionsDump;
use crate::zds::PodInfo;

pub(super) use certificate::CertificateDump;
pub(super) use policy::PolicyDump;
pub(super) use service::ServiceDump;
pub(super) use workload::WorkloadDump;

/// The whole dump.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dump<'a> {
    pub(super) workloads: Vec<WorkloadDump<'a>>,
    pub(super) services: Vec<ServiceDump<'a>>,
    pub(super) policies: Vec<PolicyDump<'a>>,
    pub(super) certificates: Vec<CertificateDump>,
    pub(super) workload_state: BTreeMap<&'a str, PodDump<'a>>,
    pub(super) version: Version,
    pub(super) config: &'a crate::Config,
}

impl Dump<'_> {
    /// Equal states make equal dumps.
    pub(super) fn sort(&mut self) {
        self.workloads.sort_by_key(|workload| workload.uid);
        self.services.sort_by_key(|service| (service.namespace, service.hostname));
        self.policies.sort_by_key(|policy| (policy.namespace, policy.name));
    }
}

/// One enrolled pod.
#[derive(Serialize)]
pub(super) struct PodDump<'a> {
    pub(super) state: PodState,
    pub(super) info: InfoDump<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connections: Option<ConnectionsDump>,
}

/// Whether a pod has its proxy.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) enum PodState {
    Up,
    Pending,
}

/// Who a pod is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InfoDump<'a> {
    #[serde(flatten)]
    pub(super) info: &'a PodInfo,
    pub(super) trust_domain: &'a str,
}

/// Of this program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    version: &'static str,
    build_profile: &'static str,
    crypto_provider: &'static str,
}

impl Version {
    pub(super) fn of_this_program() -> Self {
        Version {
            version: env!("CARGO_PKG_VERSION"),
            build_profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            crypto_provider: "aws-lc-rs",
        }
    }
}
