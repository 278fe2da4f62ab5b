//! The controller's own certificate, signed by its own authority and renewed while it serves.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use mesh_identity::authority::Authority;
use mesh_identity::{Profile, provider};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

use crate::ca::CurrentAuthority;

const LIFETIME: Duration = Duration::from_hours(24);
/// Before trying again to renew.
const PAUSE: Duration = Duration::from_secs(60);

/// A certificate that stays valid.
pub struct ServingCertificate {
    authority: CurrentAuthority,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ServingCertificate {
    /// A certificate for these names and addresses.
    pub fn new(
        authority: CurrentAuthority,
        names: Vec<String>,
        addresses: Vec<IpAddr>,
    ) -> anyhow::Result<Self> {
        let current =
            sign(&authority.get(), &names, &addresses).context("cannot certify the controller itself")?;
        let current = Arc::new(Current(RwLock::new(current)));
        Ok(ServingCertificate { authority, names, addresses, current })
    }

    /// TLS for gRPC that presents it; what the latest is, is looked up for every connection.
    pub fn tls(&self) -> anyhow::Result<Arc<ServerConfig>> {
        self.tls_for(b"h2")
    }

    /// TLS for this protocol that presents it.
    pub fn tls_for(&self, protocol: &[u8]) -> anyhow::Result<Arc<ServerConfig>> {
        let profile = Profile { tls12: true, ..Profile::default() };
        let mut config = ServerConfig::builder_with_provider(provider(profile))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }

    /// Renews it at half its life and whenever the authority changes, for ever. Connections that are
    /// established keep what they were made with.
    pub async fn renew(self) {
        let mut pause = LIFETIME / 2;
        let mut changes = self.authority.changes();
        // What was exchanged between `new` and here counts as a change.
        changes.mark_changed();
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Not closed as long as `self.authority` lives.
                Ok(()) = changes.changed() => {}
            }
            pause = match sign(&self.authority.get(), &self.names, &self.addresses) {
                Ok(renewed) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                    info!("renewed the controller's own certificate");
                    LIFETIME / 2
                }
                Err(error) => {
                    warn!(
                        "cannot renew the controller's own certificate, trying again in {PAUSE:?}: {error:#}"
                    );
                    PAUSE
                }
            };
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn sign(authority: &Authority, names: &[String], addresses: &[IpAddr]) -> anyhow::Result<Arc<CertifiedKey>> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let signed = authority.sign_server(&names, addresses, LIFETIME)?;
    let chain = CertificateDer::pem_slice_iter(signed.chain_pem.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(signed.key_pem.as_bytes())?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider(Profile::default()))?))
}

#[cfg(test)]
mod tests;
