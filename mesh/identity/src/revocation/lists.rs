//! Certificate revocation lists (RFC 5280 §5) as a file brings them.

use std::fmt::Write as _;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList, FromDer, SubjectPublicKeyInfo};

use super::path::{Link, Path};

/// What DER begins with: an ASN.1 SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// A text that is no revocation list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidList {
    /// Neither empty, nor PEM, nor DER.
    #[error("it holds no certificate revocation list; expected PEM (`BEGIN X509 CRL`) or DER")]
    NoList,
    /// One of its lists is broken, or of a kind that RFC 5280 leaves out.
    #[error("its revocation list {number} cannot be used: {reason}")]
    Unusable {
        /// Which, counted from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

/// Lists of several authorities.
#[derive(Debug, Default)]
pub struct RevocationLists {
    lists: Vec<List>,
}

#[derive(Debug)]
struct List {
    entries: CertRevocationList<'static>,
    der: Vec<u8>,
}

impl RevocationLists {
    /// From one list in DER or any number in PEM, one behind another; none from an empty text (ID-19).
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidList> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(RevocationLists::default());
        }
        let found: Vec<CertificateRevocationListDer<'_>> = if bytes.first() == Some(&SEQUENCE) {
            vec![bytes.into()]
        } else {
            let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
            read.map_err(|_| InvalidList::NoList)?
        };
        if found.is_empty() {
            return Err(InvalidList::NoList);
        }
        let lists = found.iter().enumerate().map(|(index, der)| {
            let entries = OwnedCertRevocationList::from_der(der)
                .map_err(|error| InvalidList::Unusable { number: index + 1, reason: error.to_string() })?;
            Ok(List { entries: entries.into(), der: der.to_vec() })
        });
        Ok(RevocationLists { lists: lists.collect::<Result<_, _>>()? })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The serial number, in hexadecimal, of a revoked certificate on this path.
    pub(super) fn find_revoked(&self, path: &Path) -> Option<String> {
        let revoked = |link: &&Link| self.lists.iter().any(|list| list.revokes(link));
        path.links.iter().find(revoked).map(|link| hexadecimal(&link.serial))
    }
}

impl List {
    /// A name alone proves nothing: authorities of one name have keys of their own (ID-17).
    /// The signature is looked at last, since it costs most and nearly no certificate is listed.
    fn revokes(&self, link: &Link) -> bool {
        self.entries.issuer() == link.issuer
            && matches!(self.entries.find_serial(&link.serial), Ok(Some(_)))
            && self.is_signed_by(&link.issuer_key)
    }

    fn is_signed_by(&self, key: &[u8]) -> bool {
        let (Ok((_, list)), Ok((_, key))) =
            (CertificateRevocationList::from_der(&self.der), SubjectPublicKeyInfo::from_der(key))
        else {
            return false;
        };
        list.verify_signature(&key).is_ok()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
