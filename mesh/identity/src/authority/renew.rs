//! A root that outlives its certificate: the same name and key, certified anew.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyIdMethod,
    KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::load::read_certificates;
use super::{Authority, AuthorityPem, BACKDATED, InvalidAuthority, LONGEST_ROOT_LIFETIME, invalid};
use crate::pem::encode_certificate;

impl Authority {
    /// The certificate is in the last fifth of its life.
    pub fn is_due(&self, now: SystemTime) -> bool {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        now >= self.not_after - life / 5
    }

    /// Nothing stands between it and the root.
    pub fn is_root(&self) -> bool {
        self.intermediates.is_empty()
    }

    /// The same root with a certificate that lives on from now. Name and key stay, so what either
    /// certificate signed verifies with the other: it does not matter who has heard of the new one
    /// yet, and no connection is lost. Both are handed out until the old one expires.
    pub fn renewed(&self, lifetime: Duration) -> Result<Self, InvalidAuthority> {
        if !self.is_root() {
            return Err(invalid("only a root can renew itself; an intermediate is renewed by its issuer"));
        }
        let now = SystemTime::now();
        let own = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(invalid)?;
        let mut params = same_name(&own)?;
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + lifetime.min(LONGEST_ROOT_LIFETIME)).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Two certificates of one name must not have one number. A number is positive.
        let mut number: [u8; 16] = rand::random();
        number[0] = (number[0] & 0x7f) | 0x01;
        params.serial_number = Some(SerialNumber::from(number.to_vec()));
        let certificate = params.self_signed(self.issuer.key()).map_err(invalid)?.pem();
        let mut old = read_certificates("root-cert.pem", &self.root_pem)?;
        old.retain(|root| !has_expired(root, now));
        let root = certificate.clone() + &old.iter().map(|root| encode_certificate(root)).collect::<String>();
        let key = self.key_pem();
        let files = AuthorityPem { certificate: &certificate, key: &key, chain: "", root: &root };
        let renewed = Authority::load(&files)?;
        // Proxies that know the old root only must accept what the new one signs.
        renewed.try_out(&[], vec![own])?;
        Ok(renewed)
    }
}

/// What makes verifiers take two certificates for the same authority: the name, and the number of its key.
fn same_name(der: &CertificateDer<'_>) -> Result<CertificateParams, InvalidAuthority> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(invalid)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for attribute in parsed.subject().iter_attributes() {
        let oid: Vec<u64> =
            attribute.attr_type().iter().ok_or_else(|| invalid("its name is unusual"))?.collect();
        let text = attribute.as_str().map_err(invalid)?;
        // The encoding is part of the name.
        let value = match attribute.attr_value().header.tag() {
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            Tag::PrintableString => DnValue::PrintableString(text.try_into().map_err(invalid)?),
            tag => return Err(invalid(format!("its name is written as {tag}, which is unusual"))),
        };
        params.distinguished_name.push(DnType::from_oid(&oid), value);
    }
    let key_number = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(number) => Some(number.0.to_vec()),
        _ => None,
    });
    if let Some(number) = key_number {
        params.key_identifier_method = KeyIdMethod::PreSpecified(number);
    }
    Ok(params)
}

/// One that cannot be read is kept: whoever put it there may know why.
fn has_expired(der: &CertificateDer<'_>, now: SystemTime) -> bool {
    X509Certificate::from_der(der)
        .is_ok_and(|(_, parsed)| now >= SystemTime::from(parsed.validity.not_after.to_datetime()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::RootKey;

    const DAY: Duration = Duration::from_hours(24);

    fn root(key: RootKey) -> Authority {
        Authority::self_signed("cluster.local", 100 * DAY, key).unwrap()
    }

    #[test]
    fn a_root_is_due_in_the_last_fifth_of_its_life() {
        let root = root(RootKey::Ecdsa);
        let now = SystemTime::now();
        assert!(!root.is_due(now));
        assert!(!root.is_due(now + 79 * DAY));
        assert!(root.is_due(now + 81 * DAY));
        assert!(root.is_due(now + 101 * DAY), "and after it");
    }

    #[test]
    fn old_and_new_verify_each_others_certificates_and_both_are_handed_out() {
        for key in [RootKey::Ecdsa, RootKey::Rsa] {
            let old = root(key);
            let new = old.renewed(200 * DAY).unwrap();
            assert!(new.not_after() > old.not_after());
            assert_eq!(new.root_pem().matches("BEGIN CERTIFICATE").count(), 2);
            assert!(new.root_pem().ends_with(old.root_pem()), "the one who signs comes first");
            assert_ne!(new.certificate_pem(), old.certificate_pem());
            assert_eq!(new.key_pem(), old.key_pem());
            let new_root = CertificateDer::from_pem_slice(new.certificate_pem().as_bytes()).unwrap();
            old.try_out(&[], vec![new_root]).unwrap();
            let again = new.renewed(300 * DAY).unwrap();
            assert_eq!(again.root_pem().matches("BEGIN CERTIFICATE").count(), 3, "none has expired");
        }
    }
}
