//! Tests of `dns::upstream`, against servers on the loopback address.

use std::collections::BTreeSet;

use hickory_proto::rr::RecordType;
use tokio::sync::Semaphore;

use super::*;
use crate::dns::tests::fake::{FakeServer, Say, query, reply, upstream, with_addresses};

fn www() -> Message {
    query("www.example.com.", RecordType::A)
}

/// The answers to a query for `www.example.com`, as text.
async fn answers(upstream: &Upstream) -> Vec<String> {
    let reply = Message::from_vec(&upstream.ask(&www()).await.unwrap()).unwrap();
    reply.answers.iter().map(|record| record.data.to_string()).collect()
}

async fn answering(ip: &'static str) -> FakeServer {
    FakeServer::start(move |query, _| Say::This(with_addresses(query, &[ip]))).await
}

async fn silent() -> FakeServer {
    FakeServer::start(|_, _| Say::Nothing).await
}

#[tokio::test]
async fn every_query_has_an_id_and_a_port_of_its_own() {
    let server = answering("192.0.2.1").await;
    let upstream = upstream(&[server.address]);
    for _ in 0..20 {
        assert_eq!(answers(&upstream).await, ["192.0.2.1"]);
    }
    let (ids, ports): (BTreeSet<_>, BTreeSet<_>) = server.ids_and_ports().into_iter().unzip();
    assert!(ids.len() > 15 && ports.len() > 10, "{ids:?} {ports:?}");
}

#[tokio::test]
async fn a_reply_to_another_question_or_with_another_id_is_none() {
    let server = FakeServer::start(|query, _| {
        let real = with_addresses(query, &["192.0.2.1"]);
        let mut guessed = with_addresses(query, &["192.0.2.66"]);
        guessed.metadata.id = guessed.metadata.id.wrapping_add(1);
        let mut other = with_addresses(&www(), &["192.0.2.67"]);
        other.metadata.id = query.metadata.id;
        other.queries[0].set_query_type(RecordType::AAAA);
        let mut two = real.clone();
        two.queries.push(two.queries[0].clone());
        let said = [guessed, other, two, query.clone(), real];
        Say::Bytes(said.iter().map(encode).chain([b"garbage".to_vec()]).collect())
    });
    let server = server.await;
    assert_eq!(answers(&upstream(&[server.address])).await, ["192.0.2.1"]);
}

#[tokio::test]
async fn who_guesses_too_often_is_not_listened_to() {
    let server = FakeServer::start(|query, _| {
        let mut guessed = with_addresses(query, &["192.0.2.66"]);
        guessed.metadata.id = guessed.metadata.id.wrapping_add(1);
        Say::Bytes(vec![encode(&guessed); MOST_STRANGERS])
    });
    let server = server.await;
    let error = upstream(&[server.address]).ask(&www()).await.unwrap_err().to_string();
    assert!(error.contains("do not fit the question"), "{error}");
}

#[tokio::test]
async fn a_reply_that_does_not_fit_comes_over_tcp() {
    let many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
    let server = FakeServer::start(move |query, tcp| {
        let all: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut reply = with_addresses(query, if tcp { &all } else { &all[..3] });
        reply.metadata.truncation = !tcp;
        Say::This(reply)
    });
    let server = server.await;
    assert_eq!(answers(&upstream(&[server.address])).await.len(), 200);
}

#[tokio::test]
async fn a_server_that_does_not_help_is_not_the_last() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp] {
        let poor = FakeServer::start(move |query, _| Say::This(reply(query, code))).await;
        let good = answering("192.0.2.2").await;
        assert_eq!(answers(&upstream(&[poor.address, good.address])).await, ["192.0.2.2"]);
        // Where there is no other, what it says is said.
        let bytes = upstream(&[poor.address]).ask(&www()).await.unwrap();
        assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, code);
        assert_eq!(poor.heard().len(), 2, "once each time");
    }
}

#[tokio::test]
async fn that_there_is_no_such_name_is_an_answer() {
    let first = FakeServer::start(|query, _| Say::This(reply(query, ResponseCode::NXDomain))).await;
    let second = answering("192.0.2.2").await;
    assert!(answers(&upstream(&[first.address, second.address])).await.is_empty());
    assert!(second.heard().is_empty());
}

#[tokio::test]
async fn instead_of_a_silent_server_the_next_is_asked() {
    let (silent, good) = (silent().await, answering("192.0.2.2").await);
    let mut impatient = upstream(&[silent.address, good.address]);
    impatient.patience.one = Duration::from_millis(50);
    assert_eq!(answers(&impatient).await, ["192.0.2.2"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_holds_nothing_up() {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = answering("192.0.2.2").await;
    assert_eq!(answers(&upstream(&[gone, good.address])).await, ["192.0.2.2"]);
    let error = upstream(&[gone]).ask(&www()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("name server {gone}: ")), "{error}");
}

#[tokio::test]
async fn a_late_reply_counts_and_no_query_is_sent_more_than_three_times() {
    let gate = Arc::new(Semaphore::new(0));
    let (opened, tries) = (Arc::clone(&gate), Arc::new(Semaphore::new(0)));
    let counted = Arc::clone(&tries);
    let server = FakeServer::start(move |query, _| {
        counted.add_permits(1);
        Say::Later(Arc::clone(&opened), with_addresses(query, &["192.0.2.1"]))
    });
    let server = server.await;
    let mut upstream = upstream(&[server.address]);
    upstream.patience.one = Duration::from_millis(50);
    let asking = tokio::spawn(async move { answers(&upstream).await });
    // After the third try the first is answered.
    let _ = tries.acquire_many(3).await.unwrap();
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), ["192.0.2.1"]);
    assert_eq!(server.heard().len(), MOST_TRIES);
}

#[tokio::test]
async fn when_nobody_answers_that_is_said() {
    let server = silent().await;
    let mut impatient = upstream(&[server.address]);
    impatient.patience = Patience { one: Duration::from_millis(5), all: Duration::from_millis(50) };
    let error = impatient.ask(&www()).await.unwrap_err().to_string();
    assert_eq!(error, "no name server answered within 50 ms");
    let error = upstream(&[]).ask(&www()).await.unwrap_err().to_string();
    assert_eq!(error, "there is no name server to ask; name one in ztunnel's resolv.conf");
}
