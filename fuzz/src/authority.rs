//! The certificate authority of the targets: made once, for certificates cost
//! far more than parsing them.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesh_identity::authority::{Authority, RootKey};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The one authority.
#[expect(clippy::expect_used, reason = "a target that cannot start has to say so")]
pub fn get() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let lifetime = Duration::from_hours(24 * 365);
        Authority::self_signed("cluster.local", lifetime, RootKey::Ecdsa).expect("an authority")
    })
}

/// A structure as PEM.
pub fn armoured(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The public key of the authority, as PEM.
#[expect(clippy::expect_used, reason = "a target that cannot start has to say so")]
pub fn public_key_pem() -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(get().certificate_pem().as_bytes()).expect("PEM");
    let (_, certificate) = X509Certificate::from_der(&pem.contents).expect("a certificate");
    armoured("PUBLIC KEY", certificate.public_key().raw)
}
