//! rustls configurations of the mesh (wire.md §3): both ends present a
//! certificate, names are SPIFFE identities, host names mean nothing.

mod verify;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use mesh_model::Identity;
use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::authority::ServerCertificate;
use crate::certificate::Certificate;
use crate::provider::{KEYS_MAY_LEAVE, Profile, provider};
use crate::revocation::PeerCheck;
use verify::{DestinationVerifier, SourceVerifier};

pub use verify::PeerError;
pub(crate) use verify::identity_of;

const ALPN_H2: &[u8] = b"h2";

/// The configuration of the end that accepts: it wants a certificate of its own trust domain (HB-21).
/// Its `enable_secret_extraction`, as that of [`client_config`], says whether records may be sealed outside of rustls.
pub fn server_config(certificate: &Certificate) -> Arc<ServerConfig> {
    Arc::clone(&certificate.server)
}

/// The configuration of the end that connects: the other must be one of `expected` (HB-20).
pub fn client_config(certificate: &Certificate, expected: &[Identity]) -> Arc<ClientConfig> {
    let mut config = certificate.client.clone();
    let verifier = DestinationVerifier::new(&certificate.trusted, certificate.profile, expected)
        .checked_by(certificate.check.clone());
    config.dangerous().set_certificate_verifier(Arc::new(verifier));
    Arc::new(config)
}

/// Whether the keys of such connections can be had, for records of our own
/// (`mesh-record`): of TLS 1.3 only, and not from BoringSSL.
pub fn gives_keys(certificate: &Certificate) -> bool {
    KEYS_MAY_LEAVE && certificate.profile.versions() == [&rustls::version::TLS13]
}

/// What rustls wants to be told as the server's name; it is neither sent nor checked.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into())
}

/// The identity in the certificate a peer presented. Only meaningful after a handshake that verified it.
pub fn peer_identity(certificates: Option<&[CertificateDer<'_>]>) -> Result<Identity, PeerError> {
    let leaf = certificates.and_then(<[_]>::first).ok_or(PeerError::NoCertificate)?;
    identity_of(leaf)
}

/// Why we did not accept the peer, if that is why a handshake failed.
pub fn find_refusal(failure: &io::Error) -> Option<PeerError> {
    match failure.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => {
            reason.downcast_ref().cloned()
        }
        _ => None,
    }
}

/// The configuration of the control plane's own server: any client may come;
/// one that presents a certificate must have it from our roots (wire.md §4.3).
pub fn control_plane_config(certificate: &ServerCertificate) -> Result<Arc<ServerConfig>, rustls::Error> {
    let malformed = |error: pem::Error| rustls::Error::General(error.to_string());
    let read = |text: &str| CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = read(&certificate.chain_pem).map_err(malformed)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).map_err(malformed)?;
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(read(&certificate.root_pem).map_err(malformed)?);
    let provider = provider(Profile::default());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(format!("no usable root certificate: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Ok(Arc::new(config))
}

pub(crate) fn build_server(
    own: &Identity,
    key: &Arc<CertifiedKey>,
    trusted: &Arc<RootCertStore>,
    profile: Profile,
    check: Option<PeerCheck>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = SourceVerifier::new(trusted, profile, &own.trust_domain)?.checked_by(check);
    let mut config = ServerConfig::builder_with_provider(provider(profile))
        .with_protocol_versions(profile.versions())?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(key))));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // A resumed session would skip the check of a certificate that may have been replaced or revoked.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = KEYS_MAY_LEAVE;
    Ok(config)
}

pub(crate) fn build_client(
    key: &Arc<CertifiedKey>,
    trusted: &Arc<RootCertStore>,
    profile: Profile,
) -> Result<ClientConfig, rustls::Error> {
    let nobody = DestinationVerifier::new(trusted, profile, &[]);
    let mut config = ClientConfig::builder_with_provider(provider(profile))
        .with_protocol_versions(profile.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(nobody))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(key))));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_secret_extraction = KEYS_MAY_LEAVE;
    Ok(config)
}

#[cfg(test)]
mod tests;
