//! Tests of `taint`.

use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::Value;
use tokio::sync::mpsc;

use super::*;
use crate::fake_api::{Call, client, conflict};

/// A node whose taints can be changed, and which tells of writes.
#[derive(Clone)]
struct FakeNode {
    version: Arc<Mutex<u32>>,
    taints: Arc<Mutex<Value>>,
    /// How many writes come too late.
    conflicts: Arc<Mutex<usize>>,
    written: mpsc::UnboundedSender<Value>,
}

impl FakeNode {
    fn object(&self) -> Value {
        let (version, taints) =
            (self.version.lock().unwrap().to_string(), self.taints.lock().unwrap().clone());
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": "n1", "resourceVersion": version }, "spec": { "taints": taints },
        })
    }

    async fn answer(self, call: Call, mut news: tokio::sync::watch::Receiver<u32>) -> (u16, Value) {
        match (call.method, call.path.ends_with("/n1")) {
            (Method::GET, true) => (200, self.object()),
            (Method::GET, false) if call.is_watch => {
                let seen = *self.version.lock().unwrap();
                let _ = news.wait_for(|version| *version > seen).await;
                *self.version.lock().unwrap() += 1;
                (200, json!({ "type": "MODIFIED", "object": self.object() }))
            }
            (Method::GET, false) => {
                let metadata = json!({ "resourceVersion": self.version.lock().unwrap().to_string() });
                let items = [self.object()];
                (200, json!({ "apiVersion": "v1", "kind": "NodeList", "metadata": metadata, "items": items }))
            }
            _ if *self.conflicts.lock().unwrap() > 0 => {
                *self.conflicts.lock().unwrap() -= 1;
                conflict()
            }
            _ => {
                *self.taints.lock().unwrap() = call.body["spec"]["taints"].clone();
                self.written.send(call.body).unwrap();
                (200, self.object())
            }
        }
    }
}

fn taint(key: &str, effect: &str) -> Value {
    json!({ "key": key, "effect": effect })
}

#[tokio::test]
async fn cni_07_the_taint_goes_when_the_agent_is_ready_and_whenever_it_comes_back() {
    let (written, mut writes) = mpsc::unbounded_channel();
    let other = taint("dedicated", "NoExecute");
    let node = FakeNode {
        version: Arc::new(Mutex::new(1)),
        taints: Arc::new(Mutex::new(json!([taint(KEY, "NoSchedule"), other, taint(KEY, "NoExecute")]))),
        conflicts: Arc::new(Mutex::new(2)),
        written,
    };
    let (news, receiver) = tokio::sync::watch::channel(0);
    let client = {
        let node = node.clone();
        client(move |call| node.clone().answer(call, receiver.clone())).await
    };
    let readiness = Readiness::new();
    let starting = readiness.register("pods");
    let keeping = tokio::spawn(keep_off(client, "n1".to_owned(), readiness));
    let early = timeout(POLL * 2, writes.recv()).await;
    assert!(early.is_err(), "the agent is not ready");
    starting.done();
    let write = writes.recv().await.unwrap();
    assert_eq!(write["spec"]["taints"], json!([other]), "the other taint stays");
    assert_eq!(write["metadata"]["resourceVersion"], "1");
    *node.taints.lock().unwrap() = json!([taint(KEY, "NoSchedule")]);
    news.send_replace(2);
    assert_eq!(writes.recv().await.unwrap()["spec"]["taints"], json!([]));
    keeping.abort();
}
