//! The server against a stream driven by hand.

use std::time::Duration;

use mesh_proto::discovery::{DeltaDiscoveryRequest, Node, Status as Detail};
use tonic::Code;

use super::{FRUIT, RawStream, STONE, entry, first, names, node, serve, soon};
use crate::{Audience, Change, Entry, Publisher, ServerSettings, version_of};

fn upsert(name: &str, text: &str) -> Change {
    Change::Upsert(entry(name, text))
}

fn subscribe(names: &[&str], unsubscribe: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: FRUIT.into(),
        resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
        resource_names_unsubscribe: unsubscribe.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_empty_set_is_answered_and_versions_are_hashes_of_the_bytes() {
    let publisher = Publisher::new();
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    let response = stream.next().await;
    assert_eq!((response.type_url.as_str(), response.resources.len()), (FRUIT, 0));
    assert!(!response.nonce.is_empty());
    stream.ack(&response).await;

    assert_eq!(publisher.publish(FRUIT, vec![upsert("pear", "green"), upsert("lime", "sour")]), 2);
    let response = stream.next().await;
    assert_eq!(names(&response), ["lime", "pear"], "changes published together arrive together");
    let pear = response.resources.iter().find(|resource| resource.name == "pear").unwrap();
    assert_eq!(pear.version, version_of(b"green"));
    assert_eq!(pear.resource.as_ref().unwrap().type_url, FRUIT);
    stream.ack(&response).await;

    // What changes nothing is not sent; the next response is the one after it.
    assert_eq!(publisher.publish(FRUIT, vec![upsert("pear", "green"), Change::Remove("nothing".into())]), 0);
    publisher.publish(FRUIT, vec![Change::Remove("lime".into())]);
    let response = stream.next().await;
    assert_eq!((names(&response), response.removed_resources.as_slice()), (vec![], &["lime".to_owned()][..]));
}

#[tokio::test]
async fn up_12_known_versions_are_skipped_and_what_is_gone_is_removed() {
    let publisher = Publisher::new();
    publisher.publish(FRUIT, vec![upsert("pear", "green"), upsert("lime", "sour"), upsert("fig", "ripe")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    let mut request = first(FRUIT);
    let known = [("pear", version_of(b"green")), ("lime", "older".into()), ("kiwi", "v".into())];
    request.initial_resource_versions = known.map(|(name, version)| (name.to_owned(), version)).into();
    stream.send(request).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["fig", "lime"]);
    assert_eq!(response.removed_resources, ["kiwi"]);
}

#[tokio::test]
async fn changes_wait_for_the_ack_and_fall_into_one_response() {
    let publisher = Publisher::new();
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    let empty = stream.next().await;
    for round in 0..10 {
        publisher
            .publish(FRUIT, vec![upsert("pear", &format!("{round}")), upsert(&format!("f{round}"), "x")]);
    }
    publisher.publish(FRUIT, vec![Change::Remove("f0".into())]);
    // A nonce that is not the last one answers nothing.
    let mut stale = empty.clone();
    stale.nonce = "stale".into();
    stream.ack(&stale).await;
    // Another type goes on meanwhile; its answer comes first.
    stream.send(first(STONE)).await;
    assert_eq!(stream.next().await.type_url, STONE);
    stream.ack(&empty).await;
    let response = stream.next().await;
    assert_eq!(response.resources.len(), 10);
    assert!(response.removed_resources.is_empty(), "f0 was never sent");
    let pear = response.resources.iter().find(|resource| resource.name == "pear").unwrap();
    assert_eq!(pear.resource.as_ref().unwrap().value, b"9");
}

#[tokio::test]
async fn a_nack_gets_no_response_and_is_counted() {
    let publisher = Publisher::new();
    publisher.publish(FRUIT, vec![upsert("pear", "green")]);
    let server = crate::DiscoveryServer::new(&publisher, super::Gate, ServerSettings::default());
    let statistics = server.statistics();
    let listener = super::listen("127.0.0.1:0").await;
    let address = listener.local_addr().unwrap();
    let serving = tonic::transport::Server::builder()
        .serve_with_incoming(server.into_service(), tonic::transport::server::TcpIncoming::from(listener));
    let task = tokio::spawn(serving);

    let mut stream = RawStream::open(address).await.unwrap();
    stream.send(first(FRUIT)).await;
    let response = stream.next().await;
    stream
        .send(DeltaDiscoveryRequest {
            type_url: FRUIT.into(),
            response_nonce: response.nonce,
            error_detail: Some(Detail { message: "pear: bad".into(), ..Default::default() }),
            ..Default::default()
        })
        .await;
    // The next response is to this, and the rejected resource is not sent again.
    publisher.publish(FRUIT, vec![upsert("lime", "sour")]);
    assert_eq!(names(&stream.next().await), ["lime"]);
    assert_eq!(statistics.rejections.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(statistics.streams.load(std::sync::atomic::Ordering::Relaxed), 1);
    drop(stream);
    let gone = async {
        while statistics.streams.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    task.abort();
}

#[tokio::test]
async fn every_proxy_sees_its_own_part_and_loses_what_it_may_no_longer_see() {
    let publisher = Publisher::new();
    let only = |name: &str, tag: &str| {
        let audience = Audience::Only(vec![tag.into()]);
        Change::Upsert(Entry { audience, ..entry(name, "text") })
    };
    publisher.publish(FRUIT, vec![only("pear", "a"), only("lime", "b"), upsert("fig", "ripe")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    let mut request = first(FRUIT);
    request.node = Some(Node { cluster: "a".into(), ..node() });
    stream.send(request).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["fig", "pear"]);
    stream.ack(&response).await;
    publisher.publish(FRUIT, vec![only("pear", "b"), only("lime", "a")]);
    let response = stream.next().await;
    assert_eq!(
        (names(&response), response.removed_resources.as_slice()),
        (vec!["lime"], &["pear".to_owned()][..])
    );
}

#[tokio::test]
async fn ad_14_what_is_asked_for_by_an_alias_brings_its_members_now_and_later() {
    let publisher = Publisher::new();
    let member =
        |name: &str| Change::Upsert(Entry { belongs_to: vec!["basket".into()], ..entry(name, "ripe") });
    let basket =
        |text: &str| Change::Upsert(Entry { aliases: vec!["net/1".into()], ..entry("basket", text) });
    publisher.publish(FRUIT, vec![member("apple"), basket("full"), upsert("lime", "sour")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(DeltaDiscoveryRequest { node: Some(node()), ..subscribe(&["*"], &["*"]) }).await;
    let response = stream.next().await;
    stream.ack(&response).await;
    stream.send(subscribe(&["net/1"], &[])).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["apple", "basket"]);
    stream.ack(&response).await;
    publisher.publish(FRUIT, vec![member("aronia")]);
    let response = stream.next().await;
    assert_eq!(names(&response), ["aronia"]);
    stream.ack(&response).await;

    // Given up together, nothing of it comes any more; asked for again, all of it does.
    stream.send(subscribe(&[], &["apple", "aronia", "basket", "net/1"])).await;
    stream.send(first(STONE)).await;
    assert_eq!(stream.next().await.type_url, STONE, "by now the names are unsubscribed");
    publisher.publish(FRUIT, vec![member("apricot")]);
    stream.send(subscribe(&["net/1"], &[])).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["apple", "apricot", "aronia", "basket"]);
    stream.ack(&response).await;

    // An alias that leads somewhere only later brings the members too, whatever comes first.
    stream.send(subscribe(&["net/2"], &[])).await;
    let response = stream.next().await;
    assert_eq!(response.removed_resources, ["net/2"]);
    stream.ack(&response).await;
    let box_member = Entry { belongs_to: vec!["crate".into()], ..entry("banana", "ripe") };
    let late = Entry { aliases: vec!["net/2".into()], ..entry("crate", "full") };
    publisher.publish(FRUIT, vec![Change::Upsert(box_member), Change::Upsert(late)]);
    assert_eq!(names(&stream.next().await), ["banana", "crate"]);
}

#[tokio::test]
async fn ad_14_names_aliases_and_memberships_are_followed() {
    let publisher = Publisher::new();
    let pear = |text: &str, alias: &str| {
        let belongs_to = vec!["service/basket".into()];
        Change::Upsert(Entry { aliases: vec![alias.into()], belongs_to, ..entry("pear", text) })
    };
    let local = Entry { belongs_to: vec!["node/one".into()], ..entry("fig", "ripe") };
    publisher.publish(FRUIT, vec![pear("green", "net/1"), upsert("lime", "sour"), Change::Upsert(local)]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(DeltaDiscoveryRequest { node: Some(node()), ..subscribe(&["*"], &["*"]) }).await;
    let response = stream.next().await;
    assert_eq!(
        (names(&response), response.removed_resources.len()),
        (vec!["fig"], 0),
        "what the view implies"
    );
    stream.ack(&response).await;

    stream.send(subscribe(&["net/1", "net/2"], &[])).await;
    let response = stream.next().await;
    assert_eq!(
        (names(&response), response.removed_resources.as_slice()),
        (vec!["pear"], &["net/2".to_owned()][..])
    );
    assert_eq!(response.resources[0].aliases, ["net/1"]);
    stream.ack(&response).await;

    // Not subscribed to: lime. A name that led nowhere leads somewhere now.
    publisher.publish(FRUIT, vec![upsert("lime", "sweet")]);
    let kiwi = Entry { aliases: vec!["net/2".into()], ..entry("kiwi", "brown") };
    publisher.publish(FRUIT, vec![pear("yellow", "net/9"), Change::Upsert(kiwi)]);
    let response = stream.next().await;
    assert_eq!(names(&response), ["kiwi", "pear"], "what is held stays followed though its alias changed");
    stream.ack(&response).await;

    // Asked for again: sent again. Unsubscribed: no longer sent.
    stream.send(subscribe(&["kiwi", "service/basket"], &[])).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["kiwi", "pear"]);
    stream.ack(&response).await;
    stream.send(subscribe(&[], &["kiwi", "net/2"])).await;
    stream.send(first(STONE)).await;
    assert_eq!(stream.next().await.type_url, STONE, "by now the names are unsubscribed");
    publisher.publish(FRUIT, vec![Change::Remove("kiwi".into()), Change::Remove("pear".into())]);
    let response = stream.next().await;
    assert_eq!((names(&response), response.removed_resources.as_slice()), (vec![], &["pear".to_owned()][..]));
}

#[tokio::test]
async fn up_12_an_on_demand_stream_resumes_by_name() {
    let publisher = Publisher::new();
    let alias =
        |name: &str, alias: &str| Change::Upsert(Entry { aliases: vec![alias.into()], ..entry(name, "x") });
    publisher.publish(FRUIT, vec![alias("pear", "net/1"), alias("lime", "net/2"), upsert("fig", "ripe")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    let mut request = DeltaDiscoveryRequest { node: Some(node()), ..subscribe(&["*", "net/2"], &["*"]) };
    let known = [("pear", version_of(b"x")), ("gone", "v".into()), ("net/2", String::new())];
    request.initial_resource_versions = known.map(|(name, version)| (name.to_owned(), version)).into();
    stream.send(request).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["lime"], "pear is known, net/2 is pending, fig not asked for");
    assert_eq!(response.removed_resources, ["gone"]);
    stream.ack(&response).await;
    // The wildcard brings the rest; giving it up leaves the names.
    stream.send(subscribe(&["*"], &[])).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["fig"]);
    stream.ack(&response).await;
    stream.send(subscribe(&[], &["*"])).await;
    stream.send(first(STONE)).await;
    assert_eq!(stream.next().await.type_url, STONE);
    publisher.publish(FRUIT, vec![upsert("fig", "over"), alias("lime", "net/3")]);
    assert_eq!(names(&stream.next().await), ["lime"]);
}

/// Found by the fuzz target `xds_requests`: what changed just before came with the answer to giving it up.
#[tokio::test]
async fn what_a_request_gives_up_does_not_arrive_after_it() {
    let publisher = Publisher::new();
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream
        .send(DeltaDiscoveryRequest { node: Some(node()), ..subscribe(&["pear", "fig", "net/1"], &[]) })
        .await;
    // Not acknowledged, so that what is published next waits.
    assert_eq!(stream.next().await.removed_resources.len(), 3);
    let alias = Entry { aliases: vec!["net/1".into()], ..entry("lime", "sour") };
    publisher.publish(FRUIT, vec![upsert("pear", "green"), upsert("fig", "ripe"), Change::Upsert(alias)]);
    stream.send(subscribe(&[], &["pear", "lime"])).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["fig", "lime"], "lime is wanted by its alias");
    stream.ack(&response).await;
    publisher.publish(FRUIT, vec![Change::Remove("lime".into())]);
    assert_eq!(stream.next().await.removed_resources, ["lime"]);
}

/// Found by reading beside the fuzz target: the time grew with the product of both lists.
#[tokio::test]
async fn sec_a_request_of_many_names_takes_no_longer_than_its_names() {
    let publisher = Publisher::new();
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    let names = |letter: char| (0..200_000).map(|number| format!("{letter}{number}")).collect();
    let request = DeltaDiscoveryRequest {
        resource_names_subscribe: names('a'),
        resource_names_unsubscribe: names('b'),
        ..first(FRUIT)
    };
    stream.send(request).await;
    assert_eq!(stream.next().await.removed_resources.len(), 200_000);
}

#[tokio::test]
async fn up_20_nothing_is_answered_before_the_source_has_been_read() {
    let publisher = Publisher::held_back();
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    let mut request = first(FRUIT);
    request.initial_resource_versions = [("pear".to_owned(), version_of(b"green"))].into();
    stream.send(request).await;
    publisher.publish(FRUIT, vec![upsert("lime", "sour")]);
    let early = tokio::time::timeout(Duration::from_millis(50), stream.responses.message()).await;
    assert!(early.is_err(), "answered early: {early:?}");
    publisher.publish(FRUIT, vec![upsert("pear", "green")]);
    publisher.release();
    let response = stream.next().await;
    assert_eq!((names(&response), response.removed_resources.len()), (vec!["lime"], 0));
}

#[tokio::test]
async fn a_stream_behind_the_log_is_brought_up_to_date_by_comparing_everything() {
    let publisher = Publisher::with(2, false);
    publisher.publish(FRUIT, vec![upsert("pear", "green"), upsert("lime", "sour"), upsert("fig", "ripe")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    let response = stream.next().await;
    publisher.publish(FRUIT, vec![Change::Remove("fig".into())]);
    for round in 0..10 {
        publisher
            .publish(FRUIT, vec![upsert("lime", &format!("{round}")), upsert("kiwi", &format!("{round}"))]);
    }
    stream.ack(&response).await;
    let response = stream.next().await;
    assert_eq!(names(&response), ["kiwi", "lime"]);
    assert_eq!(response.removed_resources, ["fig"]);
}

#[tokio::test]
async fn large_sets_are_split() {
    let publisher = Publisher::new();
    let text = "x".repeat(1000);
    publisher.publish(FRUIT, (0..10).map(|index| upsert(&format!("f{index}"), &text)).collect());
    let settings = ServerSettings { max_response: 3500, ..ServerSettings::default() };
    let server = serve(&publisher, settings).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    let mut sizes = Vec::new();
    let mut nonces = std::collections::BTreeSet::new();
    while sizes.iter().sum::<usize>() < 10 {
        let response = stream.next().await;
        sizes.push(response.resources.len());
        nonces.insert(response.nonce);
    }
    assert_eq!((sizes, nonces.len()), (vec![3, 3, 3, 1], 4));
}

#[tokio::test]
async fn streams_end_cleanly_with_age_and_with_the_publisher() {
    let publisher = Publisher::new();
    let settings = ServerSettings { max_stream_age: Duration::from_millis(30), ..ServerSettings::default() };
    let server = serve(&publisher, settings).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    stream.next().await;
    assert_eq!(soon(stream.responses.message()).await.unwrap(), None);

    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    stream.next().await;
    drop(publisher);
    assert_eq!(soon(stream.responses.message()).await.unwrap(), None);
}

#[tokio::test]
async fn a_closed_publisher_ends_streams_and_takes_no_new_ones() {
    let publisher = Publisher::new();
    let server = serve(&publisher, ServerSettings::default()).await;
    let mut stream = RawStream::open(server.address).await.unwrap();
    stream.send(first(FRUIT)).await;
    stream.next().await;
    publisher.close();
    assert_eq!(soon(stream.responses.message()).await.unwrap(), None);
    let mut stream = RawStream::open(server.address).await.unwrap();
    assert_eq!(soon(stream.responses.message()).await.unwrap(), None);
}

#[tokio::test]
async fn strangers_and_malformed_first_requests_are_refused() {
    let publisher = Publisher::new();
    publisher.publish(FRUIT, vec![upsert("pear", "green")]);
    let settings = ServerSettings { max_names: 3, max_request: 4096, ..ServerSettings::default() };
    let server = serve(&publisher, settings).await;

    let channel = super::channel(server.address).await.unwrap();
    let mut client = super::AggregatedDiscoveryServiceClient::new(channel);
    let stranger = client.delta_aggregated_resources(super::stream::pending()).await;
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated, "refused without a message being read");

    let nameless = DeltaDiscoveryRequest { node: None, ..first(FRUIT) };
    let odd = DeltaDiscoveryRequest { node: Some(Node { id: "me".into(), ..node() }), ..first(FRUIT) };
    let endless = Node { id: format!("z~10.0.0.1~{}.ns~d", "x".repeat(2000)), ..node() };
    let endless = DeltaDiscoveryRequest { node: Some(endless), ..first(FRUIT) };
    let greedy = DeltaDiscoveryRequest { node: Some(node()), ..subscribe(&["a", "b", "c", "d"], &["*"]) };
    let huge = DeltaDiscoveryRequest { node: Some(node()), ..subscribe(&[&"x".repeat(5000)], &[]) };
    let cases = [
        (nameless, Code::InvalidArgument),
        (odd, Code::InvalidArgument),
        (endless, Code::InvalidArgument),
        (greedy, Code::ResourceExhausted),
        (huge, Code::OutOfRange),
    ];
    for (request, code) in cases {
        let mut stream = RawStream::open(server.address).await.unwrap();
        stream.send(request).await;
        assert_eq!(soon(stream.responses.message()).await.unwrap_err().code(), code);
    }

    let mut stream = RawStream::open(server.address).await.unwrap();
    for index in 0..16 {
        stream.send(first(&format!("type.test/{index}"))).await;
        stream.next().await;
    }
    stream.send(first("type.test/more")).await;
    assert_eq!(soon(stream.responses.message()).await.unwrap_err().code(), Code::ResourceExhausted);
}
