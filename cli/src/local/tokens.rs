//! Service account tokens, as the API server of a cluster issues them: with one a proxy proves to the
//! controller which pod it is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::Serialize;
use serde_json::{Value, json};

use super::files::write_atomically;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "istio-ca";
/// How long a token is good for.
const LIFETIME: Duration = Duration::from_secs(3600);
/// After this a token is written anew.
pub(super) const RENEWAL: Duration = Duration::from_secs(1800);

/// Who a token speaks for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Bearer {
    pub(super) namespace: String,
    pub(super) service_account: String,
    pub(super) pod: String,
    pub(super) pod_uid: String,
    pub(super) node: String,
}

/// Signs tokens. Its key never leaves this process.
pub(super) struct Issuer {
    key: EncodingKey,
    public_key: String,
}

impl Issuer {
    /// An issuer with a new key.
    pub(super) fn new() -> Result<Self> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("making the key of the tokens")?;
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?;
        Ok(Issuer { key, public_key: pair.public_key_pem() })
    }

    /// What verifies the tokens, as PEM.
    pub(super) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Writes a new token for `bearer`, readable by root alone.
    pub(super) fn write(&self, bearer: &Bearer, path: &Path) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims(bearer, now), &self.key)?;
        write_atomically(path, token)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(())
    }
}

fn claims(bearer: &Bearer, now: Duration) -> Value {
    let Bearer { namespace, service_account, pod, pod_uid, node } = bearer;
    json!({
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
        "iat": now.as_secs(),
        "nbf": now.as_secs(),
        "exp": (now + LIFETIME).as_secs(),
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": { "name": service_account },
            "pod": { "name": pod, "uid": pod_uid },
            "node": { "name": node },
        },
    })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    fn bearer() -> Bearer {
        let text = str::to_owned;
        Bearer {
            namespace: text("istio-system"),
            service_account: text("ztunnel"),
            pod: text("ztunnel-node-1"),
            pod_uid: text("u-1"),
            node: text("node-1"),
        }
    }

    #[test]
    fn a_token_verifies_and_names_its_pod() {
        let issuer = Issuer::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("u-1");
        issuer.write(&bearer(), &path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        let key = DecodingKey::from_ec_pem(issuer.public_key().as_bytes()).unwrap();
        let token = std::fs::read_to_string(&path).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(claims["sub"], "system:serviceaccount:istio-system:ztunnel");
        assert_eq!(claims["kubernetes.io"]["pod"], json!({ "name": "ztunnel-node-1", "uid": "u-1" }));
    }

    #[test]
    fn a_token_lives_an_hour_and_is_renewed_before() {
        let claims = claims(&bearer(), Duration::from_secs(1000));
        assert_eq!((&claims["iat"], &claims["exp"]), (&1000.into(), &4600.into()));
        assert!(RENEWAL * 2 <= LIFETIME);
    }
}
