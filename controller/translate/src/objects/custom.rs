//! The frame around the kinds of Istio: what Kubernetes puts around every `spec`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An object with a spec of our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Custom<S> {
    /// As written.
    #[serde(default)]
    pub api_version: String,
    /// As written.
    #[serde(default)]
    pub kind: String,
    /// Name, namespace, labels and the like.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: S,
    /// What was written about it; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}
