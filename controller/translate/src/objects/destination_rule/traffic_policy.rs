//! What holds for connections to a host (api.md §3.4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LoadBalancerSettings;
use crate::objects::{GoDuration, Port, PortSelector};

/// What holds for traffic to a host or a subset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct TrafficPolicy {
    pub load_balancer: Option<LoadBalancerSettings>,
    pub connection_pool: Option<ConnectionPoolSettings>,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<ClientTlsSettings>,
    pub port_level_settings: Vec<PortTrafficPolicy>,
    pub tunnel: Option<TunnelSettings>,
    pub proxy_protocol: Option<ProxyProtocol>,
    pub retry_budget: Option<RetryBudget>,
}

/// What holds for one port instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct PortTrafficPolicy {
    pub port: Option<PortSelector>,
    pub load_balancer: Option<LoadBalancerSettings>,
    pub connection_pool: Option<ConnectionPoolSettings>,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<ClientTlsSettings>,
}

/// Limits of connections and requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ConnectionPoolSettings {
    pub tcp: Option<TcpPoolSettings>,
    pub http: Option<HttpPoolSettings>,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TcpPoolSettings {
    #[schemars(range(min = 0))]
    pub max_connections: Option<i32>,
    pub connect_timeout: Option<GoDuration>,
    pub tcp_keepalive: Option<TcpKeepalive>,
    pub max_connection_duration: Option<GoDuration>,
    pub idle_timeout: Option<GoDuration>,
}

/// Probes of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TcpKeepalive {
    pub probes: Option<u32>,
    pub time: Option<GoDuration>,
    pub interval: Option<GoDuration>,
}

/// Limits of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct HttpPoolSettings {
    #[schemars(range(min = 0))]
    pub http1_max_pending_requests: Option<i32>,
    #[schemars(range(min = 0))]
    pub http2_max_requests: Option<i32>,
    #[schemars(range(min = 0))]
    pub max_requests_per_connection: Option<i32>,
    #[schemars(range(min = 0))]
    pub max_retries: Option<i32>,
    pub idle_timeout: Option<GoDuration>,
    pub h2_upgrade_policy: H2UpgradePolicy,
    pub use_client_protocol: Option<bool>,
    #[schemars(range(min = 0))]
    pub max_concurrent_streams: Option<i32>,
    pub http2_keep_alive: Option<HttpKeepAlive>,
}

/// Whether HTTP/1.1 becomes HTTP/2 on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum H2UpgradePolicy {
    #[default]
    Default,
    DoNotUpgrade,
    Upgrade,
}

/// Pings of HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct HttpKeepAlive {
    pub interval: Option<GoDuration>,
    pub timeout: Option<GoDuration>,
}

/// When an endpoint is left out for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct OutlierDetection {
    /// Older than the others.
    pub consecutive_errors: Option<i32>,
    pub interval: Option<GoDuration>,
    pub base_ejection_time: Option<GoDuration>,
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: Option<i32>,
    #[schemars(range(min = 0, max = 100))]
    pub min_health_percent: Option<i32>,
    pub consecutive_gateway_errors: Option<u32>,
    pub consecutive_5xx_errors: Option<u32>,
    pub split_external_local_origin_errors: Option<bool>,
    pub consecutive_local_origin_failures: Option<u32>,
    pub outlier_detection_http_error_codes: Vec<u32>,
}

/// TLS towards the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ClientTlsSettings {
    pub mode: ClientTlsMode,
    pub client_certificate: Option<String>,
    pub private_key: Option<String>,
    pub ca_certificates: Option<String>,
    pub credential_name: Option<String>,
    pub subject_alt_names: Vec<String>,
    pub sni: Option<String>,
    pub insecure_skip_verify: Option<bool>,
    pub ca_crl: Option<String>,
}

/// Who shows a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum ClientTlsMode {
    #[default]
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// A tunnel through another proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TunnelSettings {
    pub protocol: Option<String>,
    pub target_host: String,
    pub target_port: Option<Port>,
}

/// The PROXY protocol towards the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ProxyProtocol {
    pub version: ProxyProtocolVersion,
}

/// Its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ProxyProtocolVersion {
    #[default]
    V1,
    V2,
}

/// The share of requests that may be retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct RetryBudget {
    #[schemars(range(min = 0.0, max = 100.0))]
    pub percent: Option<f64>,
    pub min_retry_concurrency: Option<u32>,
    pub budget_interval: Option<GoDuration>,
}
