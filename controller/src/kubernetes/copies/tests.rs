//! Tests of `copies`: a leader over an API server in memory.

use std::time::Duration;

use mesh_identity::authority::{Authority, RootKey};
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::ca::CurrentAuthority;
use crate::kubernetes::fake_api::{Call, Objects, client, failure};

fn authority() -> Authority {
    Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Ecdsa).unwrap()
}

fn path(copies: Copies, namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps/{}", copies.name)
}

/// Lists two namespaces and no ConfigMap, then watches without news; `failing` cannot be written to
/// at first. Writes are told.
fn cluster(copies: Copies, objects: Objects, written: mpsc::UnboundedSender<String>) -> Client {
    let failed = std::sync::atomic::AtomicBool::new(false);
    client(move |call: Call| {
        let list = |items| json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items });
        let namespace = |name| json!({ "metadata": { "name": name } });
        let answer = match call.path.as_str() {
            _ if call.query.contains("watch=true") => None,
            "/api/v1/namespaces" => Some((200, list(vec![namespace("prod"), namespace("failing")]))),
            "/api/v1/configmaps" => {
                let selector = format!("fieldSelector=metadata.name%3D{}", copies.name);
                assert!(call.query.contains(&selector), "{}", call.query);
                Some((200, list(vec![])))
            }
            _ => {
                let fails = call.path.contains("/failing/")
                    && !failed.swap(true, std::sync::atomic::Ordering::Relaxed);
                let path = call.path.clone();
                let answer = if fails { failure(500, "no") } else { objects.answer(call) };
                written.send(path).unwrap();
                Some(answer)
            }
        };
        async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_leader_writes_everywhere_tries_again_and_follows_the_authority() {
    let objects = Objects::default();
    let (told, mut written) = mpsc::unbounded_channel();
    let current = CurrentAuthority::new(authority());
    let (lead, leader) = watch::channel(false);
    let task = tokio::spawn(distribute(
        cluster(ROOTS, objects.clone(), told),
        ROOTS,
        current.changes(),
        |authority| Some(authority.root_pem().to_owned()),
        leader,
    ));
    tokio::task::yield_now().await;
    assert_eq!(objects.count("/"), 0, "only the leader writes");
    lead.send_replace(true);
    // Two, of which one fails, and that again.
    for _ in 0..3 {
        written.recv().await.unwrap();
    }
    for namespace in ["prod", "failing"] {
        let map = objects.get(&path(ROOTS, namespace)).unwrap();
        assert_eq!(map["data"]["root-cert.pem"], current.get().root_pem());
        assert_eq!(map["metadata"]["labels"], json!({ "istio.io/config": "true" }));
    }
    let new = authority();
    let root = new.root_pem().to_owned();
    current.replace(new);
    for _ in 0..2 {
        written.recv().await.unwrap();
    }
    assert_eq!(objects.get(&path(ROOTS, "prod")).unwrap()["data"]["root-cert.pem"], root);
    lead.send_replace(false);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn id_21_lists_of_what_was_revoked_are_everywhere_once_there_are_any() {
    let objects = Objects::default();
    let (told, mut written) = mpsc::unbounded_channel();
    let (lists, source) = watch::channel(None::<String>);
    let (_lead, leader) = watch::channel(true);
    let client = cluster(REVOCATION_LISTS, objects.clone(), told);
    let task = tokio::spawn(distribute(client, REVOCATION_LISTS, source, Clone::clone, leader));
    tokio::task::yield_now().await;
    assert_eq!(objects.count("/"), 0, "somebody else may have made them");
    for text in ["list", "another"] {
        lists.send_replace(Some(text.to_owned()));
        // The first time, one of two fails, and that again.
        for _ in 0..if text == "list" { 3 } else { 2 } {
            written.recv().await.unwrap();
        }
        for namespace in ["prod", "failing"] {
            let map = objects.get(&path(REVOCATION_LISTS, namespace)).unwrap();
            assert_eq!(map["data"], json!({ "ca-crl.pem": text }));
        }
    }
    task.abort();
}
