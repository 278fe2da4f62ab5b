//! RequestAuthentication: which tokens of end users are good (api.md §3.6). Waypoints enforce those with targets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorization_policy::{TargetRef, both_targets};
use super::custom::Custom;
use super::duration::GoDuration;
use super::value::LabelSelector;

/// The object.
pub type RequestAuthentication = Custom<RequestAuthenticationSpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct RequestAuthenticationSpec {
    pub selector: Option<LabelSelector>,
    pub target_ref: Option<TargetRef>,
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetRef>,
    pub jwt_rules: Vec<JwtRule>,
}

impl RequestAuthenticationSpec {
    /// Both ways to name targets, as one list with the field each comes from.
    pub fn targets(&self) -> impl Iterator<Item = (String, &TargetRef)> {
        both_targets(self.target_ref.as_ref(), &self.target_refs)
    }
}

/// The tokens of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct JwtRule {
    pub issuer: String,
    pub audiences: Vec<String>,
    pub jwks_uri: Option<String>,
    pub jwks: Option<String>,
    pub from_headers: Vec<JwtHeader>,
    pub from_params: Vec<String>,
    pub from_cookies: Vec<String>,
    pub output_payload_to_header: Option<String>,
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    pub forward_original_token: bool,
    pub timeout: Option<GoDuration>,
    pub space_delimited_claims: Vec<String>,
}

/// A header with a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct JwtHeader {
    pub name: String,
    pub prefix: Option<String>,
}

/// A header that is given a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ClaimToHeader {
    pub header: String,
    pub claim: String,
}
