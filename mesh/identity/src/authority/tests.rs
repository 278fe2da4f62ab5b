//! Tests of `authority`.

use rcgen::PKCS_ECDSA_P384_SHA384;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::*;
use crate::certificate::Certificate;
use crate::key::KeyRequest;
use crate::pem::encode_certificate;
use crate::provider::Profile;
use crate::testing::{authority, workload};

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn parsed<'a>(der: &'a CertificateDer<'static>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).unwrap().1
}

/// A request made by rcgen with this subject and these names.
fn request(common_name: Option<&str>, names: &[&str]) -> String {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

/// An intermediate authority's files, signed by the root.
fn intermediate(root: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    (params.signed_by(&key, &root.issuer).unwrap().pem(), key.serialize_pem())
}

#[test]
fn the_identity_is_what_is_certified_whatever_the_request_names() {
    let chain = authority().sign(&request(None, &["admin.example.com"]), &workload("web"), 60).unwrap();
    let leaf = der(&chain[0]);
    let leaf = parsed(&leaf);
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    assert_eq!(names.value.general_names, [GeneralName::URI("spiffe://cluster.local/ns/default/sa/web")]);
    assert_eq!(leaf.subject().iter().count(), 0);
}

#[test]
fn a_common_name_is_kept_and_nothing_else_of_the_subject() {
    let chain = authority().sign(&request(Some("web"), &[]), &workload("web"), 60).unwrap();
    let leaf = der(&chain[0]);
    assert_eq!(parsed(&leaf).subject().to_string(), "CN=web");
}

#[test]
fn usages_are_those_of_a_workload() {
    let chain = authority().sign(&request(None, &[]), &workload("web"), 60).unwrap();
    let leaf = der(&chain[0]);
    let leaf = parsed(&leaf);
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    assert!(!leaf.is_ca());
}

#[test]
fn lifetimes_are_bounded() {
    let day = DEFAULT_LIFETIME.as_secs() as i64;
    let authority = Authority::self_signed("td", Duration::from_hours(24 * 10), RootKey::Ecdsa).unwrap();
    let lifetime = |seconds| {
        let chain = authority.sign(&request(None, &[]), &workload("web"), seconds).unwrap();
        let leaf = der(&chain[0]);
        let validity = parsed(&leaf).validity.clone();
        validity.not_after.timestamp() - validity.not_before.timestamp() - BACKDATED.as_secs() as i64
    };
    assert_eq!(lifetime(600), 600);
    assert_eq!(lifetime(0), day);
    assert_eq!(lifetime(-5), day);
    assert!((10 * day - 60..=10 * day).contains(&lifetime(90 * day)), "clamped to the signer's");
    let refused = authority.sign(&request(None, &[]), &workload("web"), 90 * day + 1).unwrap_err();
    assert_eq!(refused.to_string(), "7776001 s is too long for a certificate; at most 7776000 s");
}

#[test]
fn broken_requests_are_refused() {
    let authority = authority();
    let good = request(None, &[]);
    let certificate = good.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    let mut forged = x509_parser::pem::parse_x509_pem(good.as_bytes()).unwrap().1.contents;
    // The last bytes are the signature's.
    *forged.last_mut().unwrap() ^= 1;
    let forged = encode_certificate(&forged).replace("CERTIFICATE", "CERTIFICATE REQUEST");
    for bad in ["", "hello", &certificate, &forged, &"x".repeat(LARGEST_REQUEST + 1)] {
        let refused = authority.sign(bad, &workload("web"), 60);
        assert!(matches!(refused, Err(SignError::Request(_))), "{refused:?}");
    }
    assert!(matches!(authority.sign(&good, &Identity::new("tdé", "a", "b"), 60), Err(SignError::Request(_))));
}

#[test]
fn an_expired_authority_signs_nothing() {
    let authority = Authority::self_signed("td", Duration::ZERO, RootKey::Ecdsa).unwrap();
    let refused = authority.sign(&request(None, &[]), &workload("web"), 60);
    assert_eq!(refused.unwrap_err(), SignError::Authority("its own certificate has expired".to_owned()));
}

#[test]
fn an_rsa_root_is_saved_and_loaded() {
    let made = Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Rsa).unwrap();
    let key = made.key_pem();
    let files =
        AuthorityPem { certificate: made.certificate_pem(), key: &key, chain: "", root: made.root_pem() };
    let loaded = Authority::load(&files).unwrap();
    assert_eq!(loaded.sign(&request(None, &[]), &workload("web"), 60).unwrap().len(), 2);
    assert_eq!(loaded.root_pem(), made.root_pem().replace("\r\n", "\n"));
}

