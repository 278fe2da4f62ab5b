//! Verification of peers: a chain to a trusted root, then the SPIFFE identity.

use std::sync::Arc;

use mesh_model::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::provider::{Profile, provider};
use crate::revocation::{PeerCheck, Presented};

/// Why a peer's certificate, though signed by a trusted root, is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It presented none.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// The certificate cannot be read.
    #[error("the peer's certificate cannot be read: {0}")]
    Unreadable(String),
    /// It holds no SPIFFE identity of a workload.
    #[error("the peer's certificate names no workload identity")]
    NoIdentity,
    /// It holds several of them, so that nobody can say which one the peer is.
    #[error("the peer's certificate names {first} and {second}; a workload has one identity")]
    SeveralIdentities {
        /// One of them.
        first: Identity,
        /// Another.
        second: Identity,
    },
    /// It is of another trust domain.
    #[error("the peer is {found}, which is not in trust domain {expected}")]
    ForeignTrustDomain {
        /// Our own.
        expected: Arc<str>,
        /// The peer.
        found: Identity,
    },
    /// It is not whom the connection is for.
    #[error("the peer is {found}; expected {}", list(expected))]
    OtherIdentity {
        /// Who was accepted.
        expected: Vec<Identity>,
        /// The peer.
        found: Identity,
    },
    /// Its certificate, or one that vouches for it, was taken back (ID-14, ID-15).
    #[error("the certificate of {found} is revoked: serial number {serial} is on a revocation list")]
    Revoked {
        /// The peer.
        found: Identity,
        /// The revoked certificate's serial number, hexadecimal.
        serial: String,
    },
}

fn list(identities: &[Identity]) -> String {
    let names: Vec<_> = identities.iter().map(Identity::to_string).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(" or ") }
}

impl From<PeerError> for Error {
    fn from(error: PeerError) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// The one workload identity among the certificate's URI names.
pub(crate) fn identity_of(leaf: &CertificateDer<'_>) -> Result<Identity, PeerError> {
    let parsed = EndEntityCert::try_from(leaf).map_err(|error| PeerError::Unreadable(error.to_string()))?;
    let mut found = parsed.valid_uri_names().filter_map(|name| name.parse().ok());
    let first: Identity = found.next().ok_or(PeerError::NoIdentity)?;
    match found.find(|other| *other != first) {
        Some(second) => Err(PeerError::SeveralIdentities { first, second }),
        None => Ok(first),
    }
}

/// Verifies who connects to us.
#[derive(Debug)]
pub(crate) struct SourceVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    trusted: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    trust_domain: Arc<str>,
    check: Option<PeerCheck>,
}

impl SourceVerifier {
    pub(crate) fn new(
        trusted: &Arc<RootCertStore>,
        profile: Profile,
        trust_domain: &Arc<str>,
    ) -> Result<Self, Error> {
        let provider = provider(profile);
        let algorithms = provider.signature_verification_algorithms;
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::clone(trusted), provider)
            // Every peer has exactly one certificate, so hints would only cost bytes.
            .clear_root_hint_subjects()
            .build()
            .map_err(|error| Error::General(format!("no usable root certificate: {error}")))?;
        let (trusted, trust_domain) = (Arc::clone(trusted), Arc::clone(trust_domain));
        Ok(SourceVerifier { chain, trusted, algorithms, trust_domain, check: None })
    }

    pub(crate) fn checked_by(self, check: Option<PeerCheck>) -> Self {
        SourceVerifier { check, ..self }
    }
}

impl ClientCertVerifier for SourceVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let found = identity_of(end_entity)?;
        if found.trust_domain != self.trust_domain {
            return Err(
                PeerError::ForeignTrustDomain { expected: Arc::clone(&self.trust_domain), found }.into()
            );
        }
        if let Some(check) = &self.check {
            check.judge(&Presented {
                end_entity,
                intermediates,
                trusted: &self.trusted,
                algorithms: self.algorithms,
                now,
                usage: KeyUsage::client_auth(),
            })?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Verifies whom we connect to.
#[derive(Debug)]
pub(crate) struct DestinationVerifier {
    trusted: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    expected: Vec<Identity>,
    check: Option<PeerCheck>,
}

impl DestinationVerifier {
    pub(crate) fn new(trusted: &Arc<RootCertStore>, profile: Profile, expected: &[Identity]) -> Self {
        DestinationVerifier {
            trusted: Arc::clone(trusted),
            algorithms: provider(profile).signature_verification_algorithms,
            expected: expected.to_vec(),
            check: None,
        }
    }

    pub(crate) fn checked_by(self, check: Option<PeerCheck>) -> Self {
        DestinationVerifier { check, ..self }
    }
}

impl ServerCertVerifier for DestinationVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.trusted,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let found = identity_of(end_entity)?;
        if !self.expected.contains(&found) {
            let expected = self.expected.clone();
            return Err(PeerError::OtherIdentity { expected, found }.into());
        }
        if let Some(check) = &self.check {
            check.judge(&Presented {
                end_entity,
                intermediates,
                trusted: &self.trusted,
                algorithms: self.algorithms,
                now,
                usage: KeyUsage::server_auth(),
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
