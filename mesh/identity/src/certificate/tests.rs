//! Tests of `certificate`.

use super::*;
use crate::key::KeyRequest;
use crate::testing::{authority, certificate, workload};

fn read(chain: &[String], request: KeyRequest) -> Result<Certificate, InvalidCertificate> {
    Certificate::from_chain(&workload("web"), chain, request, Profile::default())
}

fn signed(lifetime: i64) -> (Vec<String>, KeyRequest) {
    let request = KeyRequest::generate(&workload("web")).unwrap();
    (authority().sign(request.csr_pem(), &workload("web"), lifetime).unwrap(), request)
}

#[test]
fn a_complete_answer_becomes_a_certificate() {
    let authority = authority();
    let held = certificate(&authority, &workload("web"), &[], Profile::default());
    assert_eq!(*held.identity(), workload("web"));
    assert_eq!(held.chain().len(), 1);
    assert_eq!(held.chain()[0].serial_number, held.serial_number());
    assert!(held.serial_number().bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(held.roots()[0].pem(), authority.root_pem().replace("\r\n", "\n"));
    assert!(held.not_before() < SystemTime::now() && SystemTime::now() < held.not_after());
}

#[test]
fn id_03_an_answer_without_leaf_and_root_is_refused() {
    let (chain, request) = signed(60);
    assert_eq!(read(&[], request).unwrap_err(), InvalidCertificate::Incomplete(0));
    let (_, request) = signed(60);
    assert_eq!(read(&chain[..1], request).unwrap_err(), InvalidCertificate::Incomplete(1));
}

#[test]
fn id_03_sec_10_a_certificate_for_someone_else_is_refused() {
    let request = KeyRequest::generate(&workload("web")).unwrap();
    let chain = authority().sign(request.csr_pem(), &workload("admin"), 60).unwrap();
    let refused = read(&chain, request).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the CA sent a certificate for spiffe://cluster.local/ns/default/sa/admin; \
         asked for spiffe://cluster.local/ns/default/sa/web"
    );
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let (chain, _) = signed(60);
    let (_, other) = signed(60);
    assert_eq!(read(&chain, other).unwrap_err(), InvalidCertificate::OtherKey);
}

#[test]
fn garbage_is_refused_wherever_it_stands() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    let spoils: [fn(&mut Vec<String>, String); 6] = [
        |chain, _| chain[0] = "hello".to_owned(),
        |chain, broken| chain[0] = broken,
        |chain, _| chain.insert(1, "hello".to_owned()),
        |chain, broken| chain[1] = broken,
        |chain, _| chain[1].clear(),
        |chain, _| chain[1] = chain[1].repeat(MOST_CERTIFICATES + 1),
    ];
    for spoil in spoils {
        let (mut chain, request) = signed(60);
        spoil(&mut chain, broken.clone());
        let refused = read(&chain, request).unwrap_err();
        assert!(matches!(refused, InvalidCertificate::Malformed(_)), "{refused}");
    }
}

#[test]
fn hb_23_one_unusable_root_does_not_spoil_the_others() {
    let (mut chain, request) = signed(60);
    chain[1].push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let held = read(&chain, request).unwrap();
    assert_eq!(held.roots().len(), 1);
}

#[test]
fn id_06_renewal_is_due_at_half_of_the_lifetime() {
    let (chain, request) = signed(3600);
    let held = read(&chain, request).unwrap();
    let lifetime = held.not_after().duration_since(held.not_before()).unwrap();
    assert_eq!(held.renewal_time(held.not_before()), held.not_before() + lifetime / 2);
    // Half of it is over already: half of the rest, never at once for ever.
    let late = held.not_before() + lifetime / 2 + Duration::from_secs(1);
    let rest = held.not_after().duration_since(late).unwrap();
    assert_eq!(held.renewal_time(late), late + rest / 2);
}
