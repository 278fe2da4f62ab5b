//! Tests of `authority`: replicas over one API server in memory, and files as an operator changes them.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use mesh_identity::authority::{Authority, RootKey};
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, SerialNumber};
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::fake_api::Objects;

const SECRET: &str = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret";

fn settings(directory: &Path) -> AuthoritySettings {
    AuthoritySettings {
        directory: directory.to_owned(),
        namespace: "istio-system".to_owned(),
        trust_domain: "cluster.local".to_owned(),
    }
}

async fn open(objects: &Objects) -> anyhow::Result<AuthorityKeeper> {
    AuthorityKeeper::open(objects.client(), &settings(Path::new("/nonexistent"))).await
}

fn authority(hours: u64) -> Authority {
    Authority::self_signed("cluster.local", Duration::from_hours(hours), RootKey::Ecdsa).unwrap()
}

fn secret(authority: &Authority) -> Value {
    let encode = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "istio-ca-secret", "namespace": "istio-system" },
        "data": {
            "ca-cert.pem": encode(authority.certificate_pem()), "ca-key.pem": encode(&authority.key_pem()),
            "cert-chain.pem": "", "key.pem": "", "root-cert.pem": encode(authority.root_pem()),
        }
    })
}

fn write(directory: &Path, authority: &Authority) {
    let key = authority.key_pem();
    let texts = [
        ("ca-cert.pem", authority.certificate_pem()),
        ("ca-key.pem", &key),
        ("cert-chain.pem", ""),
        ("root-cert.pem", authority.root_pem()),
    ];
    for (name, text) in texts {
        fs::write(directory.join(name), text).unwrap();
    }
}

#[tokio::test]
async fn replicas_that_start_together_share_one_root() {
    let objects = Objects::default();
    let keepers = futures_util::future::join_all((0..5).map(|_| open(&objects))).await;
    let roots = keepers.into_iter().map(|keeper| keeper.unwrap().current().get().root_pem().to_owned());
    let roots: std::collections::BTreeSet<String> = roots.collect();
    assert_eq!(roots.len(), 1);
    let stored = objects.get(SECRET).unwrap();
    assert_eq!(stored["type"], "istio.io/ca-root");
    let again = open(&objects).await.unwrap();
    assert!(roots.contains(again.current().get().root_pem()), "after a restart too");
}

#[tokio::test]
async fn the_loser_of_the_race_takes_the_winners_root() {
    let objects = Objects::default();
    let winner = authority(24);
    let (server, stored) = (objects.clone(), secret(&winner));
    // Between the look and the creation somebody else creates.
    let client = crate::kubernetes::fake_api::client(move |call| {
        if call.method == http::Method::POST && server.get(SECRET).is_none() {
            server.put(SECRET, stored.clone());
        }
        std::future::ready(server.answer(call))
    });
    let keeper = AuthorityKeeper::open(client, &settings(Path::new("/nonexistent"))).await.unwrap();
    assert_eq!(keeper.current().get().root_pem(), winner.root_pem());
}

#[tokio::test]
async fn a_secret_of_istio_is_taken_over_and_a_broken_one_is_refused_by_name() {
    let objects = Objects::default();
    let rsa = Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Rsa).unwrap();
    let mut stored = secret(&rsa);
    stored["data"].as_object_mut().unwrap().remove("root-cert.pem");
    objects.put(SECRET, stored.clone());
    assert_eq!(open(&objects).await.unwrap().current().get().root_pem(), rsa.root_pem());
    for missing in ["ca-cert.pem", "ca-key.pem"] {
        let mut broken = stored.clone();
        broken["data"].as_object_mut().unwrap().remove(missing);
        objects.put(SECRET, broken);
        let error = format!("{:#}", open(&objects).await.err().unwrap());
        assert!(error.contains(&format!("has no {missing}")), "{error}");
    }
    let mut mixed = secret(&authority(24));
    mixed["data"]["ca-key.pem"] = secret(&authority(24))["data"]["ca-key.pem"].clone();
    objects.put(SECRET, mixed);
    let error = format!("{:#}", open(&objects).await.err().unwrap());
    assert!(error.contains("ca-key.pem is not the key of ca-cert.pem"), "{error}");
}

#[tokio::test]
async fn every_replica_follows_the_secret_and_a_broken_one_changes_nothing() {
    let objects = Objects::default();
    let mut keeper = open(&objects).await.unwrap();
    let new = authority(24);
    objects.put(SECRET, secret(&new));
    keeper.follow(false).await.unwrap();
    assert_eq!(keeper.current().get().root_pem(), new.root_pem());
    objects.put(SECRET, json!({ "metadata": { "name": "istio-ca-secret" } }));
    keeper.follow(true).await.unwrap_err();
    assert_eq!(keeper.current().get().root_pem(), new.root_pem());
}