#[test]
fn an_intermediate_authority_sends_itself_along() {
    let root = authority();
    let (certificate, key) = intermediate(&root);
    // Istio's chain file holds the signer and often the root too; neither may be sent twice.
    let chain = certificate.clone() + root.root_pem();
    let files = AuthorityPem { certificate: &certificate, key: &key, chain: &chain, root: root.root_pem() };
    let loaded = Authority::load(&files).unwrap();
    let request = KeyRequest::generate(&workload("web")).unwrap();
    let signed = loaded.sign(request.csr_pem(), &workload("web"), 60).unwrap();
    assert_eq!(signed.len(), 3);
    assert_eq!(der(&signed[1]), der(&certificate));
    assert_eq!(der(&signed[2]), der(root.root_pem()));
    let (leaf, signer) = (der(&signed[0]), der(&signed[1]));
    let (leaf, signer) = (parsed(&leaf), parsed(&signer));
    let extension = |certificate: &X509Certificate<'_>, oid| {
        let found = certificate.get_extension_unique(&oid).unwrap().map(|found| found.value.to_vec());
        found.unwrap()
    };
    let key_id = extension(&signer, x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER);
    let issuer_id = extension(&leaf, x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    assert!(issuer_id.ends_with(&key_id[2..]), "ID-12: the leaf points at the signer's key");
    assert!(Certificate::from_chain(&workload("web"), &signed, request, Profile::default()).is_ok());
}

#[test]
fn files_that_do_not_fit_together_are_refused_by_name() {
    let (root, other) = (authority(), authority());
    let (certificate, key) = intermediate(&root);
    let leaf = root.sign(&request(None, &[]), &workload("web"), 60).unwrap().remove(0);
    let (root_key, other_key) = (root.key_pem(), other.key_pem());
    let cases = [
        (&*certificate, &*other_key, "", root.root_pem(), "ca-key.pem is not the key of ca-cert.pem"),
        (&certificate, &key, "", other.root_pem(), "does not lead to root-cert.pem"),
        (&leaf, &root_key, "", root.root_pem(), "ca-cert.pem is not the certificate of an authority"),
        ("", &key, "", root.root_pem(), "ca-cert.pem holds no certificate"),
        (&certificate, "hello", "", root.root_pem(), "ca-key.pem holds no private key"),
        (&certificate, &key, "", "hello", "root-cert.pem holds no certificate"),
        (&certificate, &key, "-----BEGIN CERTIFICATE-----\n!", root.root_pem(), "cert-chain.pem is not PEM"),
    ];
    for (certificate, key, chain, root, expected) in cases {
        let refused = Authority::load(&AuthorityPem { certificate, key, chain, root }).err().unwrap();
        assert!(refused.to_string().contains(expected), "{refused}, expected {expected}");
    }
}

#[test]
fn a_server_certificate_names_hosts_and_addresses() {
    let server = authority()
        .sign_server(&["istiod.istio-system.svc"], &["172.30.0.1".parse().unwrap()], DEFAULT_LIFETIME)
        .unwrap();
    let leaf = der(&server.chain_pem);
    let leaf = parsed(&leaf);
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(
        *names,
        [GeneralName::DNSName("istiod.istio-system.svc"), GeneralName::IPAddress(&[172, 30, 0, 1])]
    );
    assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
}
