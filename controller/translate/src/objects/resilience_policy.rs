//! ResiliencePolicy, a kind of our own: how waypoints find out which endpoints are well, and which requests they send
//! twice.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::GoDuration;
use super::custom::Custom;

/// The object.
pub type ResiliencePolicy = Custom<ResiliencePolicySpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResiliencePolicySpec {
    /// What it is attached to: Services and ServiceEntries, and for hedging HTTPRoutes and VirtualServices, all of the
    /// policy's namespace. Of several policies for one target, the oldest decides.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<ResilienceTarget>,
    /// The waypoint asks each endpoint how it is, and leaves out those that are not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PolicyHealthCheck>,
    /// Requests that only read are sent to another endpoint too, where none has answered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<PolicyHedging>,
}

/// What a policy is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResilienceTarget {
    /// Empty for Services.
    #[serde(default)]
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The name of a rule of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// How endpoints are asked: by one of `http`, `tcp` and `grpc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyHealthCheck {
    /// From one check of an endpoint to the next, give or take a tenth; 10s where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// How long an endpoint has to answer; 1s where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// So many good answers in a row take an endpoint back; 1 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_threshold: Option<u32>,
    /// So many bad ones leave it out; 3 where nothing is said. The first check of an endpoint decides alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_threshold: Option<u32>,
    /// Where fewer than this share of a service's endpoints are well, all are used; 50% where nothing is said, 0%: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic_threshold: Option<Percentage>,
    /// The port of the service at whose target endpoints are asked; its first one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// By a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// By a connection, which has to open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// By gRPC's health checking protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcCheck>,
}

/// A request that endpoints are asked by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// The path, and a query if there is one.
    pub path: String,
    /// The host; the service's where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// GET where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<CheckMethod>,
    /// What is a good answer; 200 to 299 where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub expected_statuses: Vec<StatusRange>,
}

/// The method of a check: nothing is to change by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // as in HTTP
pub enum CheckMethod {
    #[default]
    Get,
    Head,
    Options,
}

/// Statuses; both ends are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)] // the names say it
pub struct StatusRange {
    #[schemars(range(min = 100, max = 599))]
    pub start: u16,
    #[schemars(range(min = 100, max = 599))]
    pub end: u16,
}

/// Nothing to say about a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {}

/// A question by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GrpcCheck {
    /// The service asked about; the server as a whole where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Which requests are sent twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyHedging {
    /// So long an endpoint has to answer before another one is asked too.
    pub delay: GoDuration,
    /// How often a request is sent in all; 2 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 5))]
    pub max_requests: Option<u32>,
    /// How many of the requests on their way may be such second ones, beside three that always may; 10% where nothing is
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Percentage>,
}

/// A share from `0%` to `100%`, whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentage(pub u32);

impl JsonSchema for Percentage {
    fn schema_name() -> Cow<'static, str> {
        "Percentage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(100|[1-9]?[0-9])%$",
            "description": "A share in per cent, such as 50%."
        })
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_suffix('%').filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(share @ 0..=100) => Ok(Percentage(share)),
            _ => Err(de::Error::custom(format_args!("{text:?} is not a share; write 0% to 100%"))),
        }
    }
}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}%", self.0))
    }
}
