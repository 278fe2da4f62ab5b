//! WasmPlugin and TrafficExtension: code of others in the path of requests (api.md §3.7). Not run by this
//! release; a status says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorization_policy::TargetRef;
use super::custom::Custom;
use super::value::{FreeForm, LabelSelector, Port};

/// The object.
pub type WasmPlugin = Custom<WasmPluginSpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct WasmPluginSpec {
    pub selector: Option<LabelSelector>,
    pub target_ref: Option<TargetRef>,
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetRef>,
    pub url: String,
    pub sha256: String,
    pub image_pull_policy: PullPolicy,
    pub image_pull_secret: String,
    pub verification_key: String,
    pub plugin_config: Option<FreeForm>,
    pub plugin_name: String,
    pub phase: PluginPhase,
    pub priority: Option<i32>,
    pub fail_strategy: FailStrategy,
    pub vm_config: Option<VmConfig>,
    #[serde(rename = "match")]
    pub matches: Vec<TrafficSelector>,
    #[serde(rename = "type")]
    pub plugin_type: PluginType,
}

/// The object.
pub type TrafficExtension = Custom<TrafficExtensionSpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TrafficExtensionSpec {
    pub selector: Option<LabelSelector>,
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetRef>,
    pub phase: PluginPhase,
    pub priority: Option<i32>,
    #[serde(rename = "match")]
    pub matches: Vec<TrafficSelector>,
    pub wasm: Option<WasmConfig>,
    pub lua: Option<LuaConfig>,
}

/// A module of WebAssembly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct WasmConfig {
    pub url: String,
    pub sha256: String,
    pub image_pull_policy: PullPolicy,
    pub image_pull_secret: String,
    pub verification_key: String,
    pub plugin_config: Option<FreeForm>,
    pub plugin_name: String,
    pub fail_strategy: FailStrategy,
    pub vm_config: Option<VmConfig>,
    #[serde(rename = "type")]
    pub plugin_type: PluginType,
}

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct LuaConfig {
    #[schemars(length(max = 65536))]
    pub inline_code: String,
}

/// Which traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct TrafficSelector {
    pub mode: WorkloadMode,
    pub ports: Vec<SelectedPort>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SelectedPort {
    pub number: Port,
}

/// The direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum WorkloadMode {
    #[default]
    Undefined,
    Client,
    Server,
    ClientAndServer,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum PullPolicy {
    #[default]
    #[serde(rename = "UNSPECIFIED_POLICY")]
    Unspecified,
    IfNotPresent,
    Always,
}

/// Where among the filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum PluginPhase {
    #[default]
    #[serde(rename = "UNSPECIFIED_PHASE")]
    Unspecified,
    #[serde(rename = "AUTHN")]
    Authn,
    #[serde(rename = "AUTHZ")]
    Authz,
    #[serde(rename = "STATS")]
    Stats,
}

/// What happens when the code cannot run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum FailStrategy {
    #[default]
    FailClose,
    FailOpen,
    FailReload,
}

/// What the code works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum PluginType {
    #[default]
    #[serde(rename = "UNSPECIFIED_PLUGIN_TYPE")]
    Unspecified,
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "NETWORK")]
    Network,
}

/// The machine the code runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct VmConfig {
    pub env: Vec<VmVariable>,
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct VmVariable {
    pub name: String,
    pub value_from: VariableSource,
    pub value: String,
}

/// Where its value comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum VariableSource {
    #[default]
    Inline,
    Host,
}
