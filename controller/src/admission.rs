//! Who is calling: tokens to identities, identities to what they may see.

mod gate;
mod jwt;

use controller_translate::{Cluster, Name};
use thiserror::Error;
use tonic::Status;
use tonic::metadata::MetadataMap;

pub use gate::Gate;
pub use jwt::{JwtAuthenticator, JwtSettings};

/// No token is longer.
const MAX_TOKEN: usize = 16 << 10;

/// What a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The service account's namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The pod the token was made for, if for one.
    pub pod: Option<ProvenPod>,
}

/// A pod that a token was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenPod {
    /// Its name, in the service account's namespace.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Why a token proves nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It is not valid, and will not become so.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// It could not be verified now.
    #[error("the token cannot be verified now: {0}")]
    Unavailable(String),
}

/// Verifies tokens.
#[tonic::async_trait]
pub trait TokenAuthenticator: Send + Sync + 'static {
    /// What the token proves.
    async fn authenticate(&self, token: &str) -> Result<Proven, TokenError>;
}

/// What the token in a call's metadata proves.
pub async fn authenticate(
    authenticator: &dyn TokenAuthenticator,
    metadata: &MetadataMap,
) -> Result<Proven, Status> {
    let value = metadata.get("authorization").and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    let Some(token) = token.filter(|token| token.len() <= MAX_TOKEN) else {
        return Err(Status::unauthenticated("no bearer token, or one that is too long, in authorization"));
    };
    authenticator.authenticate(token).await.map_err(|error| match error {
        TokenError::Invalid(_) => Status::unauthenticated(error.to_string()),
        TokenError::Unavailable(_) => Status::unavailable(error.to_string()),
    })
}

impl Proven {
    /// `namespace/service account`.
    pub fn account(&self) -> String {
        format!("{}/{}", self.namespace, self.service_account)
    }

    /// The pod it was made for, if that pod is there, is the same and still runs.
    pub fn find_pod<'a>(
        &self,
        cluster: &'a Cluster,
    ) -> Option<(Name, &'a controller_translate::cluster::Pod)> {
        let proven = self.pod.as_ref()?;
        let name = Name::new(self.namespace.as_str(), proven.name.as_str());
        let pod = cluster.find_pod(&name)?;
        let is_same = *pod.uid == *proven.uid && *pod.service_account == *self.service_account;
        (is_same && !pod.uid.is_empty() && !pod.finished).then_some((name, pod))
    }
}
