//! A workload's key and the request for a certificate over it.

use mesh_model::Identity;
use rcgen::{CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A key or request that could not be made: out of entropy, or an identity no certificate can hold.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate request for {identity}: {reason}")]
pub struct KeyError {
    identity: Identity,
    reason: rcgen::Error,
}

/// A fresh private key with the request that asks a CA to certify it.
pub struct KeyRequest {
    key: rcgen::KeyPair,
    csr_pem: String,
}

impl KeyRequest {
    /// An ECDSA P-256 key and its request: an empty subject and the identity as
    /// the only, critical, alternative name (ID-02).
    pub fn generate(identity: &Identity) -> Result<Self, KeyError> {
        let failed = |reason| KeyError { identity: identity.clone(), reason };
        let key = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        // rcgen marks the alternative names critical when the subject is empty.
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into().map_err(failed)?)];
        let csr_pem = params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(failed)?;
        Ok(KeyRequest { key, csr_pem })
    }

    /// The request, PEM.
    pub fn csr_pem(&self) -> &str {
        &self.csr_pem
    }

    /// The public key, as a certificate over it holds it.
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The private key, PKCS#8.
    pub(crate) fn into_private_key(self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509CertificationRequest};

    use super::*;

    #[test]
    fn id_02_request_has_no_subject_and_one_critical_uri() {
        let identity = Identity::new("td", "ns", "sa");
        let request = KeyRequest::generate(&identity).unwrap();
        let pem = x509_parser::pem::parse_x509_pem(request.csr_pem().as_bytes()).unwrap().1;
        let (_, csr) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
        let extensions: Vec<_> = csr.certification_request_info.iter_attributes().collect();
        assert_eq!(extensions.len(), 1);
        let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(requested) =
            extensions[0].parsed_attribute()
        else {
            panic!("no extension request");
        };
        assert_eq!(requested.extensions.len(), 1);
        assert!(requested.extensions[0].critical);
        let ParsedExtension::SubjectAlternativeName(names) = requested.extensions[0].parsed_extension()
        else {
            panic!("no alternative names");
        };
        assert_eq!(names.general_names, [GeneralName::URI("spiffe://td/ns/ns/sa/sa")]);
    }

    #[test]
    fn an_identity_no_certificate_can_hold_is_refused() {
        let refused = KeyRequest::generate(&Identity::new("tdé", "ns", "sa"));
        assert!(refused.err().unwrap().to_string().contains("spiffe://tdé/ns/ns/sa/sa"));
    }
}
