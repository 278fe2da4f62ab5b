//! What authenticates and certifies on Kubernetes, put together: the authority, the reviewer of
//! tokens, and what the leader hands out so that others trust both.

use std::sync::Arc;

use kube::Client;
use mesh_identity::authority::Authority;
use tokio::sync::watch;

use super::authority::{AuthorityKeeper, AuthoritySettings};
use super::copies::{REVOCATION_LISTS, ROOTS, distribute};
use super::tokens::TokenReviewer;
use crate::ca::CurrentAuthority;
use crate::webhook::{ConfigurationSettings, keep_configuration};

/// What it is told.
#[derive(Clone, Debug)]
pub struct TrustSettings {
    /// Where the authority is.
    pub authority: AuthoritySettings,
    /// Whom tokens must be for (`TOKEN_AUDIENCES`).
    pub audiences: Vec<String>,
    /// The ValidatingWebhookConfiguration to keep, if any (`VALIDATION_WEBHOOK`).
    pub validation_webhook: Option<String>,
}

/// Authentication and certification, not running yet.
pub struct Trust {
    client: Client,
    keeper: AuthorityKeeper,
    tokens: TokenReviewer,
    webhook: Option<ConfigurationSettings>,
}

impl Trust {
    /// Finds or makes the authority.
    pub async fn open(client: Client, settings: TrustSettings) -> anyhow::Result<Self> {
        let keeper = AuthorityKeeper::open(client.clone(), &settings.authority).await?;
        let tokens = TokenReviewer::new(client.clone(), settings.audiences);
        let namespace = settings.authority.namespace;
        let webhook = settings.validation_webhook.map(|name| ConfigurationSettings { name, namespace });
        Ok(Trust { client, keeper, tokens, webhook })
    }

    /// The authority, as it is kept.
    pub fn authority(&self) -> CurrentAuthority {
        self.keeper.current()
    }

    /// Verifies callers.
    pub fn tokens(&self) -> TokenReviewer {
        self.tokens.clone()
    }

    /// Keeps everything in step, for ever; what is written is written by the leader.
    pub async fn run(self, leads: watch::Receiver<bool>) {
        let authority = self.keeper.current();
        let webhook = async {
            match self.webhook {
                Some(settings) => {
                    keep_configuration(self.client.clone(), settings, authority.clone(), leads.clone()).await;
                }
                None => std::future::pending().await,
            }
        };
        let root = |authority: &Arc<Authority>| Some(authority.root_pem().to_owned());
        let roots = distribute(self.client.clone(), ROOTS, authority.changes(), root, leads.clone());
        let revoked = self.keeper.revoked();
        let lists = distribute(self.client.clone(), REVOCATION_LISTS, revoked, Clone::clone, leads.clone());
        // None of them ends while the leader is elected; when one does, the rest is of no use.
        tokio::select! {
            () = webhook => {}
            () = roots => {}
            () = lists => {}
            () = self.keeper.run(leads.clone()) => {}
        }
    }
}
