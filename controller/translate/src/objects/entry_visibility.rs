//! Who can see ServiceEntries, as the settings of the mesh have it (EG-05): their authors have no say in it.

use gateway_api::experimental::gateways::GatewayListenersAllowedRoutesNamespacesSelector as NamespaceSelector;
use serde::{Deserialize, Serialize};

/// The policies that say it; the first that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct ServiceEntryVisibility {
    pub default_visibility: EntryVisibility,
    pub policies: Vec<VisibilityPolicy>,
    /// Means nothing here: there are no sidecars.
    pub apply_to_sidecars: bool,
}

/// What holds for ServiceEntries that all of its rules match; without rules, for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct VisibilityPolicy {
    pub visibility: EntryVisibility,
    pub matching_rules: Vec<VisibilityRule>,
}

/// Matches a ServiceEntry by its namespace; nothing, if it says nothing that is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct VisibilityRule {
    pub namespace_selector: Option<NamespaceSelector>,
}

/// Who can see a ServiceEntry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryVisibility {
    /// Everybody.
    #[default]
    #[serde(alias = "UNSPECIFIED")]
    Public,
    /// Its own namespace.
    Namespace,
    /// Nobody: it has no effect.
    None,
}
