//! The authority on Kubernetes: files that an operator plugs in (`cacerts`), or else a root of our own
//! in a Secret that all replicas share. Followed while the controller runs. Which of the two it is, is
//! decided at the start: changing roots by accident would part the mesh.

mod plugged;
mod secret;

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::ca::CurrentAuthority;
use plugged::PluggedIn;
use secret::CaSecret;

/// Where the authority is to be found.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// Files of an operator, if any are there (`CA_DIRECTORY`).
    pub directory: PathBuf,
    /// The system namespace, where the Secret is.
    pub namespace: String,
    /// What a new root is made for.
    pub trust_domain: String,
}

/// Keeps the authority in step with where it comes from.
pub struct AuthorityKeeper {
    current: CurrentAuthority,
    revoked: watch::Sender<Option<String>>,
    origin: Origin,
}

enum Origin {
    PluggedIn(PluggedIn),
    Secret(CaSecret),
}

impl AuthorityKeeper {
    /// Finds or makes the authority. An authority that is there but of no use is an error, never
    /// replaced; an API server that does not answer is waited for.
    pub async fn open(client: Client, settings: &AuthoritySettings) -> anyhow::Result<Self> {
        if let Some((files, authority)) = PluggedIn::open(&settings.directory)? {
            info!("using the certificate authority in {}", settings.directory.display());
            let current = CurrentAuthority::new(authority);
            let revoked = watch::Sender::new(files.revocation_lists());
            return Ok(AuthorityKeeper { current, revoked, origin: Origin::PluggedIn(files) });
        }
        let (secret, authority) = CaSecret::open(client, &settings.namespace, &settings.trust_domain).await?;
        let (current, revoked) = (CurrentAuthority::new(authority), watch::Sender::default());
        Ok(AuthorityKeeper { current, revoked, origin: Origin::Secret(secret) })
    }

    /// The authority, as it is kept.
    pub fn current(&self) -> CurrentAuthority {
        self.current.clone()
    }

    /// The lists of what was revoked, as they are kept; none where nobody has plugged in any.
    pub fn revoked(&self) -> watch::Receiver<Option<String>> {
        self.revoked.subscribe()
    }

    /// Follows changes, for ever. The leader also renews a root of our own.
    pub async fn run(mut self, leader: watch::Receiver<bool>) {
        let mut said = None;
        loop {
            tokio::time::sleep(self.origin.pause()).await;
            let is_leader = *leader.borrow();
            let followed = self.follow(is_leader).await;
            // The same trouble is told once, not at every look.
            let trouble = followed.err().map(|error| format!("{error:#}"));
            if let Some(trouble) = trouble.as_ref().filter(|_| trouble != said) {
                warn!("the certificate authority stays as it was: {trouble}");
            }
            said = trouble;
        }
    }

    async fn follow(&mut self, is_leader: bool) -> anyhow::Result<()> {
        match &mut self.origin {
            Origin::PluggedIn(files) => files.follow(&self.current, &self.revoked),
            Origin::Secret(secret) => secret.follow(&self.current, is_leader).await,
        }
    }
}

impl Origin {
    fn pause(&self) -> Duration {
        match self {
            Origin::PluggedIn(_) => Duration::from_secs(5),
            // Replicas that started together do not ask together for ever.
            Origin::Secret(_) => Duration::from_millis(rand::random_range(20_000..40_000)),
        }
    }
}

#[cfg(test)]
mod tests;
