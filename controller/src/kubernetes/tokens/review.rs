//! What a review says about a token; and before it, what the token says against itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use serde::Deserialize;

use super::{Outcome, Refused};
use crate::admission::{Proven, ProvenPod};

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// The API server's clock may be behind by this much.
const LEEWAY: Duration = Duration::from_secs(60);

/// What a token claims. Nobody has verified it; it can only make a refusal sooner or clearer.
#[derive(Deserialize)]
pub(super) struct Claims {
    exp: Option<u64>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    pub(super) fn read(token: &str) -> Result<Self, Refused> {
        jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused(Outcome::Invalid, "it is no token of a service account"))
    }

    /// Spares the API server tokens that it would refuse.
    pub(super) fn check(&self, audiences: &[String]) -> Result<(), Refused> {
        let claimed = match &self.aud {
            None => return Ok(()),
            Some(Audience::One(one)) => std::slice::from_ref(one),
            Some(Audience::Many(many)) => many,
        };
        if !claimed.iter().any(|audience| audiences.contains(audience)) {
            let message = format!("it is for {}, not for {}", claimed.join(", "), audiences.join(", "));
            return Err(refused(Outcome::Audience, message));
        }
        match self.end() {
            Some(end) if SystemTime::now() >= end + LEEWAY => {
                Err(refused(Outcome::Expired, "it has expired"))
            }
            _ => Ok(()),
        }
    }

    /// How long it is still valid; without an end, for ever.
    pub(super) fn remaining(&self) -> Duration {
        let remaining = |end: SystemTime| end.duration_since(SystemTime::now()).unwrap_or_default();
        self.end().map_or(Duration::MAX, remaining)
    }

    fn end(&self) -> Option<SystemTime> {
        self.exp.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
    }
}

/// What the API server's answer proves.
pub(super) fn judge(
    status: TokenReviewStatus,
    claims: &Claims,
    audiences: &[String],
) -> Result<Proven, Refused> {
    if status.authenticated != Some(true) || status.error.as_deref().is_some_and(|error| !error.is_empty()) {
        let error = status.error.unwrap_or_else(|| "the API server does not know it".to_owned());
        return Err(refused(classify(&error, claims), error));
    }
    // A server that knows nothing of audiences accepts any, and returns none.
    let returned = status.audiences.unwrap_or_default();
    if !returned.iter().any(|audience| audiences.contains(audience)) {
        return Err(refused(Outcome::Audience, format!("it is not for {}", audiences.join(", "))));
    }
    let user = status.user.unwrap_or_default();
    let username = user.username.unwrap_or_default();
    let account = username.strip_prefix("system:serviceaccount:").and_then(|name| name.split_once(':'));
    let Some((namespace, service_account)) =
        account.filter(|(namespace, name)| is_name(namespace) && is_name(name))
    else {
        return Err(refused(Outcome::Invalid, format!("{username:?} is no service account")));
    };
    let extra = user.extra.unwrap_or_default();
    let only = |key: &str| match extra.get(key).map(Vec::as_slice) {
        None | Some([]) => Ok(None),
        Some([value]) if !value.is_empty() => Ok(Some(value.clone())),
        Some(_) => Err(refused(Outcome::Invalid, format!("the API server's {key} is not one value"))),
    };
    let pod = match (only(POD_NAME)?, only(POD_UID)?) {
        (Some(name), Some(uid)) => Some(ProvenPod { name, uid }),
        (None, None) => None,
        _ => return Err(refused(Outcome::Invalid, "the API server names its pod only in part")),
    };
    Ok(Proven { namespace: namespace.to_owned(), service_account: service_account.to_owned(), pod })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains([':', '/'])
}

/// The API server says why in words only; the token's own claims are surer.
fn classify(error: &str, claims: &Claims) -> Outcome {
    let error = error.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if claims.remaining().is_zero() || says(&["expired"]) {
        Outcome::Expired
    } else if says(&["audience"]) {
        Outcome::Audience
    } else if says(&["invalidated", "not found", "deleted", "has been removed"]) {
        Outcome::Revoked
    } else {
        Outcome::Invalid
    }
}

fn refused(outcome: Outcome, message: impl Into<String>) -> Refused {
    Refused { outcome, message: message.into() }
}

#[cfg(test)]
mod tests;