#[tokio::test]
async fn the_leader_puts_a_deleted_secret_back_with_the_same_root() {
    let objects = Objects::default();
    let mut keeper = open(&objects).await.unwrap();
    let root = keeper.current().get().root_pem().to_owned();
    objects.remove(SECRET);
    keeper.follow(false).await.unwrap_err();
    assert!(objects.get(SECRET).is_none());
    keeper.follow(true).await.unwrap();
    assert_eq!(open(&objects).await.unwrap().current().get().root_pem(), root);
}

#[tokio::test]
async fn only_the_leader_renews_a_root_at_the_end_of_its_life() {
    let objects = Objects::default();
    // Backdated by minutes and good for seconds: in the last fifth of its life.
    let old = Authority::self_signed("cluster.local", Duration::from_secs(20), RootKey::Ecdsa).unwrap();
    objects.put(SECRET, secret(&old));
    let mut replicas = [open(&objects).await.unwrap(), open(&objects).await.unwrap()];
    replicas[0].follow(false).await.unwrap();
    assert_eq!(replicas[0].current().get().root_pem(), old.root_pem());
    replicas[1].follow(true).await.unwrap();
    replicas[0].follow(false).await.unwrap();
    for replica in &replicas {
        let root = replica.current().get().root_pem().to_owned();
        assert!(root.contains(old.root_pem()) && root.len() > old.root_pem().len(), "both are trusted");
    }
    let stored = objects.get(SECRET);
    replicas[1].follow(true).await.unwrap();
    assert_eq!(objects.get(SECRET), stored, "once is enough");
}

#[tokio::test]
async fn plugged_in_files_come_first_and_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (authority(24), authority(24));
    write(directory.path(), &first);
    let objects = Objects::default();
    let mut keeper = AuthorityKeeper::open(objects.client(), &settings(directory.path())).await.unwrap();
    assert_eq!(keeper.current().get().root_pem(), first.root_pem());
    assert_eq!(objects.count("/"), 0, "no root of our own is made");
    // Half of a new set.
    fs::write(directory.path().join("ca-cert.pem"), second.certificate_pem()).unwrap();
    keeper.follow(true).await.unwrap_err();
    assert_eq!(keeper.current().get().root_pem(), first.root_pem());
    write(directory.path(), &second);
    keeper.follow(false).await.unwrap();
    assert_eq!(keeper.current().get().root_pem(), second.root_pem());
    fs::remove_file(directory.path().join("ca-key.pem")).unwrap();
    let error = format!("{:#}", keeper.follow(false).await.unwrap_err());
    assert!(error.contains("ca-key.pem is missing"), "{error}");
    assert_eq!(keeper.current().get().root_pem(), second.root_pem());
    let started = AuthorityKeeper::open(objects.client(), &settings(directory.path())).await;
    assert!(started.is_err(), "at the start a part of a set is fatal");
}

/// A list with nothing on it.
fn revocation_list(authority: &Authority) -> String {
    let now = SystemTime::now();
    let list = CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + Duration::from_hours(1)).into(),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let key = KeyPair::from_pem(&authority.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    list.signed_by(&issuer).and_then(|list| list.pem()).unwrap()
}

#[tokio::test]
async fn id_21_revocation_lists_beside_a_plugged_in_authority_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &authority(24));
    let lists = directory.path().join("ca-crl.pem");
    let objects = Objects::default();
    let mut keeper = AuthorityKeeper::open(objects.client(), &settings(directory.path())).await.unwrap();
    let revoked = keeper.revoked();
    assert_eq!(*revoked.borrow(), None);
    let before = keeper.current().get();
    let list = revocation_list(&before);
    fs::write(&lists, &list).unwrap();
    keeper.follow(false).await.unwrap();
    assert_eq!(revoked.borrow().as_deref(), Some(list.as_str()));
    assert!(std::sync::Arc::ptr_eq(&keeper.current().get(), &before), "the authority is the same");
    fs::write(&lists, "-----BEGIN X509 CRL-----\nnonsense\n-----END X509 CRL-----\n").unwrap();
    let error = format!("{:#}", keeper.follow(false).await.unwrap_err());
    assert!(error.contains("ca-crl.pem cannot be used"), "{error}");
    assert_eq!(revoked.borrow().as_deref(), Some(list.as_str()));
    // A new authority is taken over all the same, and lists that are none do not keep a controller from starting.
    let second = authority(24);
    write(directory.path(), &second);
    keeper.follow(false).await.unwrap_err();
    assert_eq!(keeper.current().get().root_pem(), second.root_pem());
    let started = AuthorityKeeper::open(objects.client(), &settings(directory.path())).await.unwrap();
    assert_eq!(*started.revoked().borrow(), None);
    fs::write(&lists, "").unwrap();
    keeper.follow(false).await.unwrap();
    assert_eq!(revoked.borrow().as_deref(), Some(""));
}
