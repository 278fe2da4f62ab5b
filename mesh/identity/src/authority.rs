//! The signing side: a certificate authority that certifies identities it is
//! told, never names a request asks for (wire.md §4.3).

mod load;
mod renew;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use mesh_model::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SanType, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

pub use load::AuthorityPem;

/// How long a certificate lives when the request does not say.
pub const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);
/// The longest lifetime that may be asked for.
pub const LONGEST_LIFETIME: Duration = Duration::from_hours(90 * 24);
/// Clocks of proxies may be behind by this much.
const BACKDATED: Duration = Duration::from_mins(2);
/// No request for a certificate is larger.
const LARGEST_REQUEST: usize = 64 * 1024;
const LONGEST_ROOT_LIFETIME: Duration = Duration::from_hours(100 * 365 * 24);

/// Why an authority could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificate authority: {0}")]
pub struct InvalidAuthority(String);

/// Why a certificate was not signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The request is broken; sending it again is useless.
    #[error("cannot sign the certificate request: {0}")]
    Request(String),
    /// The lifetime asked for is too long.
    #[error("{0} s is too long for a certificate; at most {max} s", max = LONGEST_LIFETIME.as_secs())]
    Lifetime(i64),
    /// The authority itself cannot sign now.
    #[error("the certificate authority cannot sign: {0}")]
    Authority(String),
}

/// The key of a new root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKey {
    /// ECDSA P-256: small and fast.
    Ecdsa,
    /// RSA 2048, as Istio makes.
    Rsa,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    /// What proxies need between leaf and root, one certificate each.
    intermediates: Vec<String>,
    root_pem: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// A certificate for a server that is no workload, such as the controller itself.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The leaf and the intermediates.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: String,
    /// The roots that clients verify with.
    pub root_pem: String,
}

impl Authority {
    /// A new root for the trust domain.
    pub fn self_signed(
        trust_domain: &str,
        lifetime: Duration,
        root_key: RootKey,
    ) -> Result<Self, InvalidAuthority> {
        let algorithm = match root_key {
            RootKey::Ecdsa => &PKCS_ECDSA_P256_SHA256,
            RootKey::Rsa => &PKCS_RSA_SHA256,
        };
        let key = KeyPair::generate_for(algorithm).map_err(invalid)?;
        let now = SystemTime::now();
        let (not_before, not_after) = (now - BACKDATED, now + lifetime.min(LONGEST_ROOT_LIFETIME));
        let mut params = CertificateParams::default();
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, trust_domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(invalid)?;
        Ok(Authority {
            certificate_pem: certificate.pem(),
            intermediates: Vec::new(),
            root_pem: certificate.pem(),
            not_before,
            not_after,
            issuer: Issuer::new(params, key),
        })
    }

    /// The signing certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The signing key, PKCS#8; to be kept secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The roots to trust.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The end of the signing certificate's validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Certifies the request's key for the identity, whatever names the request
    /// holds. The lifetime is in seconds as the wire has it: none or negative
    /// means a day. The answer is the chain of wire.md §4.1.
    pub fn sign(
        &self,
        csr_pem: &str,
        identity: &Identity,
        lifetime_seconds: i64,
    ) -> Result<Vec<String>, SignError> {
        let lifetime = match u64::try_from(lifetime_seconds) {
            Err(_) | Ok(0) => DEFAULT_LIFETIME,
            Ok(seconds) => Duration::from_secs(seconds),
        };
        if lifetime > LONGEST_LIFETIME {
            return Err(SignError::Lifetime(lifetime_seconds));
        }
        let (public_key, common_name) = read_request(csr_pem)?;
        let name = identity.to_string().try_into().map_err(request_error)?;
        let mut params = self.leaf_params(vec![SanType::URI(name)], lifetime)?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let leaf = params.signed_by(&public_key, &self.issuer).map_err(request_error)?;
        Ok(self.chain(leaf.pem()))
    }

    /// A certificate with a fresh key for a server known by these names.
    pub fn sign_server(
        &self,
        dns_names: &[&str],
        addresses: &[IpAddr],
        lifetime: Duration,
    ) -> Result<ServerCertificate, SignError> {
        let dns =
            dns_names.iter().map(|name| Ok(SanType::DnsName((*name).try_into().map_err(request_error)?)));
        let addresses = addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
        let mut params = self.leaf_params(dns.chain(addresses).collect::<Result<_, _>>()?, lifetime)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(authority_error)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(request_error)?;
        let chain_pem = leaf.pem() + &self.intermediates.concat();
        Ok(ServerCertificate { chain_pem, key_pem: key.serialize_pem(), root_pem: self.root_pem.clone() })
    }

    fn chain(&self, leaf: String) -> Vec<String> {
        let mut chain = vec![leaf];
        chain.extend(self.intermediates.iter().cloned());
        chain.push(self.root_pem.clone());
        chain
    }

    fn leaf_params(&self, names: Vec<SanType>, lifetime: Duration) -> Result<CertificateParams, SignError> {
        let now = SystemTime::now();
        if now >= self.not_after {
            return Err(authority_error("its own certificate has expired"));
        }
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::from(now - BACKDATED);
        params.not_after = OffsetDateTime::from((now + lifetime).min(self.not_after));
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// The public key a request proves to own, and the common name it asks for.
fn read_request(csr_pem: &str) -> Result<(SubjectPublicKeyInfo, Option<String>), SignError> {
    if csr_pem.len() > LARGEST_REQUEST {
        return Err(request_error(format!("it is larger than {LARGEST_REQUEST} bytes")));
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(csr_pem.as_bytes()).map_err(request_error)?;
    if pem.label != "CERTIFICATE REQUEST" && pem.label != "NEW CERTIFICATE REQUEST" {
        return Err(request_error(format!("it is a {:?}, not a CERTIFICATE REQUEST", pem.label)));
    }
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents).map_err(request_error)?;
    csr.verify_signature().map_err(|_| request_error("its signature does not match its key"))?;
    let info = &csr.certification_request_info;
    let public_key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(request_error)?;
    let common_name = info.subject.iter_common_name().next().and_then(|name| name.as_str().ok());
    Ok((public_key, common_name.map(str::to_owned)))
}

fn invalid(reason: impl fmt::Display) -> InvalidAuthority {
    InvalidAuthority(reason.to_string())
}

fn request_error(reason: impl fmt::Display) -> SignError {
    SignError::Request(reason.to_string())
}

fn authority_error(reason: impl fmt::Display) -> SignError {
    SignError::Authority(reason.to_string())
}

#[cfg(test)]
mod tests;
