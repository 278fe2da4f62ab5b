//! An authority from existing files, refused unless what it signs will be accepted.

use std::time::SystemTime;

use mesh_model::Identity;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Authority, InvalidAuthority, invalid};
use crate::key::KeyRequest;
use crate::pem::encode_certificate;
use crate::provider::{Profile, provider};

/// The files of a plugged-in authority (wire.md §4.3), by their usual names.
pub struct AuthorityPem<'a> {
    /// `ca-cert.pem`: the signing certificate.
    pub certificate: &'a str,
    /// `ca-key.pem`: its key; PKCS#8, SEC1 or PKCS#1.
    pub key: &'a str,
    /// `cert-chain.pem`: what leads from the signing certificate to the root; may be empty.
    pub chain: &'a str,
    /// `root-cert.pem`: the roots to trust.
    pub root: &'a str,
}

impl Authority {
    /// An authority that already has its key. Fails unless key, certificate,
    /// chain and root fit together, which a certificate signed on trial shows.
    pub fn load(files: &AuthorityPem<'_>) -> Result<Self, InvalidAuthority> {
        let own = read_certificates("ca-cert.pem", files.certificate)?;
        let own = own.first().ok_or_else(|| invalid("ca-cert.pem holds no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes())
            .map_err(|error| invalid(format!("ca-key.pem holds no private key: {error}")))?;
        let key = KeyPair::try_from(&key).map_err(|error| invalid(format!("ca-key.pem: {error}")))?;
        let (not_before, not_after) = check_signer(own, &key)?;
        let roots = read_certificates("root-cert.pem", files.root)?;
        if roots.is_empty() {
            return Err(invalid("root-cert.pem holds no certificate"));
        }
        let mut intermediates = read_certificates("cert-chain.pem", files.chain)?;
        intermediates.retain(|certificate| certificate != own && !roots.contains(certificate));
        if !roots.contains(own) {
            intermediates.insert(0, own.clone());
        }
        let authority = Authority {
            issuer: Issuer::from_ca_cert_der(own, key)
                .map_err(|error| invalid(format!("ca-cert.pem: {error}")))?,
            certificate_pem: encode_certificate(own),
            intermediates: intermediates.iter().map(|der| encode_certificate(der)).collect(),
            root_pem: roots.iter().map(|der| encode_certificate(der)).collect(),
            not_before,
            not_after,
        };
        authority.try_out(&intermediates, roots)?;
        Ok(authority)
    }

    pub(super) fn try_out(
        &self,
        intermediates: &[CertificateDer<'_>],
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<(), InvalidAuthority> {
        let identity = Identity::new("trial", "trial", "trial");
        let request = KeyRequest::generate(&identity).map_err(invalid)?;
        let chain = self.sign(request.csr_pem(), &identity, 0).map_err(invalid)?;
        let leaf = CertificateDer::from_pem_slice(chain.concat().as_bytes()).map_err(invalid)?;
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(roots);
        let provider = provider(Profile::default());
        ParsedCertificate::try_from(&leaf)
            .and_then(|leaf| {
                let algorithms = provider.signature_verification_algorithms.all;
                let now = UnixTime::now();
                verify_server_cert_signed_by_trust_anchor(&leaf, &trusted, intermediates, now, algorithms)
            })
            .map_err(|error| {
                invalid(format!("what ca-cert.pem signs does not lead to root-cert.pem: {error}"))
            })
    }
}

/// The certificate's validity, if it may sign and is over this key.
fn check_signer(
    der: &CertificateDer<'_>,
    key: &KeyPair,
) -> Result<(SystemTime, SystemTime), InvalidAuthority> {
    let (_, parsed) =
        X509Certificate::from_der(der).map_err(|error| invalid(format!("ca-cert.pem: {error}")))?;
    if !parsed.is_ca() {
        return Err(invalid("ca-cert.pem is not the certificate of an authority"));
    }
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(invalid("ca-key.pem is not the key of ca-cert.pem"));
    }
    let validity = &parsed.validity;
    Ok((validity.not_before.to_datetime().into(), validity.not_after.to_datetime().into()))
}

pub(super) fn read_certificates(
    file: &str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, InvalidAuthority> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(format!("{file} is not PEM: {error}")))
}
