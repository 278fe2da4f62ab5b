//! Headers that are made of a token's claims for the backend (L7-30). A client cannot write them (SEC-12).

use std::sync::Arc;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use mesh_model::TokenRule;
use serde_json::{Map, Value};

use crate::http::is_framing;

/// What a rule makes of a token.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    payload: Option<HeaderName>,
    claims: Vec<(HeaderName, Arc<str>)>,
}

impl Outputs {
    pub(super) fn compile(rule: &TokenRule) -> Outputs {
        let name = |name: &Arc<str>| name.parse().ok().filter(|name| !is_framing(name));
        Outputs {
            payload: rule.payload_header.as_ref().and_then(name),
            claims: rule
                .claim_headers
                .iter()
                .filter_map(|(header, claim)| Some((name(header)?, claim.clone())))
                .collect(),
        }
    }

    /// Takes away what the client has written there.
    pub(super) fn clear(&self, headers: &mut HeaderMap) {
        for name in self.payload.iter().chain(self.claims.iter().map(|(name, _)| name)) {
            headers.remove(name);
        }
    }

    /// `payload` as the token has it, in base64.
    pub(super) fn write(&self, payload: &str, claims: &Map<String, Value>, headers: &mut HeaderMap) {
        if let (Some(name), Ok(value)) = (&self.payload, HeaderValue::from_str(payload)) {
            headers.insert(name, value);
        }
        for (name, claim) in &self.claims {
            if let Some(value) =
                find(claims, claim).and_then(text).and_then(|it| HeaderValue::from_str(&it).ok())
            {
                headers.insert(name, value);
            }
        }
    }
}

/// A claim by its name, or by the way to it with dots, `outer.inner`.
fn find<'c>(claims: &'c Map<String, Value>, claim: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(claim) {
        return Some(value);
    }
    let mut parts = claim.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, name| value.get(name))
}

/// Text, numbers and truth values as they are, lists of them joined by commas.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(values) => {
            let single = values.iter().filter(|it| !it.is_array());
            let texts: Vec<String> = single.filter_map(text).collect();
            (!texts.is_empty()).then(|| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}
