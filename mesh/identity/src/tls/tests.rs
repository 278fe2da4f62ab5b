//! Tests of `tls`.

use std::time::{Duration, SystemTime};

use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use rustls_pki_types::UnixTime;

use super::*;
use crate::authority::Authority;
use crate::testing::{authority, certificate, handshake, workload};

fn held(authority: &Authority, name: &str) -> Certificate {
    certificate(authority, &workload(name), &[], Profile::default())
}

#[tokio::test]
async fn hb_01_both_ends_prove_who_they_are_over_tls_1_3_and_h2() {
    let authority = authority();
    let (web, db) = (held(&authority, "web"), held(&authority, "db"));
    let (accepted, connected) = handshake(server_config(&db), client_config(&web, &[workload("db")])).await;
    let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
    let (server, client) = (accepted.get_ref().1, connected.get_ref().1);
    assert_eq!(peer_identity(server.peer_certificates()).unwrap(), workload("web"));
    assert_eq!(peer_identity(client.peer_certificates()).unwrap(), workload("db"));
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(client.alpn_protocol(), Some(ALPN_H2));
    assert_eq!(server.server_name(), None);
    assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn traffic_keys_leave_rustls_unless_boringssl_has_to_seal() {
    let web = held(&authority(), "web");
    let expected = cfg!(not(feature = "boring"));
    assert_eq!(server_config(&web).enable_secret_extraction, expected);
    assert_eq!(client_config(&web, &[workload("db")]).enable_secret_extraction, expected);
}

#[tokio::test]
async fn sessions_are_not_resumed() {
    let authority = authority();
    let (web, db) = (held(&authority, "web"), held(&authority, "db"));
    let client = client_config(&web, &[workload("db")]);
    for _ in 0..2 {
        let (_, connected) = handshake(server_config(&db), Arc::clone(&client)).await;
        assert_eq!(connected.unwrap().get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn hb_20_a_server_that_is_not_expected_is_refused() {
    let authority = authority();
    let (web, db) = (held(&authority, "web"), held(&authority, "db"));
    let (accepted, connected) = handshake(server_config(&db), client_config(&web, &[workload("api")])).await;
    let refusal = find_refusal(&connected.unwrap_err()).unwrap();
    assert_eq!(
        refusal.to_string(),
        "the peer is spiffe://cluster.local/ns/default/sa/db; expected spiffe://cluster.local/ns/default/sa/api"
    );
    assert!(accepted.is_err());
    let both = [workload("api"), workload("db")];
    assert!(handshake(server_config(&db), client_config(&web, &both)).await.1.is_ok());
    assert!(handshake(server_config(&db), client_config(&web, &[])).await.1.is_err());
}

#[tokio::test]
async fn hb_21_a_client_of_another_trust_domain_is_refused() {
    let authority = authority();
    let db = held(&authority, "db");
    let stranger = Identity::new("other.domain", "default", "web");
    let stranger = certificate(&authority, &stranger, &[], Profile::default());
    let (accepted, connected) =
        handshake(server_config(&db), client_config(&stranger, &[workload("db")])).await;
    let refusal = find_refusal(&accepted.unwrap_err()).unwrap();
    assert_eq!(
        refusal.to_string(),
        "the peer is spiffe://other.domain/ns/default/sa/web, which is not in trust domain cluster.local"
    );
    assert!(connected.is_err());
}

#[tokio::test]
async fn hb_21_a_client_without_certificate_is_refused() {
    let authority = authority();
    let (web, db) = (held(&authority, "web"), held(&authority, "db"));
    let mut anonymous = (*client_config(&web, &[workload("db")])).clone();
    anonymous.client_auth_cert_resolver = Arc::new(NoCertificate);
    let (accepted, connected) = handshake(server_config(&db), Arc::new(anonymous)).await;
    assert!(accepted.unwrap_err().to_string().contains("no certificates"));
    assert!(connected.is_err());
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn an_unknown_root_is_refused_in_both_directions() {
    let (ours, theirs) = (authority(), authority());
    // Both authorities bear the same name, so only the signature tells them apart.
    let (web, db) = (held(&ours, "web"), held(&theirs, "db"));
    assert!(handshake(server_config(&db), client_config(&web, &[workload("db")])).await.1.is_err());
    let trusting = certificate(&ours, &workload("web"), &[&theirs], Profile::default());
    let (accepted, _) = handshake(server_config(&db), client_config(&trusting, &[workload("db")])).await;
    assert!(accepted.is_err());
}

#[tokio::test]
async fn hb_23_peers_of_different_roots_meet_when_both_trust_both() {
    let (old, new) = (authority(), authority());
    let web = certificate(&old, &workload("web"), &[&new], Profile::default());
    let db = certificate(&new, &workload("db"), &[&old], Profile::default());
    let (accepted, connected) = handshake(server_config(&db), client_config(&web, &[workload("db")])).await;
    assert!(accepted.is_ok() && connected.is_ok());
}

#[test]
fn an_expired_certificate_is_refused_in_both_directions() {
    let authority = authority();
    let held = held(&authority, "web");
    let later = SystemTime::now() + Duration::from_secs(7200);
    let later = UnixTime::since_unix_epoch(later.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let leaf = &held.key.cert[0];
    let domain = "cluster.local".into();
    let source = SourceVerifier::new(&held.trusted, Profile::default(), &domain).unwrap();
    assert!(source.verify_client_cert(leaf, &[], UnixTime::now()).is_ok());
    assert!(source.verify_client_cert(leaf, &[], later).is_err());
    let destination = DestinationVerifier::new(&held.trusted, Profile::default(), &[workload("web")]);
    let verify = |now| destination.verify_server_cert(leaf, &[], &server_name(), &[], now);
    assert!(verify(UnixTime::now()).is_ok());
    assert!(verify(later).is_err());
}

#[tokio::test]
async fn hb_01_tls_1_2_only_where_it_is_switched_on() {
    let authority = authority();
    let old = Profile { tls12: true, ..Profile::default() };
    let db = |profile| certificate(&authority, &workload("db"), &[], profile);
    let web = certificate(&authority, &workload("web"), &[], old);
    let client = || {
        let trusted = Arc::clone(&web.trusted);
        let config = ClientConfig::builder_with_provider(provider(old))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(DestinationVerifier::new(
                &trusted,
                old,
                &[workload("db")],
            )))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&web.key))));
        Arc::new(config)
    };
    let (accepted, connected) = handshake(server_config(&db(old)), client()).await;
    assert_eq!(connected.unwrap().get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert!(accepted.is_ok());
    assert!(handshake(server_config(&db(Profile::default())), client()).await.1.is_err());
}

#[tokio::test]
async fn hb_30_post_quantum_only_refuses_a_classical_peer() {
    let authority = authority();
    let strict = Profile { post_quantum_only: true, ..Profile::default() };
    let db = certificate(&authority, &workload("db"), &[], strict);
    let web = held(&authority, "web");
    let modern = client_config(&web, &[workload("db")]);
    assert!(handshake(server_config(&db), Arc::clone(&modern)).await.1.is_ok());
    let mut classical = (*provider(Profile::default())).clone();
    classical.kx_groups.retain(|group| group.name() != NamedGroup::X25519MLKEM768);
    let verifier = DestinationVerifier::new(&web.trusted, Profile::default(), &[workload("db")]);
    let classical = ClientConfig::builder_with_provider(Arc::new(classical))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&web.key))));
    assert!(handshake(server_config(&db), Arc::new(classical)).await.1.is_err());
}

