//! ServiceEntry: a host that is no Service of Kubernetes (api.md §3.5).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::custom::Custom;
use super::value::{IpBlock, Port};
use super::workload_entry::WorkloadEntrySpec;

/// The object.
pub type ServiceEntry = Custom<ServiceEntrySpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct ServiceEntrySpec {
    pub hosts: Vec<String>,
    pub addresses: Vec<IpBlock>,
    pub ports: Vec<ServiceEntryPort>,
    pub location: Location,
    pub resolution: Resolution,
    pub endpoints: Vec<WorkloadEntrySpec>,
    pub export_to: Vec<String>,
    pub subject_alt_names: Vec<String>,
    pub workload_selector: Option<WorkloadSelector>,
}

/// A port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ServiceEntryPort {
    pub number: Port,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<Port>,
}

/// Whether the host belongs to the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum Location {
    #[default]
    MeshExternal,
    MeshInternal,
}

/// How the host's endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum Resolution {
    /// Wherever the connection was going.
    #[default]
    None,
    Static,
    Dns,
    DnsRoundRobin,
    DynamicDns,
}

impl Resolution {
    /// A proxy asks DNS where the host is.
    pub(crate) fn is_by_name(self) -> bool {
        match self {
            Resolution::None | Resolution::Static => false,
            Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns => true,
        }
    }
}

/// Workloads by their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct WorkloadSelector {
    pub labels: BTreeMap<String, String>,
}
