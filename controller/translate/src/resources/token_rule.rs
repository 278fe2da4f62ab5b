//! The rules of RequestAuthentications: which tokens are good (api.md §3.6).

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_model::TokenRule;
use serde_json::Value;

use crate::cluster::{Cluster, KeySource};
use crate::objects::{JwtRule, RequestAuthenticationSpec};

/// As large as a set of keys may be, in bytes.
pub const MOST_KEYS: usize = 1 << 20;

pub(super) fn convert(cluster: &Cluster, rule: &JwtRule) -> TokenRule {
    let texts = |texts: &[String]| texts.iter().map(|text| Arc::from(text.as_str())).collect();
    let lower = |name: &str| Arc::from(name.to_ascii_lowercase());
    TokenRule {
        issuer: rule.issuer.as_str().into(),
        audiences: texts(&rule.audiences),
        keys: find_keys(cluster, rule).unwrap_or_else(|_| "".into()),
        from_headers: rule
            .from_headers
            .iter()
            .map(|it| (lower(&it.name), it.prefix.as_deref().unwrap_or_default().into()))
            .collect(),
        from_params: texts(&rule.from_params),
        from_cookies: texts(&rule.from_cookies),
        forward_original: rule.forward_original_token,
        payload_header: rule.output_payload_to_header.as_deref().filter(|it| !it.is_empty()).map(lower),
        claim_headers: rule
            .output_claim_to_headers
            .iter()
            .map(|it| (lower(&it.header), it.claim.as_str().into()))
            .collect(),
        space_delimited_claims: texts(&rule.space_delimited_claims),
    }
}

/// What of an object cannot be done, each with its field.
pub(crate) fn find_problems(cluster: &Cluster, spec: &RequestAuthenticationSpec) -> Vec<String> {
    let rules = spec.jwt_rules.iter().enumerate();
    let problem = |(at, rule): (usize, &JwtRule)| {
        let path = format!("spec.jwtRules[{at}]");
        match find_keys(cluster, rule) {
            Err(reason) => {
                Some(format!("{path}.{}: {reason}; tokens of this issuer are refused", field_of(rule)))
            }
            Ok(_) => {
                let source = key_source(rule)?;
                let problem = cluster.key_sets.get(&source)?.problem.as_ref()?;
                Some(format!("{path}.{}: {problem}; the keys of before are used", field_of(rule)))
            }
        }
    };
    rules.filter_map(problem).collect()
}

fn field_of(rule: &JwtRule) -> &'static str {
    match (&rule.jwks, &rule.jwks_uri) {
        (Some(_), _) => "jwks",
        (None, Some(_)) => "jwksUri",
        (None, None) => "issuer",
    }
}

fn find_keys(cluster: &Cluster, rule: &JwtRule) -> Result<Arc<str>, String> {
    if let Some(inline) = rule.jwks.as_deref().filter(|it| !it.is_empty()) {
        return check_key_set(inline).map(|()| inline.into());
    }
    let known = key_source(rule).and_then(|source| cluster.key_sets.get(&source));
    let known = known.ok_or("its keys have not been fetched yet")?;
    let problem = || known.problem.clone().unwrap_or_default();
    known.keys.clone().ok_or_else(problem)
}

/// Where the keys of a rule have to be fetched, if they have to be.
fn key_source(rule: &JwtRule) -> Option<KeySource> {
    match (rule.jwks.as_deref().unwrap_or_default(), rule.jwks_uri.as_deref().unwrap_or_default()) {
        ("", "") => Some(KeySource::Issuer(rule.issuer.as_str().into())),
        ("", uri) => Some(KeySource::Uri(uri.into())),
        _ => None,
    }
}

/// Where the keys of an object's rules have to be fetched.
pub(crate) fn key_sources(spec: &RequestAuthenticationSpec) -> BTreeSet<KeySource> {
    spec.jwt_rules.iter().filter_map(key_source).collect()
}

/// Whether a text is a JSON Web Key Set with a key that can verify signatures; or why not.
pub fn check_key_set(text: &str) -> Result<(), String> {
    if text.len() > MOST_KEYS {
        return Err(format!("a key set of {} bytes is too large; {MOST_KEYS} are taken", text.len()));
    }
    let set: Value =
        serde_json::from_str(text).map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or("not a JSON Web Key Set: it has no list `keys`")?;
    let verifies = |key: &Value| {
        matches!(key.get("kty").and_then(Value::as_str), Some("RSA" | "EC" | "OKP"))
            && key.get("use").is_none_or(|it| it == "sig")
    };
    match keys.iter().any(verifies) {
        true => Ok(()),
        false => Err("the key set has no public key that verifies signatures (RSA, EC or OKP)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_has_a_public_key() {
        for (text, expected) in [
            (r#"{"keys":[{"kty":"RSA"}]}"#, ""),
            (r#"{"keys":[{"kty":"oct"},{"kty":"EC","use":"sig"}]}"#, ""),
            (r#"{"keys":[{"kty":"oct"}]}"#, "no public key"),
            (r#"{"keys":[{"kty":"RSA","use":"enc"}]}"#, "no public key"),
            (r#"{"keys":[]}"#, "no public key"),
            (r#"{"kty":"RSA"}"#, "no list `keys`"),
            ("<html>", "not a JSON Web Key Set"),
        ] {
            let said = check_key_set(text).err().unwrap_or_default();
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{text}: {said}");
        }
        assert!(check_key_set(&" ".repeat(MOST_KEYS + 1)).unwrap_err().contains("too large"));
    }
}
