//! The one place that chooses who does the cryptography of TLS, and what it may use.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

/// What a deployment may choose about TLS inside the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Accept TLS 1.2 too (`TLS12_ENABLED`).
    pub tls12: bool,
    /// Agree on keys with X25519MLKEM768 only, which also means TLS 1.3 only (`COMPLIANCE_POLICY=pqc`).
    pub post_quantum_only: bool,
}

impl Profile {
    pub(crate) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static MODERN: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        if self.tls12 && !self.post_quantum_only { &BOTH } else { &MODERN }
    }
}

/// AES-GCM with ephemeral keys only (wire.md §3), strongest first.
const SUITES: [CipherSuite; 6] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// The cryptography TLS uses: aws-lc, or BoringSSL with the feature `boring`.
pub fn provider(profile: Profile) -> Arc<CryptoProvider> {
    static ANY_GROUP: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static POST_QUANTUM: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let built = if profile.post_quantum_only { &POST_QUANTUM } else { &ANY_GROUP };
    Arc::clone(built.get_or_init(|| Arc::new(restricted(backend(), profile.post_quantum_only))))
}

#[cfg(not(feature = "boring"))]
fn backend() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(feature = "boring")]
fn backend() -> CryptoProvider {
    boring_rustls_provider::provider()
}

/// Whether traffic keys may be handed to a record layer outside of rustls. It seals with aws-lc, and who chose
/// BoringSSL wants nothing sealed by anybody else.
pub(crate) const KEYS_MAY_LEAVE: bool = cfg!(not(feature = "boring"));

fn restricted(mut provider: CryptoProvider, post_quantum_only: bool) -> CryptoProvider {
    let rank = |suite| SUITES.iter().position(|known| *known == suite);
    provider.cipher_suites.retain(|suite| rank(suite.suite()).is_some());
    provider.cipher_suites.sort_by_key(|suite| rank(suite.suite()));
    let hybrid = |group: NamedGroup| group == NamedGroup::X25519MLKEM768;
    provider.kx_groups.sort_by_key(|group| !hybrid(group.name()));
    if post_quantum_only {
        provider.kx_groups.retain(|group| hybrid(group.name()));
    }
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hb_01_only_aes_gcm_is_offered_and_the_hybrid_group_comes_first() {
        let provider = provider(Profile::default());
        let suites: Vec<_> = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
        assert_eq!(suites, SUITES);
        assert_eq!(provider.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        assert!(provider.kx_groups.iter().any(|group| group.name() == NamedGroup::secp256r1));
    }

    #[test]
    fn hb_30_post_quantum_only_leaves_one_group_and_one_version() {
        let profile = Profile { tls12: true, post_quantum_only: true };
        let groups: Vec<_> = provider(profile).kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [NamedGroup::X25519MLKEM768]);
        assert_eq!(profile.versions(), [&rustls::version::TLS13]);
        assert_eq!(Profile::default().versions(), [&rustls::version::TLS13]);
    }
}
