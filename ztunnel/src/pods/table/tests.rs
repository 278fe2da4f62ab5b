//! The node agent's messages against the table, with proxies that only say what became of them.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// Every start and stop, in order.
#[derive(Clone, Default)]
struct Events(Rc<RefCell<Vec<String>>>);

impl Events {
    fn push(&self, event: String) {
        self.0.borrow_mut().push(event);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

struct Proxy(String, Events);

impl Drop for Proxy {
    fn drop(&mut self) {
        self.1.push(format!("stop {}", self.0));
    }
}

struct Node {
    table: Table<(), Proxy>,
    events: Events,
    /// Starting fails.
    port_taken: bool,
}

impl Node {
    fn new() -> Self {
        let mut node = Node { table: Table::new(), events: Events::default(), port_taken: false };
        node.table.begin_snapshot();
        node
    }

    fn add(&mut self, uid: &str, inode: u64) -> Result<(), &'static str> {
        let (events, taken) = (self.events.clone(), self.port_taken);
        let name = format!("{uid}/{inode}");
        self.table.add(id(uid), Known { inode, held: () }, |_| start(name, &events, taken))
    }

    fn retry(&mut self) {
        let (events, taken) = (self.events.clone(), self.port_taken);
        self.table.retry(|uid, known| start(format!("{uid}/{}", known.inode), &events, taken));
    }
}

fn start(name: String, events: &Events, port_taken: bool) -> Result<Option<Proxy>, &'static str> {
    events.push(format!("{} {name}", if port_taken { "fail" } else { "start" }));
    if port_taken { Err("address in use") } else { Ok(Some(Proxy(name, events.clone()))) }
}

fn id(uid: &str) -> PodUid {
    PodUid(uid.into())
}

#[test]
fn cni_10_a_repeated_add_changes_nothing() {
    let mut node = Node::new();
    node.add("a", 1).unwrap();
    node.add("a", 1).unwrap();
    assert_eq!(node.events.take(), ["start a/1"]);
}

#[test]
fn cni_10_another_namespace_replaces_the_proxy() {
    let mut node = Node::new();
    node.add("a", 1).unwrap();
    node.add("a", 2).unwrap();
    assert_eq!(node.events.take(), ["start a/1", "stop a/1", "start a/2"]);
    assert_eq!(node.table.len(), 1);
}

#[test]
fn cni_11_a_failed_start_is_pending_until_a_retry_succeeds() {
    let mut node = Node::new();
    node.port_taken = true;
    assert_eq!(node.add("a", 1), Err("address in use"));
    node.table.end_snapshot().unwrap();
    assert!(!node.table.is_settled());
    node.retry();
    assert!(!node.table.is_settled());
    node.port_taken = false;
    node.retry();
    assert!(node.table.is_settled());
    node.retry();
    assert_eq!(node.events.take(), ["fail a/1", "fail a/1", "start a/1"]);
}

#[test]
fn cni_11_a_pending_add_is_cancelled_by_another_namespace_or_a_del() {
    let mut node = Node::new();
    node.port_taken = true;
    node.add("a", 1).unwrap_err();
    node.add("b", 1).unwrap_err();
    node.port_taken = false;
    node.add("a", 2).unwrap();
    node.table.remove(&id("b"));
    node.table.end_snapshot().unwrap();
    node.retry();
    assert_eq!(node.events.take(), ["fail a/1", "fail b/1", "start a/2"]);
    assert!(node.table.is_settled());
}

#[test]
fn cni_11_a_repeated_add_of_a_pending_pod_tries_at_once() {
    let mut node = Node::new();
    node.port_taken = true;
    node.add("a", 1).unwrap_err();
    node.port_taken = false;
    node.add("a", 1).unwrap();
    assert_eq!(node.events.take(), ["fail a/1", "start a/1"]);
}

#[test]
fn cni_12_after_a_reconnect_only_pods_outside_the_snapshot_stop() {
    let mut node = Node::new();
    for (uid, inode) in [("kept", 1), ("added again", 2), ("moved", 3), ("gone", 4)] {
        node.add(uid, inode).unwrap();
    }
    node.port_taken = true;
    node.add("pending and gone", 5).unwrap_err();
    node.port_taken = false;
    node.table.end_snapshot().unwrap();
    node.events.take();

    node.table.begin_snapshot();
    assert!(!node.table.is_settled());
    node.table.keep(&id("kept")).unwrap();
    node.add("added again", 2).unwrap();
    node.add("moved", 6).unwrap();
    assert_eq!(node.events.take(), ["stop moved/3", "start moved/6"]);
    node.table.end_snapshot().unwrap();
    assert_eq!(node.events.take(), ["stop gone/4"]);
    assert!(node.table.is_settled());
    assert_eq!(node.table.len(), 3);
}

#[test]
fn cni_09_messages_out_of_order_are_refused() {
    let mut node = Node::new();
    node.add("a", 1).unwrap();
    node.table.end_snapshot().unwrap();
    assert!(node.table.keep(&id("a")).is_err());
    assert!(node.table.end_snapshot().is_err());
    assert!(node.table.is_settled(), "a refused message changes nothing");
}

#[test]
fn cni_18_a_keep_of_another_ztunnel_s_pod_is_none_of_ours() {
    let mut node = Node::new();
    node.table.keep(&id("unknown")).unwrap();
    node.table.end_snapshot().unwrap();
    assert_eq!(node.table.len(), 0);
    assert!(node.table.is_settled());
}

#[test]
fn cni_20_a_del_stops_at_once_even_before_the_snapshot_and_twice() {
    let mut node = Node::new();
    node.add("a", 1).unwrap();
    node.table.remove(&id("a"));
    assert_eq!(node.events.take(), ["start a/1", "stop a/1"]);
    node.table.remove(&id("a"));
    node.table.end_snapshot().unwrap();
    assert!(node.events.take().is_empty());
}

#[test]
fn up_13_not_settled_before_the_first_snapshot() {
    let mut node = Node::new();
    assert!(!node.table.is_settled());
    node.table.end_snapshot().unwrap();
    assert!(node.table.is_settled(), "an empty node is ready");
}

#[test]
fn cni_10_a_namespace_has_one_proxy_whoever_claims_it() {
    let mut node = Node::new();
    node.add("a", 7).unwrap();
    node.add("other", 8).unwrap();
    node.add("b", 7).unwrap();
    assert_eq!(node.events.take(), ["start a/7", "start other/8", "stop a/7", "start b/7"]);
    // What is said of the first from now on is about nobody.
    node.table.keep(&id("a")).unwrap();
    node.table.remove(&id("a"));
    node.retry();
    assert!(node.events.take().is_empty());
    assert_eq!(node.table.len(), 2);
}
