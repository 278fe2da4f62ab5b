//! The certificate authority's one call (wire.md §4): certificates for proven identities only.

mod current;
mod keep;
pub mod plugged;
mod refusal;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_identity::authority::SignError;
use mesh_model::Identity;
use mesh_proto::istio::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use mesh_proto::istio::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use tonic::{Code, Request, Response, Status};
use tracing::{info, warn};

use crate::admission::{Proven, TokenAuthenticator, authenticate};
use crate::picture::Picture;

pub use current::CurrentAuthority;
pub(crate) use keep::LIFETIME;
pub use keep::open;
use refusal::Refusal;
pub use refusal::{Reason, Statistics};

/// No request is larger.
const MAX_REQUEST: usize = 256 << 10;
/// How long a pod that was just made may take to get here.
const PATIENCE: Duration = Duration::from_secs(2);

/// Signs certificates.
pub struct CertificateService {
    /// The signer.
    pub authority: CurrentAuthority,
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

    async fn sign(&self, request: Request<IstioCertificateRequest>) -> Result<Vec<String>, Refusal> {
        let proven = authenticate(&*self.authenticator, request.metadata()).await;
        let proven = proven.map_err(|status| match status.code() {
            Code::Unavailable => Refusal::unavailable(status.message()),
            _ => Refusal { reason: Reason::Token, status },
        })?;
        let request = request.into_inner();
        let identity = self.identity(&proven, &request).await?;
        let chain = self.authority.get().sign(&request.csr, &identity, request.validity_duration);
        let chain = chain.map_err(|error| match error {
            SignError::Request(_) | SignError::Lifetime(_) => {
                Refusal { reason: Reason::Request, status: Status::invalid_argument(error.to_string()) }
            }
            SignError::Authority(_) => Refusal::unavailable(error.to_string()),
        })?;
        info!(%identity, caller = proven.account(), "signed a certificate");
        Ok(chain)
    }

    /// The identity to certify: the caller's own, or one it may ask for. What is not known may be on
    /// its way here, so that is waited for; it is never taken for granted.
    async fn identity(
        &self,
        proven: &Proven,
        request: &IstioCertificateRequest,
    ) -> Result<Identity, Refusal> {
        let asked_for = asked_for(request)?;
        let mut progress = self.picture.progress();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            progress.borrow_and_update();
            let refusal = match self.check(proven, asked_for.as_ref()) {
                Ok(identity) => return Ok(identity),
                Err(refusal) if refusal.may_pass() => refusal,
                Err(refusal) => return Err(refusal),
            };
            let changed = tokio::time::timeout_at(deadline, progress.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Err(match self.picture.is_complete() {
                    true => refusal,
                    false => Refusal::unavailable("the controller is still reading the objects"),
                });
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
            let message = format!("{wanted} is not of trust domain {trust_domain:?}");
            return Err(Refusal::unauthenticated(Reason::TrustDomain, message));
        }
        let is_node_proxy = self.node_accounts.contains(&proven.account());
        if *wanted != own && !is_node_proxy {
            let message = format!("{} may not ask for {wanted}", proven.account());
            return Err(Refusal::unauthenticated(Reason::Impersonation, message));
        }
        if proven.pod.is_none() && *wanted == own {
            return Ok(own);
        }
        let Some((_, caller)) = proven.find_pod(&cluster) else {
            let pod = proven.pod.as_ref().map_or("none", |pod| &pod.name);
            let message = format!("the token's pod ({pod}) does not run");
            return Err(Refusal::unauthenticated(Reason::UnknownCaller, message));
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
        if !runs_there {
            let message = format!("no pod on node {:?} runs as {wanted}", caller.node);
            return Err(Refusal::unauthenticated(Reason::NotOnNode, message));
        }
        Ok(wanted.clone())
    }
}

pub(crate) fn asked_for(request: &IstioCertificateRequest) -> Result<Option<Identity>, Refusal> {
    let value = request.metadata.as_ref().and_then(|it| it.fields.get("ImpersonatedIdentity"));
    let refuse = |message: String| Err(Refusal::unauthenticated(Reason::Identity, message));
    match value.and_then(|value| value.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => Ok(None),
        Some(Kind::StringValue(text)) => match text.parse::<Identity>() {
            Ok(identity) => Ok(Some(identity)),
            Err(error) => refuse(error.to_string()),
        },
        Some(_) => refuse("ImpersonatedIdentity is not a text".to_owned()),
    }
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
            Err(Refusal { reason, status }) => {
                self.statistics.refuse(reason);
                warn!(reason = reason.as_str(), "refused to sign a certificate: {}", status.message());
                Err(status)
            }
        }
    }
}

#[cfg(test)]
mod tests;
