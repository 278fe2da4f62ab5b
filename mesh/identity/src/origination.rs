//! TLS towards backends that are known by the names of hosts, not by identities of the mesh (L7-18):
//! what a service's policy says of it, made ready and kept until one of its files changes.

mod material;
mod verify;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_model::UpstreamTls;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::provider::Profile;
use material::Stamp;

/// A connection inside which TLS is spoken.
pub type Secured<S> = tokio_rustls::client::TlsStream<S>;

/// Why there is no TLS connection; whoever wants one can do nothing but tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS_error: {0}")]
pub struct OriginationError(String);

/// TLS towards the backends that one policy speaks for.
#[derive(Debug)]
pub struct Origination {
    policy: UpstreamTls,
    profile: Profile,
    built: Mutex<Option<Built>>,
}

#[derive(Clone, Debug)]
struct Built {
    config: Arc<ClientConfig>,
    /// The files as they were when last looked at.
    files: Vec<Stamp>,
}

impl Origination {
    /// Nothing is read before the first connection. Whatever the mesh itself does, servers may speak TLS 1.2,
    /// except where post-quantum keys are a must (EG-20).
    pub fn new(policy: UpstreamTls, profile: Profile) -> Self {
        Origination { policy, profile: Profile { tls12: true, ..profile }, built: Mutex::default() }
    }

    /// What the policy says.
    pub fn policy(&self) -> &UpstreamTls {
        &self.policy
    }

    /// The name that a server is asked for, where a request is for `host` (without a port).
    pub fn server_name<'h>(&'h self, host: &'h str) -> &'h str {
        self.policy.sni.as_deref().unwrap_or(host)
    }

    /// Makes a connection secure: `protocol` is what will be spoken in it, if that has a name (ALPN), and
    /// `patience` bounds the handshake.
    pub async fn connect<S>(
        &self,
        stream: S,
        host: &str,
        protocol: Option<&[u8]>,
        patience: Duration,
    ) -> Result<Secured<S>, OriginationError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.server_name(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            OriginationError(format!("{name:?} is no name to ask a server for; set sni in the policy"))
        })?;
        let config = self.fetch_config().await.map_err(OriginationError)?;
        let protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        let connector = TlsConnector::from(config);
        let handshake = connector.with_alpn(protocols).connect(name, stream);
        match tokio::time::timeout(patience, handshake).await {
            Ok(secured) => secured.map_err(|error| OriginationError(reason_of(&error))),
            Err(_) => {
                Err(OriginationError(format!("the handshake did not end within {} s", patience.as_secs())))
            }
        }
    }

    /// The configuration with what the files hold now.
    async fn fetch_config(&self) -> Result<Arc<ClientConfig>, String> {
        let files = material::stamps(&self.policy);
        let known = self.lock().clone();
        if let Some(built) = known.as_ref().filter(|built| built.files == files) {
            return Ok(built.config.clone());
        }
        let (policy, profile) = (self.policy.clone(), self.profile);
        let building = tokio::task::spawn_blocking(move || material::build(&policy, profile));
        let built = building.await.map_err(|error| error.to_string()).and_then(|built| built);
        let config = match (built, known) {
            (Ok(config), _) => config,
            (Err(reason), Some(before)) => {
                tracing::warn!(reason, "TLS towards a backend goes on with the files from before");
                before.config
            }
            (Err(reason), None) => return Err(reason),
        };
        *self.lock() = Some(Built { config: config.clone(), files });
        Ok(config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Built>> {
        // What is in it is replaced as a whole.
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rustls error without what an I/O error puts around it.
fn reason_of(error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) => inner.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
