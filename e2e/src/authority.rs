//! Calls of the certificate authority with any token and for any identity, as an attacker would make them.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use mesh_identity::key::KeyRequest;
use mesh_identity::{
    CaClient, CaError, Certificate, CertificateAuthority, ControlPlane, ControlPlaneSettings, Profile,
    RootSource, TokenSource,
};
use mesh_model::Identity;

use crate::{Cluster, Forward, SYSTEM};

/// The controller's port for gRPC.
const PORT: u16 = 15012;
const LIFETIME: Duration = Duration::from_hours(1);

/// Somebody with a token, before the certificate authority of one controller.
pub struct Caller {
    forward: Forward,
    root: String,
    token: String,
}

impl Caller {
    /// Before this controller, with this token.
    pub async fn new(cluster: &Cluster, controller: &str, token: &str) -> Result<Self> {
        let roots: Api<ConfigMap> = Api::namespaced(cluster.client(), SYSTEM);
        let root = roots.get("istio-ca-root-cert").await?.data.and_then(|mut it| it.remove("root-cert.pem"));
        let forward = cluster.forward(SYSTEM, controller, PORT).await?;
        Ok(Caller { forward, root: root.context("no root certificate")?, token: token.to_owned() })
    }

    /// Asks for a certificate of an identity. The inner result is the authority's answer: the identity of the
    /// certificate, which is verified against the mesh's root, or the status of the refusal.
    pub async fn ask(&self, identity: &str) -> Result<Result<String, tonic::Code>> {
        let control_plane = ControlPlane::new(ControlPlaneSettings {
            address: format!("https://localhost:{}", self.forward.port()),
            root: RootSource::Inline(self.root.clone()),
            token: TokenSource::Literal(self.token.clone()),
            cluster_id: "Kubernetes".to_owned(),
            verified_name: None,
            headers: Vec::new(),
        })?;
        let identity: Identity = identity.parse().context("not an identity")?;
        let request = KeyRequest::generate(&identity)?;
        let answer = CaClient::new(control_plane, LIFETIME).sign(&identity, request.csr_pem()).await;
        match answer {
            Ok(chain) => {
                let certificate = Certificate::from_chain(&identity, &chain, request, Profile::default())?;
                Ok(Ok(certificate.identity().to_string()))
            }
            Err(CaError::Refused(status)) => Ok(Err(status.code())),
            Err(error) => Err(error.into()),
        }
    }
}

impl Cluster {
    /// A token of a service account, made for a pod of its namespace.
    pub async fn token(&self, namespace: &str, account: &str, pod: &str, audience: &str) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.client(), namespace);
        let uid = pods.get(pod).await?.metadata.uid;
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_owned()),
            uid,
        };
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            bound_object_ref: Some(bound),
            expiration_seconds: Some(600),
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(answer.status.context("no token")?.token)
    }
}
