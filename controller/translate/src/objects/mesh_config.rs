//! What holds for the whole mesh: the text under `mesh` in the ConfigMap `istio` (api.md §3.8, §8). Of Istio's many
//! settings those are read that mean something here; the others are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::GoDuration;
use super::entry_visibility::ServiceEntryVisibility;
use super::mesh_reporting::{
    FileAccessLog, MeshReporting, OpenTelemetryCollector, Prometheus, ZipkinCollector,
};

/// The key of the ConfigMap that has the text.
pub(crate) const KEY: &str = "mesh";

/// Settings of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfig {
    /// Services outside the mesh's programs that policies and Telemetry objects name.
    pub extension_providers: Vec<ExtensionProvider>,
    /// Who can see ServiceEntries; everybody, where nothing is said.
    pub service_entry_visibility: Option<ServiceEntryVisibility>,
    /// What is reported where no Telemetry object says anything.
    #[serde(flatten)]
    pub reporting: MeshReporting,
}

/// A service that policies or Telemetry objects name; one of its kinds. Those of kinds that mean nothing here have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct ExtensionProvider {
    pub name: String,
    pub envoy_ext_authz_http: Option<HttpAuthorizer>,
    pub envoy_ext_authz_grpc: Option<GrpcAuthorizer>,
    /// Ours: Istio leaves rate limits to patches of Envoy.
    pub envoy_rate_limit_grpc: Option<RateLimiter>,
    pub opentelemetry: Option<OpenTelemetryCollector>,
    pub zipkin: Option<ZipkinCollector>,
    pub envoy_file_access_log: Option<FileAccessLog>,
    pub prometheus: Option<Prometheus>,
}

/// It decides about requests, asked by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct HttpAuthorizer {
    #[serde(flatten)]
    pub common: Authorizer,
    pub path_prefix: String,
    /// Older than `include_request_headers_in_check`.
    pub include_headers_in_check: Vec<String>,
    pub include_request_headers_in_check: Vec<String>,
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    pub headers_to_upstream_on_allow: Vec<String>,
    pub headers_to_downstream_on_allow: Vec<String>,
    pub headers_to_downstream_on_deny: Vec<String>,
}

/// It decides about requests, asked by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct GrpcAuthorizer {
    #[serde(flatten)]
    pub common: Authorizer,
}

/// It counts requests, asked by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimiter {
    /// A host name, with its namespace before a `/` where several have it.
    pub service: String,
    /// Its port.
    pub port: u32,
}

/// What both have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Authorizer {
    /// A host name, with its namespace before a `/` where several have it.
    pub service: String,
    pub port: u32,
    pub timeout: Option<GoDuration>,
    pub fail_open: bool,
    /// A number, as text.
    pub status_on_error: Option<String>,
    pub include_request_body_in_check: Option<CheckedRequestBody>,
}

/// What of a body it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct CheckedRequestBody {
    pub max_request_bytes: u32,
    pub allow_partial_message: bool,
    pub pack_as_bytes: bool,
}

impl MeshConfig {
    /// Reads the text; or why that is not possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(MeshConfig::default());
        }
        serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
    }

    /// The provider that policies call by that name.
    pub fn find_provider(&self, name: &str) -> Option<&ExtensionProvider> {
        self.extension_providers.iter().find(|provider| provider.name == name)
    }
}

impl ExtensionProvider {
    /// What it is asked by, and how, if it decides about requests.
    pub fn authorizer(&self) -> Option<&Authorizer> {
        let http = self.envoy_ext_authz_http.as_ref().map(|it| &it.common);
        http.or_else(|| self.envoy_ext_authz_grpc.as_ref().map(|it| &it.common))
    }

    /// The service and the port where it takes spans, if it does.
    pub fn trace_address(&self) -> Option<(&str, u32)> {
        let opentelemetry = self.opentelemetry.as_ref().map(|it| (it.service.as_str(), it.port));
        opentelemetry.or_else(|| self.zipkin.as_ref().map(|it| (it.service.as_str(), it.port)))
    }

    /// The service and the port that it stands for, if it stands for one.
    pub fn address(&self) -> Option<(&str, u32)> {
        let authorizer = self.authorizer().map(|it| (it.service.as_str(), it.port));
        let limiter = self.envoy_rate_limit_grpc.as_ref().map(|it| (it.service.as_str(), it.port));
        authorizer.or(limiter).or_else(|| self.trace_address())
    }
}
