//! The certificate authority's one call (wire.md §4): certificates for proven identities only.

mod keep;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_identity::authority::{Authority, SignError};
use mesh_model::Identity;
use mesh_proto::istio::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use mesh_proto::istio::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::admission::{Proven, TokenAuthenticator, authenticate};
use crate::picture::Picture;

pub use keep::open;

/// No request is larger.
const MAX_REQUEST: usize = 256 << 10;
/// How long a pod that was just made may take to get here.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the service has done.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Certificates signed.
    pub signed: AtomicU64,
    /// Requests refused.
    pub refused: AtomicU64,
}

/// Signs certificates.
pub struct CertificateService {
    /// The signer.
    pub authority: Arc<Authority>,
    /// Verifies callers.
    pub authenticator: Arc<dyn TokenAuthenticator>,
    /// Which pods there are.
    pub picture: Arc<Picture>,
    /// Accounts (`namespace/name`) that may ask for the identities of pods on their node.
    pub node_accounts: Arc<BTreeSet<String>>,
    /// Counted here.
    pub statistics: Arc<Statistics>,
}

impl CertificateService {
    /// The service to add to a server.
    pub fn into_service(self) -> IstioCertificateServiceServer<Self> {
        IstioCertificateServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }

    async fn sign(&self, request: Request<IstioCertificateRequest>) -> Result<Vec<String>, Status> {
        let proven = authenticate(&*self.authenticator, request.metadata()).await?;
        let request = request.into_inner();
        let identity = self.identity(&proven, &request).await?;
        let chain = self.authority.sign(&request.csr, &identity, request.validity_duration);
        let chain = chain.map_err(|error| match error {
            SignError::Request(_) | SignError::Lifetime(_) => Status::invalid_argument(error.to_string()),
            SignError::Authority(_) => Status::unavailable(error.to_string()),
        })?;
        info!(%identity, caller = proven.account(), "signed a certificate");
        Ok(chain)
    }

    /// The identity to certify: the caller's own, or one it may ask for.
    async fn identity(&self, proven: &Proven, request: &IstioCertificateRequest) -> Result<Identity, Status> {
        let asked_for = request.metadata.as_ref().and_then(|it| it.fields.get("ImpersonatedIdentity"));
        let asked_for = match asked_for.and_then(|value| value.kind.as_ref()) {
            None | Some(Kind::NullValue(_)) => None,
            Some(Kind::StringValue(text)) => {
                let identity = text.parse::<Identity>();
                Some(identity.map_err(|error| Status::unauthenticated(error.to_string()))?)
            }
            Some(_) => return Err(Status::unauthenticated("ImpersonatedIdentity is not a text")),
        };
        let mut progress = self.picture.progress();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            progress.borrow_and_update();
            let refusal = match self.check(proven, asked_for.as_ref()) {
                Ok(identity) => return Ok(identity),
                Err(Refusal::Final(reason)) => return Err(Status::unauthenticated(reason)),
                Err(Refusal::Unknown(reason)) => reason,
            };
            let changed = tokio::time::timeout_at(deadline, progress.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return match self.picture.is_complete() {
                    true => Err(Status::unauthenticated(refusal)),
                    false => Err(Status::unavailable("the controller is still reading the objects")),
                };
            }
        }
    }

    /// The impersonation rule (wire.md §4.3), against the pods known now.
    fn check(&self, proven: &Proven, asked_for: Option<&Identity>) -> Result<Identity, Refusal> {
        let cluster = self.picture.read();
        let trust_domain = &cluster.settings().trust_domain;
        let own =
            Identity::new(trust_domain.clone(), proven.namespace.as_str(), proven.service_account.as_str());
        let wanted = asked_for.unwrap_or(&own);
        if wanted.trust_domain != *trust_domain {
            return Err(Refusal::Final(format!("{wanted} is not of trust domain {trust_domain:?}")));
        }
        let is_node_proxy = self.node_accounts.contains(&proven.account());
        if *wanted != own && !is_node_proxy {
            return Err(Refusal::Final(format!("{} may not ask for {wanted}", proven.account())));
        }
        if proven.pod.is_none() && *wanted == own {
            return Ok(own);
        }
        let Some((_, caller)) = proven.find_pod(&cluster) else {
            let pod = proven.pod.as_ref().map_or("none", |pod| &pod.name);
            return Err(Refusal::Unknown(format!("the token's pod ({pod}) does not run")));
        };
        if *wanted == own {
            return Ok(own);
        }
        let mut on_node = cluster.pods_on_node(&caller.node).filter(|_| !caller.node.is_empty());
        let runs_there = on_node.any(|(name, pod)| {
            !pod.finished
                && *name.namespace == *wanted.namespace
                && *pod.service_account == *wanted.service_account
        });
        match runs_there {
            true => Ok(wanted.clone()),
            false => Err(Refusal::Unknown(format!("no pod on node {:?} runs as {wanted}", caller.node))),
        }
    }
}

enum Refusal {
    /// Whatever happens.
    Final(String),
    /// As far as the pods are known.
    Unknown(String),
}

#[tonic::async_trait]
impl IstioCertificateService for CertificateService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        match self.sign(request).await {
            Ok(cert_chain) => {
                self.statistics.signed.fetch_add(1, Ordering::Relaxed);
                Ok(Response::new(IstioCertificateResponse { cert_chain }))
            }
            Err(status) => {
                self.statistics.refused.fetch_add(1, Ordering::Relaxed);
                warn!("refused to sign a certificate: {}", status.message());
                Err(status)
            }
        }
    }
}

#[cfg(test)]
mod tests;
