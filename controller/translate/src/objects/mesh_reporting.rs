//! What the mesh's settings say of traces, access logs and metrics, and whom these are told (api.md §3.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CustomTag, GoDuration};

/// What is reported where no Telemetry object says anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct MeshReporting {
    /// Anything but nothing turns the access log on.
    pub access_log_file: String,
    pub access_log_encoding: AccessLogEncoding,
    /// Without a provider, spans go to the Zipkin of `default_config`.
    pub enable_tracing: bool,
    pub default_config: ProxyDefaults,
    pub default_providers: DefaultProviders,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum AccessLogEncoding {
    #[default]
    Text,
    Json,
}

/// The defaults of proxies, as far as they are about waypoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ProxyDefaults {
    pub tracing: ProxyTracing,
}

/// How proxies trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ProxyTracing {
    pub zipkin: Option<ZipkinAddress>,
    /// In per cent.
    pub sampling: Option<f64>,
    pub custom_tags: BTreeMap<String, CustomTag>,
}

/// Where a Zipkin is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ZipkinAddress {
    /// `host:port`
    pub address: String,
}

/// Providers by name, where nobody names one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct DefaultProviders {
    pub tracing: Vec<String>,
    pub access_logging: Vec<String>,
    pub metrics: Vec<String>,
}

/// It takes spans by OpenTelemetry's protocol, by gRPC unless `http` is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct OpenTelemetryCollector {
    pub service: String,
    pub port: u32,
    pub http: Option<OpenTelemetryHttp>,
    pub grpc: Option<OpenTelemetryGrpc>,
}

/// How it is told by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct OpenTelemetryHttp {
    pub path: String,
    pub timeout: Option<GoDuration>,
    pub headers: Vec<ProviderHeader>,
}

/// How it is told by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct OpenTelemetryGrpc {
    pub timeout: Option<GoDuration>,
    pub initial_metadata: Vec<ProviderHeader>,
}

/// A header for a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ProviderHeader {
    pub name: String,
    pub value: Option<String>,
}

/// It takes spans as Zipkin does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ZipkinCollector {
    pub service: String,
    pub port: u32,
    pub path: String,
    pub enable64bit_trace_id: bool,
    pub trace_context_option: TraceContextOption,
    pub timeout: Option<GoDuration>,
    pub headers: Vec<ProviderHeader>,
}

/// By which headers a trace goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum TraceContextOption {
    #[default]
    UseB3,
    UseB3WithW3cPropagation,
}

/// A file with lines about requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct FileAccessLog {
    pub path: String,
    pub log_format: Option<LogFormat>,
}

/// How lines look; whether somebody wants it is all that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct LogFormat {
    pub text: Option<String>,
    pub labels: Option<Value>,
}

/// It collects metrics itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prometheus {}