#[test]
fn a_certificate_without_identity_names_nobody() {
    let authority = authority();
    let server = authority.sign_server(&["example.com"], &[], Duration::from_secs(60)).unwrap();
    let leaf = rustls_pki_types::pem::PemObject::from_pem_slice(server.chain_pem.as_bytes()).unwrap();
    assert_eq!(peer_identity(Some(&[leaf])), Err(PeerError::NoIdentity));
    assert_eq!(peer_identity(None), Err(PeerError::NoCertificate));
    let garbage = CertificateDer::from(vec![1, 2, 3]);
    assert!(matches!(peer_identity(Some(&[garbage])), Err(PeerError::Unreadable(_))));
}

/// A certificate of this authority with whatever names.
fn naming(authority: &Authority, uris: &[&str]) -> CertificateDer<'static> {
    let issuer_key = rcgen::KeyPair::from_pem(&authority.key_pem()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.certificate_pem(), issuer_key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names =
        uris.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap())).collect();
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    params.signed_by(&key, &issuer).unwrap().der().clone()
}

#[test]
fn sec_a_certificate_has_to_name_one_workload_and_no_other() {
    let authority = authority();
    let held = held(&authority, "web");
    let domain = "cluster.local".into();
    let source = SourceVerifier::new(&held.trusted, Profile::default(), &domain).unwrap();
    let destination = DestinationVerifier::new(&held.trusted, Profile::default(), &[workload("web")]);
    let (web, api) = ("spiffe://cluster.local/ns/default/sa/web", "spiffe://cluster.local/ns/default/sa/api");
    for (names, good) in [
        (&[web][..], true),
        // What is no workload's identity says nothing.
        (&["https://example.com/web", web], true),
        (&[web, web], true),
        (&[web, api], false),
        (&[api, web], false),
        (&[web, "spiffe://other.domain/ns/default/sa/web"], false),
        (&["spiffe://cluster.local/web"], false),
        (&["spiffe://cluster.local/ns/default/sa/web/more"], false),
        (&["cluster.local/ns/default/sa/web"], false),
        (&[], false),
    ] {
        let leaf = naming(&authority, names);
        let connects = source.verify_client_cert(&leaf, &[], UnixTime::now());
        let serves = destination.verify_server_cert(&leaf, &[], &server_name(), &[], UnixTime::now());
        assert_eq!((connects.is_ok(), serves.is_ok()), (good, good), "{names:?}: {connects:?} {serves:?}");
        assert_eq!(peer_identity(Some(&[leaf])).is_ok(), good, "{names:?}");
    }
}
