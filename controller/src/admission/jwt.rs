//! Tokens as Kubernetes makes them, verified by their issuer's public key.

use anyhow::Context;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::{Proven, ProvenPod, TokenAuthenticator, TokenError};

/// Which tokens are valid.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// Who has to have made them.
    pub issuer: String,
    /// For whom.
    pub audience: String,
}

impl Default for JwtSettings {
    fn default() -> Self {
        JwtSettings {
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            audience: "istio-ca".to_owned(),
        }
    }
}

/// Verifies tokens signed with ES256.
pub struct JwtAuthenticator {
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Account,
    pod: Option<Pod>,
}

#[derive(Deserialize)]
struct Account {
    name: String,
}

#[derive(Deserialize)]
struct Pod {
    name: String,
    uid: String,
}

impl JwtAuthenticator {
    /// Accepts what the owner of this public key (PEM) has signed.
    pub fn new(public_key_pem: &[u8], settings: &JwtSettings) -> anyhow::Result<Self> {
        let key = DecodingKey::from_ec_pem(public_key_pem).context("not the PEM of a public EC key")?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.validate_nbf = true;
        validation.leeway = 10;
        Ok(JwtAuthenticator { key, validation })
    }

    fn verify(&self, token: &str) -> Result<Proven, TokenError> {
        let claims = decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|error| TokenError::Invalid(error.to_string()))?
            .claims;
        let Kubernetes { namespace, serviceaccount: Account { name }, pod } = claims.kubernetes;
        if claims.sub != format!("system:serviceaccount:{namespace}:{name}") {
            return Err(TokenError::Invalid("its subject is not its service account".to_owned()));
        }
        let pod = pod.map(|Pod { name, uid }| ProvenPod { name, uid });
        Ok(Proven { namespace, service_account: name, pod })
    }
}

#[tonic::async_trait]
impl TokenAuthenticator for JwtAuthenticator {
    async fn authenticate(&self, token: &str) -> Result<Proven, TokenError> {
        self.verify(token)
    }
}

#[cfg(test)]
mod tests;
