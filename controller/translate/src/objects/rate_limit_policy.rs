//! RateLimitPolicy, a kind of our own: how many requests may pass in a time, at what the policy is attached to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;
use super::custom::Custom;

/// The object.
pub type RateLimitPolicy = Custom<RateLimitPolicySpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimitPolicySpec {
    /// What it is attached to, each of which counts for itself: Services, ServiceEntries, HTTPRoutes, GRPCRoutes and
    /// VirtualServices of the policy's namespace, waypoints (Gateways), or from the root namespace all waypoints of a
    /// GatewayClass.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<RateLimitTarget>,
    /// A request has to be within all that are about it.
    #[schemars(length(min = 1, max = 16))]
    pub limits: Vec<PolicyLimit>,
}

/// What a policy is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimitTarget {
    /// Empty for Services.
    #[serde(default)]
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The name of a port of a Service or ServiceEntry, or of a rule of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// One limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyLimit {
    /// Unique in the policy; metrics and headers have it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// So many may pass in `per`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests: Option<u32>,
    /// The time; with `global` one of 1s, 1m, 1h and 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<GoDuration>,
    /// So many may pass at once, if none have for a while; `requests` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// What requests have to have in common to be counted together; none: all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub keys: Vec<LimitKey>,
    /// Which requests it is about: alternatives; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub when: Vec<RequestMatch>,
    /// A service counts for all waypoints together; otherwise each process of a waypoint counts by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalCount>,
    /// The status for what is refused; 429 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// It only counts, and refuses nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

/// One part of what requests have in common: one of `from`, `header` and `value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LimitKey {
    /// What services that count call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A property of the caller or of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<KeyProperty>,
    /// The value of a header; requests without it are counted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Always this value, for services that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A property of the caller or of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // docs/rate-limits.md has a table
pub enum KeyProperty {
    Identity,
    ServiceAccount,
    Namespace,
    Address,
    Path,
    Method,
    Host,
    Route,
}

/// What a request is like; all that is given has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RequestMatch {
    /// The path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<HeaderMatch>,
}

/// A path, as HTTPRoutes write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathMatch {
    /// How it is compared.
    #[serde(rename = "type", default)]
    pub how: PathMatchType,
    /// With what.
    pub value: String,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // as in HTTPRoutes
pub enum PathMatchType {
    Exact,
    #[default]
    PathPrefix,
    RegularExpression,
}

/// A header, as HTTPRoutes write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    /// Its name.
    pub name: String,
    /// How it is compared.
    #[serde(rename = "type", default)]
    pub how: HeaderMatchType,
    /// With what.
    pub value: String,
}

/// How a header is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // as in HTTPRoutes
pub enum HeaderMatchType {
    #[default]
    Exact,
    RegularExpression,
}

/// Who counts for all: one of `service` and `provider`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GlobalCount {
    /// A service of the policy's namespace that speaks Envoy's rate-limit protocol over gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<CountingService>,
    /// The name of an extension provider of the mesh with `envoyRateLimitGrpc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The service's domain to count in; `adit` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How long it may take; 50ms where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// What it could not be asked about is refused with status 500; otherwise it passes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failure_mode_deny: bool,
}

/// A service and its port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountingService {
    /// The name of a Service in the policy's namespace.
    pub name: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}
