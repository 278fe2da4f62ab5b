//! A workload's certificate with its key and the roots it trusts, ready for TLS.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_model::Identity;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::key::KeyRequest;
use crate::pem::encode_certificate;
use crate::provider::{Profile, provider};
use crate::revocation::PeerCheck;
use crate::store::IdentityError;
use crate::tls;

/// Certificates in one answer of a CA; more is not an answer but an attack on memory.
const MOST_CERTIFICATES: usize = 100;

/// Why an answer of the CA is no usable certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The chain has no leaf, or no root after it.
    #[error("the CA sent {0} certificate entries; expected a leaf and at least one root")]
    Incomplete(usize),
    /// Not PEM, not X.509, or not fit for TLS.
    #[error("the CA sent a certificate that cannot be used: {0}")]
    Malformed(String),
    /// The certificate names someone else (ID-03, SEC-10).
    #[error("the CA sent a certificate for {found}; asked for {expected}")]
    OtherIdentity {
        /// Who it was asked for.
        expected: Identity,
        /// Whom it names.
        found: String,
    },
    /// The certificate is for another key.
    #[error("the CA sent a certificate for another key than the request's")]
    OtherKey,
}

/// What operators are shown of one certificate (telemetry.md §8.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The serial number, decimal.
    pub serial_number: String,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

impl CertificateSummary {
    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        encode_certificate(&self.der)
    }

    fn read(der: &CertificateDer<'static>) -> Result<Self, InvalidCertificate> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(malformed)?;
        Ok(CertificateSummary {
            serial_number: parsed.serial.to_string(),
            not_before: system_time(parsed.validity.not_before.timestamp()),
            not_after: system_time(parsed.validity.not_after.timestamp()),
            der: der.clone(),
        })
    }
}

/// One workload identity's certificate, private key and trusted roots.
#[derive(Clone)]
pub struct Certificate {
    identity: Identity,
    leaf: CertificateSummary,
    roots: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) trusted: Arc<RootCertStore>,
    pub(crate) profile: Profile,
    pub(crate) server: Arc<rustls::ServerConfig>,
    pub(crate) client: rustls::ClientConfig,
    /// Of the one connection this copy is for.
    pub(crate) check: Option<PeerCheck>,
}

impl Certificate {
    /// From the answer of a CA to this request: the leaf, then one intermediate each, then the root or roots (wire.md §4.1).
    pub fn from_chain(
        identity: &Identity,
        chain: &[String],
        request: KeyRequest,
        profile: Profile,
    ) -> Result<Self, InvalidCertificate> {
        let [first, middle @ .., last] = chain else {
            return Err(InvalidCertificate::Incomplete(chain.len()));
        };
        let mut presented = read_pem(first)?;
        presented.truncate(1);
        for entry in middle {
            presented.append(&mut read_pem(entry)?);
        }
        let roots = read_pem(last)?;
        if presented.len() + roots.len() > MOST_CERTIFICATES {
            return Err(malformed(format!("more than {MOST_CERTIFICATES} certificates")));
        }
        let Some(leaf) = presented.first() else { return Err(InvalidCertificate::Incomplete(0)) };
        check_identity(leaf, identity)?;
        check_key(leaf, &request)?;
        let leaf = CertificateSummary::read(leaf)?;

        let provider = provider(profile);
        let key =
            CertifiedKey::from_der(presented, request.into_private_key(), &provider).map_err(malformed)?;
        let mut trusted = RootCertStore::empty();
        // One root in a form we cannot use must not take the others with it.
        trusted.add_parsable_certificates(roots.iter().cloned());
        let (key, trusted) = (Arc::new(key), Arc::new(trusted));
        let server = tls::build_server(identity, &key, &trusted, profile, None).map_err(malformed)?;
        let client = tls::build_client(&key, &trusted, profile).map_err(malformed)?;
        let (identity, server) = (identity.clone(), Arc::new(server));
        Ok(Certificate { identity, leaf, roots, key, trusted, profile, server, client, check: None })
    }

    /// A copy for one connection, whose handshake refuses a revoked peer and tells `check` who came.
    pub fn checked_by(&self, check: &PeerCheck) -> Result<Certificate, IdentityError> {
        let check = Some(check.clone());
        let server = tls::build_server(&self.identity, &self.key, &self.trusted, self.profile, check.clone())
            .map_err(|error| IdentityError::Unavailable {
                identity: self.identity.clone(),
                reason: error.to_string(),
            })?;
        Ok(Certificate { server: Arc::new(server), check, ..self.clone() })
    }

    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Start of validity.
    pub fn not_before(&self) -> SystemTime {
        self.leaf.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    /// The leaf's serial number, decimal.
    pub fn serial_number(&self) -> &str {
        &self.leaf.serial_number
    }

    /// The presented chain, the leaf first; certificates that cannot be read are left out.
    pub fn chain(&self) -> Vec<CertificateSummary> {
        self.key.cert.iter().filter_map(|der| CertificateSummary::read(der).ok()).collect()
    }

    /// The trusted roots; certificates that cannot be read are left out.
    pub fn roots(&self) -> Vec<CertificateSummary> {
        self.roots.iter().filter_map(|der| CertificateSummary::read(der).ok()).collect()
    }

    /// Whether it is within its validity.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.leaf.not_before <= now && now < self.leaf.not_after
    }

    /// When to ask for the next one: half of the lifetime (ID-06). A CA that dates
    /// its certificates back so far that this is over already gets half of what is left.
    pub(crate) fn renewal_time(&self, received: SystemTime) -> SystemTime {
        let half =
            |from: SystemTime| from + self.leaf.not_after.duration_since(from).unwrap_or(Duration::ZERO) / 2;
        let renewal = half(self.leaf.not_before);
        if renewal > received { renewal } else { half(received) }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("identity", &self.identity)
            .field("serial", &self.leaf.serial_number)
            .finish_non_exhaustive()
    }
}

fn check_identity(leaf: &CertificateDer<'_>, expected: &Identity) -> Result<(), InvalidCertificate> {
    let other = |found: String| InvalidCertificate::OtherIdentity { expected: expected.clone(), found };
    match tls::identity_of(leaf) {
        Ok(found) if found == *expected => Ok(()),
        Ok(found) => Err(other(found.to_string())),
        Err(error) => Err(malformed(error)),
    }
}

/// rustls checks this too, but not with every provider.
fn check_key(leaf: &CertificateDer<'_>, request: &KeyRequest) -> Result<(), InvalidCertificate> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(malformed)?;
    let same = parsed.public_key().raw == request.public_key_info();
    if same { Ok(()) } else { Err(InvalidCertificate::OtherKey) }
}

fn read_pem(text: &str) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(text.as_bytes()).take(MOST_CERTIFICATES + 1).collect();
    match read {
        Ok(found) if found.is_empty() => Err(malformed("an entry without a PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(malformed(error)),
    }
}

fn malformed(reason: impl fmt::Display) -> InvalidCertificate {
    InvalidCertificate::Malformed(reason.to_string())
}

fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
