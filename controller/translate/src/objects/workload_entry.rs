//! WorkloadEntry and WorkloadGroup: workloads outside Kubernetes (api.md §3.5).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::custom::Custom;
use super::value::Port;

/// The object.
pub type WorkloadEntry = Custom<WorkloadEntrySpec>;

/// One workload; the endpoints of a ServiceEntry are written the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct WorkloadEntrySpec {
    /// An address, a name of DNS, or `unix://` and a path.
    pub address: String,
    /// By the names of a service's ports.
    pub ports: BTreeMap<String, Port>,
    pub labels: BTreeMap<String, String>,
    pub network: String,
    /// `region/zone/subzone`.
    pub locality: String,
    pub weight: Option<u32>,
    pub service_account: String,
}

/// The object.
pub type WorkloadGroup = Custom<WorkloadGroupSpec>;

/// What workloads that join have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct WorkloadGroupSpec {
    pub metadata: GroupMetadata,
    pub template: WorkloadEntrySpec,
    pub probe: Option<ReadinessProbe>,
}

/// Metadata of the entries that are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct GroupMetadata {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// How a workload's readiness is found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ReadinessProbe {
    pub initial_delay_seconds: u32,
    pub timeout_seconds: u32,
    pub period_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
    pub http_get: Option<HttpProbe>,
    pub tcp_socket: Option<TcpProbe>,
    pub exec: Option<ExecProbe>,
    pub grpc: Option<GrpcProbe>,
}

/// By a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct HttpProbe {
    pub path: String,
    pub port: Option<Port>,
    pub host: String,
    pub scheme: String,
    pub http_headers: Vec<HttpProbeHeader>,
}

/// A header of the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct HttpProbeHeader {
    pub name: String,
    pub value: String,
}

/// By a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TcpProbe {
    pub host: String,
    pub port: Option<Port>,
}

/// By a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ExecProbe {
    pub command: Vec<String>,
}

/// By gRPC's health protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct GrpcProbe {
    pub port: Option<Port>,
    pub service: String,
}
