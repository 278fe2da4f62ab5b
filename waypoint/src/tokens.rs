//! Tokens of end users: found in requests, verified by the keys of their issuers, told to policies and backends
//! (AZ-13…17). No token is no fault; a bad one is.

mod jwt;
mod keys;
mod outputs;
mod places;

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use mesh_authz::Token;
use mesh_model::TokenRule;
use serde_json::{Map, Value};

pub(crate) use jwt::{Jwt, JwtError};
use keys::KeyRing;
use outputs::Outputs;
use places::Place;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 60;

/// A rule for the tokens of one issuer, made ready.
#[derive(Debug)]
pub(crate) struct TokenCheck {
    issuer: Arc<str>,
    audiences: Vec<Arc<str>>,
    keys: KeyRing,
    places: Vec<Place>,
    forward_original: bool,
    outputs: Outputs,
    space_delimited: Vec<Arc<str>>,
}

impl TokenCheck {
    pub(crate) fn compile(rule: &TokenRule) -> TokenCheck {
        TokenCheck {
            issuer: rule.issuer.clone(),
            audiences: rule.audiences.iter().map(|it| Arc::from(bare_audience(it))).collect(),
            keys: KeyRing::read(&rule.keys),
            places: places::of(rule),
            forward_original: rule.forward_original,
            outputs: Outputs::compile(rule),
            space_delimited: rule.space_delimited_claims.clone(),
        }
    }

    /// Whether this issuer's token is good at a time, in seconds since 1970.
    fn verify(&self, jwt: &Jwt<'_>, now: u64) -> Result<(), JwtError> {
        jwt.check_time(now, LEEWAY)?;
        let is_wanted = |audience: &str| self.audiences.iter().any(|it| **it == *bare_audience(audience));
        if !self.audiences.is_empty() && !jwt.audiences().any(is_wanted) {
            return Err(JwtError::AudienceNotAllowed);
        }
        self.keys.verify(jwt)
    }
}

/// Audiences are often addresses, written with or without what is around them.
fn bare_audience(audience: &str) -> &str {
    let bare = audience.strip_prefix("https://").or_else(|| audience.strip_prefix("http://"));
    let bare = bare.unwrap_or(audience);
    bare.strip_suffix('/').unwrap_or(bare)
}

/// A token that has been verified.
struct Good<'c> {
    check: &'c TokenCheck,
    payload: String,
    claims: Map<String, Value>,
}

/// Verifies the tokens of a request, all there are, and makes of them what the rules say. The first is the one that
/// policies see. What a client writes into headers that are for claims ends here.
pub(crate) fn check<'c>(
    checks: impl Iterator<Item = &'c TokenCheck> + Clone,
    head: &mut Parts,
    now: u64,
) -> Result<Option<Token>, JwtError> {
    let mut good: Vec<Good<'_>> = Vec::new();
    let mut used: Vec<Place> = Vec::new();
    for (place, text) in found(checks.clone(), head) {
        let jwt = Jwt::parse(&text)?;
        let meant = checks.clone().filter(|it| it.places.contains(&place) && *it.issuer == *jwt.issuer());
        let mut verdict = Err(JwtError::IssuerUnknown);
        for check in meant {
            verdict = check.verify(&jwt, now).map(|()| check);
            if verdict.is_ok() {
                break;
            }
        }
        let check = verdict?;
        if !check.forward_original {
            used.push(place);
        }
        let payload = jwt.payload.to_owned();
        good.push(Good { check, payload, claims: jwt.into_claims() });
    }
    for check in checks {
        check.outputs.clear(&mut head.headers);
    }
    for place in &used {
        place.remove(head);
    }
    for Good { check, payload, claims } in &good {
        check.outputs.write(payload, claims, &mut head.headers);
    }
    let first = good.into_iter().next();
    Ok(first.map(|it| Token::verified(it.claims, it.check.space_delimited.clone())))
}

/// The tokens in a request and where they are, each place once.
fn found<'c>(checks: impl Iterator<Item = &'c TokenCheck>, head: &Parts) -> Vec<(Place, String)> {
    let mut found: Vec<(Place, String)> = Vec::new();
    for place in checks.flat_map(|check| &check.places) {
        if found.iter().any(|(known, _)| known == place) {
            continue;
        }
        let tokens = place.find(head).into_iter();
        found.extend(tokens.map(|text: Cow<'_, str>| (place.clone(), text.into_owned())));
    }
    found
}

#[cfg(test)]
pub(crate) mod issuer;
#[cfg(test)]
mod tests;
