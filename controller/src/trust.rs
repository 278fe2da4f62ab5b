//! Who certifies and who is believed, as the configuration says: files on this machine, or Kubernetes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::admission::{JwtAuthenticator, JwtSettings, TokenAuthenticator};
use crate::background::Background;
use crate::ca::{self, CurrentAuthority};
use crate::config::{Config, ObjectSource};
use crate::kubernetes::authority::AuthoritySettings;
use crate::kubernetes::tokens::TokenStatistics;
use crate::kubernetes::trust;
use crate::origin::InCluster;

/// What the parts that serve proxies need.
pub(crate) struct Trust {
    pub(crate) authority: CurrentAuthority,
    pub(crate) authenticator: Arc<dyn TokenAuthenticator>,
    /// What became of tokens, where it is counted.
    pub(crate) tokens: Option<Arc<TokenStatistics>>,
}

impl Trust {
    pub(crate) async fn open(
        config: &Config,
        cluster: Option<&InCluster>,
        background: &mut Background,
    ) -> anyhow::Result<Self> {
        let source = match &config.objects {
            ObjectSource::Directory(source) => {
                let authority = CurrentAuthority::new(ca::open(&config.ca, &config.mesh.trust_domain)?);
                let authenticator = by_key(&source.token_key, &source.tokens)?;
                return Ok(Trust { authority, authenticator, tokens: None });
            }
            ObjectSource::Kubernetes(source) => source,
        };
        let Some(InCluster { client, leads, .. }) = cluster else { bail!("there is no cluster to trust") };
        let settings = trust::TrustSettings {
            authority: AuthoritySettings {
                directory: config.ca.clone(),
                namespace: source.namespace.clone(),
                trust_domain: config.mesh.trust_domain.to_string(),
            },
            audiences: source.audiences.clone(),
            validation_webhook: source.validation_webhook.clone(),
        };
        let trust = trust::Trust::open(client.clone(), settings).await?;
        let (authority, tokens) = (trust.authority(), trust.tokens());
        background.add("the keeping of the authority", trust.run(leads.clone()));
        Ok(Trust { authority, tokens: Some(tokens.statistics()), authenticator: Arc::new(tokens) })
    }
}

fn by_key(key: &Path, tokens: &JwtSettings) -> anyhow::Result<Arc<dyn TokenAuthenticator>> {
    let path = key.display();
    let key = fs::read(key).with_context(|| format!("cannot read the token key {path}"))?;
    let authenticator = JwtAuthenticator::new(&key, tokens);
    Ok(Arc::new(authenticator.with_context(|| format!("cannot use the token key {path}"))?))
}
