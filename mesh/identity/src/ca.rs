//! Asking a certificate authority: the call of wire.md §4.1 behind a trait, so
//! that a store does not care who signs.

use std::error::Error;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mesh_model::Identity;
use mesh_proto::istio::ca::IstioCertificateRequest;
use mesh_proto::istio::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::{Request, Status};

use crate::control_plane::{ControlPlane, explain};

/// A CA that does not answer must not hold one of the few places in line for ever.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a CA did not sign.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CaError {
    /// The call could not be made.
    #[error("cannot reach the certificate authority: {0}")]
    Unreachable(String),
    /// The CA answered no, or not in time.
    #[error("the certificate authority did not sign: {}", explain(.0))]
    Refused(Status),
}

/// Whoever signs certificates for identities.
pub trait CertificateAuthority: Send + Sync {
    /// Signs the request (PEM) for the identity. The answer is PEM: the leaf, one
    /// intermediate each, the root or roots last.
    fn sign<'a>(
        &'a self,
        identity: &'a Identity,
        csr_pem: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, CaError>>;
}

/// The CA of the control plane, asked for the caller itself or on behalf of the node's workloads.
pub struct CaClient {
    control_plane: ControlPlane,
    lifetime: Duration,
    own: Option<Identity>,
}

impl CaClient {
    /// A client that asks for certificates of this lifetime (`SECRET_TTL`).
    pub fn new(control_plane: ControlPlane, lifetime: Duration) -> Self {
        CaClient { control_plane, lifetime, own: None }
    }

    /// The identity that the caller's token proves. A certificate for it is asked for without
    /// impersonation, which a CA may refuse to all but node proxies even for their own name.
    #[must_use]
    pub fn with_own_identity(mut self, own: Identity) -> Self {
        self.own = Some(own);
        self
    }

    async fn call(&self, identity: &Identity, csr_pem: &str) -> Result<Vec<String>, CaError> {
        let channel =
            self.control_plane.channel().map_err(|error| CaError::Unreachable(error.to_string()))?;
        let request = Request::new(IstioCertificateRequest {
            csr: csr_pem.to_owned(),
            validity_duration: i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX),
            metadata: (self.own.as_ref() != Some(identity)).then(|| impersonation(identity)),
        });
        let mut client = IstioCertificateServiceClient::new(channel);
        match tokio::time::timeout(CALL_TIMEOUT, client.create_certificate(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().cert_chain),
            Ok(Err(status)) if status.source().is_some() => Err(CaError::Unreachable(explain(&status))),
            Ok(Err(status)) => Err(CaError::Refused(status)),
            Err(_) => Err(CaError::Refused(Status::deadline_exceeded(format!(
                "no answer within {} s",
                CALL_TIMEOUT.as_secs()
            )))),
        }
    }
}

impl CertificateAuthority for CaClient {
    fn sign<'a>(
        &'a self,
        identity: &'a Identity,
        csr_pem: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, CaError>> {
        self.call(identity, csr_pem).boxed()
    }
}

fn impersonation(identity: &Identity) -> Struct {
    let identity = Value { kind: Some(Kind::StringValue(identity.to_string())) };
    Struct { fields: [("ImpersonatedIdentity".to_owned(), identity)].into() }
}

#[cfg(test)]
mod tests;
