//! EnvoyFilter: changes to the configuration of Envoy. It has no effect in this mesh, whose waypoints are
//! no Envoys; a status says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorization_policy::TargetRef;
use super::custom::Custom;
use super::service_entry::WorkloadSelector;
use super::value::FreeForm;

/// The object.
pub type EnvoyFilter = Custom<EnvoyFilterSpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct EnvoyFilterSpec {
    pub workload_selector: Option<WorkloadSelector>,
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetRef>,
    pub config_patches: Vec<ConfigPatch>,
    pub priority: i32,
}

/// One change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ConfigPatch {
    pub apply_to: ApplyTo,
    #[serde(rename = "match")]
    pub matches: Option<PatchMatch>,
    pub patch: Option<Patch>,
}

/// The part that is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum ApplyTo {
    #[default]
    Invalid,
    Listener,
    FilterChain,
    NetworkFilter,
    HttpFilter,
    RouteConfiguration,
    VirtualHost,
    HttpRoute,
    Cluster,
    ExtensionConfig,
    Bootstrap,
    ListenerFilter,
}

/// Which of these parts; what is inside the objects only Envoy understands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct PatchMatch {
    pub context: PatchContext,
    pub proxy: Option<FreeForm>,
    pub listener: Option<FreeForm>,
    pub route_configuration: Option<FreeForm>,
    pub cluster: Option<FreeForm>,
    pub waypoint: Option<FreeForm>,
}

/// Whose configuration is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum PatchContext {
    #[default]
    Any,
    SidecarInbound,
    SidecarOutbound,
    Gateway,
    Waypoint,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Patch {
    pub operation: PatchOperation,
    pub value: Option<FreeForm>,
    pub filter_class: FilterClass,
}

/// How.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum PatchOperation {
    #[default]
    Invalid,
    Merge,
    Add,
    Remove,
    InsertBefore,
    InsertAfter,
    InsertFirst,
    Replace,
}

/// Where among the filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum FilterClass {
    #[default]
    Unspecified,
    Authn,
    Authz,
    Stats,
}
