//! Verification of servers by the names of hosts, and none at all where a policy says so.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

/// Wants a chain to a root, and one of the names in the certificate: the one asked for where there are none.
#[derive(Debug)]
pub(super) struct NameVerifier {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) names: Vec<Arc<str>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// The certificate is good, but not for any name that the policy lists.
#[derive(Debug, thiserror::Error)]
#[error("the server's certificate is for none of {0:?}, which subjectAltNames asks for")]
struct NotNamed(Vec<Arc<str>>);

impl NameVerifier {
    fn verify_name(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        asked: &ServerName<'_>,
    ) -> Result<(), Error> {
        if self.names.is_empty() {
            return verify_server_name(parsed, asked);
        }
        if self.names.iter().any(|name| is_for(end_entity, parsed, name)) {
            return Ok(());
        }
        let reason = OtherError(Arc::new(NotNamed(self.names.clone())));
        Err(Error::InvalidCertificate(CertificateError::Other(reason)))
    }
}

/// Whether a certificate is for a host, an IP address or a URI.
fn is_for(end_entity: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>, name: &str) -> bool {
    if name.contains("://") {
        let leaf = EndEntityCert::try_from(end_entity);
        return leaf.is_ok_and(|leaf| leaf.valid_uri_names().any(|uri| uri == name));
    }
    ServerName::try_from(name).is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
}

impl ServerCertVerifier for NameVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        self.verify_name(end_entity, &parsed, server_name)?;
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

/// Takes any certificate whose key the server has (`insecureSkipVerify`).
#[derive(Debug)]
pub(super) struct NoVerifier(pub(super) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
