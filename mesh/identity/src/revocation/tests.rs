//! Tests of `revocation`.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::authority::Authority;
use crate::certificate::Certificate;
use crate::provider::{Profile, provider};
use crate::testing::{authority, certificate, handshake, workload};
use crate::tls::{client_config, find_refusal, server_config};

/// An authority that can take back what it signed.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn ca_params(name: &str, number: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial(number));
    params
}

fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_slice(&[number])
}

impl Signer {
    fn root() -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), ca_params("root", 1));
        let der = params.self_signed(&key).unwrap().der().clone();
        Signer { issuer: Issuer::new(params, key), der }
    }

    fn intermediate(&self, name: &str, number: u8) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), ca_params(name, number));
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Signer { issuer: Issuer::new(params, key), der }
    }

    fn leaf(&self, number: u8) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        let name = workload("web").to_string();
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.serial_number = Some(serial(number));
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }

    fn list(&self, serials: &[u8]) -> Vec<u8> {
        list(&self.issuer, serials.iter().copied().map(serial))
    }
}

fn list(issuer: &Issuer<'_, KeyPair>, serials: impl Iterator<Item = SerialNumber>) -> Vec<u8> {
    let now = SystemTime::now();
    let revoked = |serial_number| RevokedCertParams {
        serial_number,
        revocation_time: now.into(),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + Duration::from_hours(1)).into(),
        crl_number: serial(1),
        issuing_distribution_point: None,
        revoked_certs: serials.map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// The list by which an authority of the mesh takes one certificate back.
fn taking_back(authority: &Authority, revoked: &Certificate) -> RevocationLists {
    let key = KeyPair::from_pem(&authority.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    let leaf = CertificateDer::from_pem_slice(revoked.chain()[0].pem().as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    let taken = SerialNumber::from_slice(leaf.raw_serial());
    lists(&list(&issuer, std::iter::once(taken)))
}

fn lists(der: &[u8]) -> RevocationLists {
    RevocationLists::parse(der).unwrap()
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n")
}

/// Judges a chain as a handshake would.
fn judge(check: &PeerCheck, root: &Signer, chain: &[CertificateDer<'static>]) -> Result<(), PeerError> {
    let mut trusted = RootCertStore::empty();
    trusted.add(root.der.clone()).unwrap();
    check.judge(&Presented {
        end_entity: &chain[0],
        intermediates: &chain[1..],
        trusted: &trusted,
        algorithms: provider(Profile::default()).signature_verification_algorithms,
        now: UnixTime::now(),
        usage: KeyUsage::client_auth(),
    })
}

/// Whether a check with these lists refuses a chain.
fn refuses(lists: RevocationLists, root: &Signer, chain: &[CertificateDer<'static>]) -> bool {
    let revocations = Revocations::new();
    revocations.replace(lists);
    let check = revocations.check();
    let judged = judge(&check, root, chain);
    assert!(!check.is_untracked());
    assert!(matches!(judged, Ok(()) | Err(PeerError::Revoked { .. })), "{judged:?}");
    judged.is_err()
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn id_14_a_revoked_certificate_is_refused_by_either_end() {
    let authority = authority();
    let held = |name| certificate(&authority, &workload(name), &[], Profile::default());
    let (web, db) = (held("web"), held("db"));
    let revocations = Revocations::new();
    let meet = async |checks_in: bool| {
        let check = revocations.check();
        let (near, far) = match checks_in {
            true => (web.clone(), db.checked_by(&check).unwrap()),
            false => (web.checked_by(&check).unwrap(), db.clone()),
        };
        handshake(server_config(&far), client_config(&near, &[workload("db")])).await
    };
    for checks_in in [true, false] {
        let (accepted, connected) = meet(checks_in).await;
        assert!(accepted.is_ok() && connected.is_ok(), "nothing is revoked");
    }
    revocations.replace(taking_back(&authority, &web));
    let (accepted, connected) = meet(true).await;
    let refusal = find_refusal(&accepted.unwrap_err()).unwrap();
    assert!(matches!(&refusal, PeerError::Revoked { found, .. } if *found == workload("web")), "{refusal}");
    assert!(connected.is_err());
    assert!(meet(false).await.1.is_ok(), "db is not revoked");

    revocations.replace(taking_back(&authority, &db));
    let refusal = find_refusal(&meet(false).await.1.unwrap_err()).unwrap();
    assert!(matches!(&refusal, PeerError::Revoked { found, .. } if *found == workload("db")), "{refusal}");
    assert!(meet(true).await.0.is_ok(), "web is no longer revoked");
}

#[test]
fn id_15_a_revoked_intermediate_takes_all_its_leaves_with_it_at_any_depth() {
    let root = Signer::root();
    let first = root.intermediate("first", 11);
    let second = first.intermediate("second", 22);
    let chain = [second.leaf(33), second.der.clone(), first.der.clone()];
    for (signer, serial) in [(&root, 11), (&first, 22), (&second, 33)] {
        assert!(refuses(lists(&signer.list(&[99, serial])), &root, &chain), "{serial}");
        assert!(!refuses(lists(&signer.list(&[99])), &root, &chain), "{serial}");
    }
    let all = [root.list(&[]), first.list(&[22]), second.list(&[])].map(|der| pem(&der)).concat();
    assert!(refuses(lists(all.as_bytes()), &root, &chain));
}

#[test]
fn id_16_18_a_list_reaches_connections_that_are_open_or_just_opening() {
    let root = Signer::root();
    let chain = [root.leaf(5)];
    let revocations = Revocations::new();

    let opening = revocations.check();
    let mut revoked = pin!(opening.revoked());
    assert!(poll_once(revoked.as_mut()).is_pending());
    revocations.replace(lists(&root.list(&[5])));
    assert!(poll_once(revoked.as_mut()).is_pending(), "nobody has come yet");
    assert!(
        matches!(judge(&opening, &root, &chain), Err(PeerError::Revoked { serial, .. }) if serial == "05")
    );

    revocations.replace(lists(&root.list(&[6])));
    let (open, other) = (revocations.check(), revocations.check());
    judge(&open, &root, &chain).unwrap();
    judge(&other, &root, &[root.leaf(7)]).unwrap();
    // Registered only now, and still caught.
    revocations.replace(lists(&root.list(&[5])));
    assert!(matches!(poll_once(open.revoked()), Poll::Ready(PeerError::Revoked { .. })));
    assert!(poll_once(other.revoked()).is_pending(), "another certificate's list");
}

#[test]
fn id_17_authorities_of_one_name_are_told_apart_by_their_keys() {
    let root = Signer::root();
    let (one, two) = (root.intermediate("twin", 11), root.intermediate("twin", 12));
    let of_one = [one.leaf(5), one.der.clone()];
    let of_two = [two.leaf(5), two.der.clone()];
    let list = one.list(&[5]);
    assert!(refuses(lists(&list), &root, &of_one));
    assert!(!refuses(lists(&list), &root, &of_two));
    let both = [two.list(&[]), one.list(&[5])].map(|der| pem(&der)).concat();
    assert!(refuses(lists(both.as_bytes()), &root, &of_one), "the twin's list does not hide it");
    let stranger = Signer::root();
    assert!(!refuses(lists(&stranger.list(&[5, 11, 12])), &root, &of_one), "a root of the same name");
}

#[test]
fn id_17_sec_11_certificates_that_vouch_for_nobody_change_nothing() {
    let root = Signer::root();
    let (good, revoked) = (root.intermediate("good", 11), root.intermediate("revoked", 12));
    let list = root.list(&[12]);
    let with_junk = |signer: &Signer, junk: &Signer| [signer.leaf(5), junk.der.clone(), signer.der.clone()];
    assert!(!refuses(lists(&list), &root, &with_junk(&good, &revoked)));
    assert!(refuses(lists(&list), &root, &with_junk(&revoked, &good)));
}

#[test]
fn id_19_texts_that_are_lists_and_texts_that_are_not() {
    let root = Signer::root();
    let (one, two) = (root.list(&[1]), root.list(&[2]));
    let concatenated = pem(&one) + "# a remark\n" + &pem(&two);
    for (bytes, count) in
        [(&b""[..], 0), (b" \n", 0), (&one, 1), (pem(&one).as_bytes(), 1), (concatenated.as_bytes(), 2)]
    {
        assert_eq!(RevocationLists::parse(bytes).unwrap().len(), count);
    }
    let truncated = pem(&one[..one.len() - 1]);
    for bytes in [&b"no list"[..], b"0garbage", &one[..20], truncated.as_bytes(), root.der.as_ref()] {
        let error = RevocationLists::parse(bytes).unwrap_err();
        assert!(error.to_string().starts_with("it"), "{error}");
    }
    let second = pem(&one) + &pem(&one[..30]);
    let error = RevocationLists::parse(second.as_bytes()).unwrap_err();
    assert!(matches!(error, InvalidList::Unusable { number: 2, .. }), "{error}");
}

#[test]
fn id_19_a_file_may_come_late_and_be_replaced_and_what_is_no_list_changes_nothing() {
    let (root, directory) = (Signer::root(), tempfile::tempdir().unwrap());
    let path = directory.path().join("ca-crl.pem");
    let (revocations, mut file) = (Revocations::new(), RevocationFile::new(&path));
    let in_force = |serial: u8| judge(&revocations.check(), &root, &[root.leaf(serial)]).is_err();
    let mut write = |bytes: &[u8]| {
        // As Kubernetes does: another file, moved into the place.
        let fresh = directory.path().join("fresh");
        std::fs::write(&fresh, bytes).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        file.refresh(&revocations);
    };
    assert!(!in_force(5));
    write(&root.list(&[5]));
    assert!(in_force(5));
    write(b"garbage");
    assert!(in_force(5), "what was read before stays in force");
    write(&root.list(&[6]));
    assert!(!in_force(5) && in_force(6));
    write(b"");
    assert!(!in_force(6));
    std::fs::remove_file(&path).unwrap();
    let mut late = RevocationFile::new(&path);
    late.refresh(&revocations);
    std::fs::write(&path, root.list(&[7])).unwrap();
    late.refresh(&revocations);
    assert!(in_force(7));
}

#[test]
fn id_20_a_peer_whose_chain_cannot_be_followed_is_believed_and_counted() {
    let (root, other) = (Signer::root(), Signer::root());
    let revocations = Revocations::new();
    let check = revocations.check();
    judge(&check, &root, &[other.leaf(5)]).unwrap();
    assert!(check.is_untracked());
    revocations.replace(lists(&other.list(&[5])));
    assert!(poll_once(check.revoked()).is_pending());
}
