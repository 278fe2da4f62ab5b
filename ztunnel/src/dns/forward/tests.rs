//! Tests of `dns::forward`, against a server on the loopback address.

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tokio::sync::Semaphore;

use super::*;
use crate::dns::tests::fake::{FakeServer, Say, nobody, query, reply, upstream, with_addresses};

fn parsed(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap()
}

#[tokio::test]
async fn dns_06_the_second_who_asks_is_told_from_the_cache() {
    let server = FakeServer::start(|query, _| match query.queries[0].query_type() {
        RecordType::A => Say::This(with_addresses(query, &["192.0.2.1"])),
        _ => Say::This(nobody(query)),
    });
    let server = server.await;
    let forwarder = Forwarder::new(upstream(&[server.address]));
    for kind in [RecordType::A, RecordType::MX] {
        let first = parsed(&forwarder.ask(query("www.example.com.", kind)).await.unwrap());
        let second = parsed(&forwarder.find(&query("www.example.com.", kind)).unwrap());
        assert_eq!(first.metadata.response_code, second.metadata.response_code);
        assert_eq!(first.answers.len(), second.answers.len());
    }
    assert_eq!(server.heard(), ["www.example.com. A", "www.example.com. MX"]);
    // Another flag is another query.
    let mut unchecked = query("www.example.com.", RecordType::A);
    unchecked.metadata.checking_disabled = true;
    assert!(forwarder.find(&unchecked).is_none());
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let count = AtomicUsize::new(0);
    let server = FakeServer::start(move |query, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Say::This(reply(query, ResponseCode::ServFail)),
        _ => Say::This(with_addresses(query, &["192.0.2.1"])),
    });
    let server = server.await;
    let forwarder = Forwarder::new(upstream(&[server.address]));
    let first = forwarder.ask(query("www.", RecordType::A)).await.unwrap();
    assert_eq!(parsed(&first).metadata.response_code, ResponseCode::ServFail);
    let second = forwarder.ask(query("www.", RecordType::A)).await.unwrap();
    assert_eq!(parsed(&second).answers.len(), 1);
}

#[tokio::test]
async fn no_amplification_those_who_ask_the_same_at_once_are_one_query() {
    let gate = Arc::new(Semaphore::new(0));
    let (opened, asked) = (Arc::clone(&gate), Arc::new(Semaphore::new(0)));
    let told = Arc::clone(&asked);
    let server = FakeServer::start(move |query, _| {
        told.add_permits(1);
        Say::Later(Arc::clone(&opened), with_addresses(query, &["192.0.2.1"]))
    });
    let server = server.await;
    let forwarder = Forwarder::new(upstream(&[server.address]));
    let ask = || {
        let forwarder = Arc::clone(&forwarder);
        tokio::spawn(async move { forwarder.ask(query("www.", RecordType::A)).await })
    };
    let first = ask();
    let _ = asked.acquire().await.unwrap();
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    // Who began it may leave; the others go on with it.
    first.abort();
    let _ = first.await;
    gate.add_permits(1);
    for other in others {
        assert_eq!(parsed(&other.await.unwrap().unwrap()).answers.len(), 1);
    }
    assert_eq!(server.heard().len(), 1);
    assert!(forwarder.lock().under_way.is_empty());
}

#[tokio::test]
async fn a_query_that_everybody_left_is_over_and_begins_anew() {
    let asked = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&asked);
    let server = FakeServer::start(move |query, _| {
        told.add_permits(1);
        match query.queries[0].query_type() {
            RecordType::A => Say::Nothing,
            _ => Say::This(nobody(query)),
        }
    });
    let server = server.await;
    let forwarder = Forwarder::new(upstream(&[server.address]));
    let left = Arc::clone(&forwarder);
    let leaving = tokio::spawn(async move { left.ask(query("www.", RecordType::A)).await.map(drop) });
    let _ = asked.acquire().await.unwrap();
    leaving.abort();
    let _ = leaving.await;
    forwarder.ask(query("other.", RecordType::AAAA)).await.unwrap();
    assert!(forwarder.lock().under_way.is_empty(), "nothing is left of it");
}
