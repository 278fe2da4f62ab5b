//! Which certificates vouch for a peer: the way from its own to a trusted root.
//! What else it presented counts for nothing (ID-17, SEC-11).

use std::cell::RefCell;

use rustls_pki_types::TrustAnchor;
use webpki::{Cert, EndEntityCert, Error, VerifiedPath};

use super::Presented;
use super::lists::RevocationLists;

/// The certificates from the peer's own up to the one a root signed.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) links: Vec<Link>,
}

/// One certificate and who signed it, as a revocation list names them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The contents of the signer's name, DER.
    pub(super) issuer: Vec<u8>,
    /// The signer's public key, DER.
    pub(super) issuer_key: Vec<u8>,
    /// The contents of the serial number, DER.
    pub(super) serial: Vec<u8>,
}

/// Why there is no path.
pub(super) enum NoPath {
    /// Every path leads over a revoked certificate; the serial number of one.
    Revoked(String),
    /// None is found.
    Untracked(String),
}

/// A path on which nothing is revoked.
pub(super) fn find(presented: &Presented<'_>, lists: &RevocationLists) -> Result<Path, NoPath> {
    let untracked = |error: Error| NoPath::Untracked(error.to_string());
    let leaf = EndEntityCert::try_from(presented.end_entity).map_err(untracked)?;
    // The verifier takes a closure that only judges; what it saw comes out this way.
    let (good, revoked) = (RefCell::new(None), RefCell::new(None));
    let judge = |found: &VerifiedPath<'_>| {
        let path = read(found);
        match lists.find_revoked(&path) {
            None => {
                good.replace(Some(path));
                Ok(())
            }
            Some(serial) => {
                revoked.replace(Some(serial));
                Err(Error::CertRevoked)
            }
        }
    };
    let verified = leaf.verify_for_usage(
        presented.algorithms.all,
        &presented.trusted.roots,
        presented.intermediates,
        presented.now,
        presented.usage,
        None,
        Some(&judge),
    );
    match (verified, good.take(), revoked.take()) {
        (Ok(_), Some(path), _) => Ok(path),
        (_, _, Some(serial)) => Err(NoPath::Revoked(serial)),
        (Err(error), ..) => Err(untracked(error)),
        (Ok(_), None, None) => Err(untracked(Error::UnknownIssuer)),
    }
}

fn read(found: &VerifiedPath<'_>) -> Path {
    let mut certificates: Vec<&Cert<'_>> = vec![found.end_entity()];
    certificates.extend(found.intermediate_certificates());
    let mut links: Vec<Link> = certificates
        .windows(2)
        .map(|pair| {
            let key = pair[1].subject_public_key_info();
            Link {
                issuer: pair[1].subject().to_vec(),
                issuer_key: key.to_vec(),
                serial: pair[0].serial().to_vec(),
            }
        })
        .collect();
    let (top, anchor): (_, &TrustAnchor<'_>) = (certificates[certificates.len() - 1], found.anchor());
    links.push(Link {
        issuer: anchor.subject.to_vec(),
        issuer_key: sequence(&anchor.subject_public_key_info),
        serial: top.serial().to_vec(),
    });
    Path { links }
}

/// Contents with the head of an ASN.1 SEQUENCE, which roots are kept without (X.690 §8.1.3).
fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut der = vec![0x30];
    if length < 0x80 {
        der.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        der.push(0x80 | significant.len() as u8);
        der.extend_from_slice(significant);
    }
    der.extend_from_slice(contents);
    der
}
