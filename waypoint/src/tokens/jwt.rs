//! A JSON Web Token taken apart (RFC 7519): nothing of it is believed before its signature has been verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use thiserror::Error;

/// Larger ones are no tokens.
const LARGEST: usize = 32 * 1024;

/// Why a token is bad, in the words that users of Envoy know.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum JwtError {
    #[error("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")]
    BadForm,
    #[error("Jwt header is an invalid Base64url encoded")]
    HeaderNoBase64,
    #[error("Jwt header is an invalid JSON")]
    HeaderNoJson,
    #[error("Jwt header [alg] field is required and must be a string")]
    NoAlgorithm,
    #[error("Jwt header [alg] is not supported")]
    UnknownAlgorithm,
    #[error("Jwt header [kid] field is not a string")]
    BadKeyId,
    #[error("Jwt header [crit] is not supported")]
    Critical,
    #[error("Jwt payload is an invalid Base64url encoded")]
    PayloadNoBase64,
    #[error("Jwt payload is an invalid JSON")]
    PayloadNoJson,
    #[error("Jwt payload [{0}] field is not an integer or is negative")]
    BadTime(&'static str),
    #[error("Jwt payload [aud] field is not a string or list of strings")]
    BadAudience,
    #[error("Jwt signature is an invalid Base64url encoded")]
    SignatureNoBase64,
    #[error("Jwt issuer is not configured")]
    IssuerUnknown,
    #[error("Jwt not yet valid")]
    NotYetValid,
    #[error("Jwt is expired")]
    Expired,
    #[error("Audiences in Jwt are not allowed")]
    AudienceNotAllowed,
    #[error("Jwks remote fetch is failed")]
    NoKeys,
    #[error("Jwks doesn't have key to match kid or alg from Jwt")]
    NoKeyMatches,
    #[error("Jwt verification fails")]
    VerificationFails,
}

/// A token's parts.
#[derive(Debug)]
pub(crate) struct Jwt<'a> {
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    claims: Map<String, Value>,
    /// In base64.
    pub(super) payload: &'a str,
    /// What is signed.
    pub(super) signed: &'a str,
    /// In base64.
    pub(super) signature: &'a str,
}

impl<'a> Jwt<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Jwt<'a>, JwtError> {
        if text.len() > LARGEST {
            return Err(JwtError::BadForm);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::BadForm)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::BadForm)?;
        if payload.contains('.') || header.is_empty() || payload.is_empty() {
            return Err(JwtError::BadForm);
        }
        let header: Map<String, Value> = json(header, JwtError::HeaderNoBase64, JwtError::HeaderNoJson)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(JwtError::NoAlgorithm)?.to_owned();
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(JwtError::BadKeyId),
        };
        // RFC 7515 §4.1.11: what has to be understood and is not.
        if header.contains_key("crit") {
            return Err(JwtError::Critical);
        }
        let claims = json(payload, JwtError::PayloadNoBase64, JwtError::PayloadNoJson)?;
        if URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(JwtError::SignatureNoBase64);
        }
        let jwt = Jwt { algorithm, key_id, claims, payload, signed, signature };
        jwt.check_types()?;
        Ok(jwt)
    }

    fn check_types(&self) -> Result<(), JwtError> {
        self.time("exp")?;
        self.time("nbf")?;
        match self.claims.get("aud") {
            None | Some(Value::String(_)) => Ok(()),
            Some(Value::Array(all)) if all.iter().all(Value::is_string) => Ok(()),
            Some(_) => Err(JwtError::BadAudience),
        }
    }

    /// Seconds since 1970; fractions do not count.
    fn time(&self, claim: &'static str) -> Result<Option<u64>, JwtError> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        let whole = value.as_u64().or_else(|| {
            let seconds = value.as_f64().filter(|it| it.is_finite() && (0.0..=u64::MAX as f64).contains(it));
            seconds.map(|it| it as u64)
        });
        whole.map(Some).ok_or(JwtError::BadTime(claim))
    }

    pub(crate) fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self.claims.get("aud") {
            Some(Value::String(one)) => (Some(one.as_str()), &[][..]),
            Some(Value::Array(many)) => (None, many.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().filter_map(Value::as_str))
    }

    /// A token without a time is good at any.
    pub(super) fn check_time(&self, now: u64, leeway: u64) -> Result<(), JwtError> {
        if self.time("nbf")?.is_some_and(|begin| now.saturating_add(leeway) < begin) {
            return Err(JwtError::NotYetValid);
        }
        if self.time("exp")?.is_some_and(|end| now > end.saturating_add(leeway)) {
            return Err(JwtError::Expired);
        }
        Ok(())
    }

    /// What it says. To be asked for once it has been verified.
    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }
}

fn json(part: &str, no_base64: JwtError, no_json: JwtError) -> Result<Map<String, Value>, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| no_base64)?;
    serde_json::from_slice(&bytes).map_err(|_| no_json)
}
