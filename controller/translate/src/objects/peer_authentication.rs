//! PeerAuthentication: whether a workload takes plain text (api.md §3.6).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::custom::Custom;
use super::value::LabelSelector;

/// The object.
pub type PeerAuthentication = Custom<PeerAuthenticationSpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct PeerAuthenticationSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MutualTls>,
    /// By workload port.
    #[schemars(with = "BTreeMap<String, MutualTls>")]
    #[serde(deserialize_with = "deserialize_ports", skip_serializing_if = "BTreeMap::is_empty")]
    pub port_level_mtls: BTreeMap<u16, MutualTls>,
}

/// A mode, wrapped as the API wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct MutualTls {
    pub mode: MtlsMode,
}

/// Whether plain text is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MtlsMode {
    /// As the next wider policy says.
    #[default]
    Unset,
    /// In ambient the same as `Permissive`: the mesh never takes plain text only.
    Disable,
    /// Both are taken.
    Permissive,
    /// Only mTLS is taken.
    Strict,
}

/// The keys are numbers, but JSON has only texts for keys.
fn deserialize_ports<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<u16, MutualTls>, D::Error> {
    let written = BTreeMap::<String, MutualTls>::deserialize(deserializer)?;
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let ports = written.into_iter().map(|(text, mtls)| match port(&text) {
        Some(port) => Ok((port, mtls)),
        None => Err(de::Error::custom(format_args!("{text:?} is not a port; ports are 1 to 65535"))),
    });
    ports.collect()
}
