//! The client against a server that follows a script.

use std::collections::BTreeMap;

use mesh_proto::discovery::{DeltaDiscoveryResponse, Resource};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::{FRUIT, STONE, connect, node, quick, recorder, scripted, soon, taken};
use crate::{Client, ClientSettings, Rejected, StreamEnd, Typed};

fn resource(name: &str, version: &str, text: &str) -> Resource {
    Resource {
        name: name.into(),
        version: version.into(),
        resource: Some(prost_types::Any { type_url: FRUIT.into(), value: text.into() }),
        ..Default::default()
    }
}

fn response(nonce: &str, resources: Vec<Resource>, removed: &[&str]) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: FRUIT.into(),
        nonce: nonce.into(),
        resources,
        removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    }
}

fn versions(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|&(name, version)| (name.to_owned(), version.to_owned())).collect()
}

#[tokio::test]
async fn sec_08_bad_resources_are_nacked_by_name_and_the_rest_applies() {
    let (server, mut streams) = scripted().await;
    let (handler, mut fruit) = recorder(FRUIT);
    let address = server.address;
    let client = Client::new(move || connect(address), node(), vec![handler]).with_settings(quick());
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));

    let mut stream = soon(streams.recv()).await.unwrap();
    let request = stream.request().await;
    assert_eq!((request.node, request.initial_resource_versions.len()), (Some(node()), 0));
    stream.respond(response("1", vec![resource("pear", "v1", "green")], &[])).await;
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[("pear", "green")], &[])));
    let ack = stream.request().await;
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail, ack.node), ("1", None, None));

    let mut foreign = resource("plum", "v1", "blue");
    foreign.resource.as_mut().unwrap().type_url = STONE.into();
    let mut empty = resource("fig", "v1", "");
    empty.resource = None;
    let resources = vec![
        foreign,
        empty,
        resource("pear", "v2", "bad"),
        resource("kiwi", "v1", "bad"),
        resource("lime", "v1", "sour"),
    ];
    stream.respond(response("2", resources, &[])).await;
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[("lime", "sour")], &[])));
    let nack = stream.request().await;
    assert_eq!(nack.response_nonce, "2");
    let status = nack.error_detail.unwrap();
    assert_eq!(status.code, 0);
    assert_eq!(
        status.message,
        "plum: the body is a \"type.test/stone\", not a type.test/fruit; fig: a resource without a body; \
         pear: it is bad; kiwi: it is bad"
    );

    // UP-12: what was rejected is not announced; what it would have replaced still is.
    drop(stream);
    let mut stream = soon(streams.recv()).await.unwrap();
    let request = stream.request().await;
    assert_eq!(request.initial_resource_versions, versions(&[("lime", "v1"), ("pear", "v1")]));
    stream.respond(response("1", vec![], &["pear"])).await;
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[], &["pear"])));
    stream.responses.send(Err(Status::unavailable("restarting"))).await.unwrap();
    let mut stream = soon(streams.recv()).await.unwrap();
    assert_eq!(stream.request().await.initial_resource_versions, versions(&[("lime", "v1")]));
    client.abort();
}

#[tokio::test]
async fn up_11_every_return_of_the_controller_is_told_once() {
    let (server, mut streams) = scripted().await;
    let (handler, _fruit) = recorder(FRUIT);
    let (address, (told, mut answers)) = (server.address, mpsc::unbounded_channel());
    let (ended, mut ends) = mpsc::unbounded_channel();
    let client = Client::new(move || connect(address), node(), vec![handler])
        .with_settings(quick())
        .on_answer(move || told.send(()).unwrap())
        .on_end(move |end| ended.send(end).unwrap());
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));
    for round in 0..2 {
        let mut stream = soon(streams.recv()).await.unwrap();
        stream.request().await;
        assert_eq!(ends.try_recv().ok(), (round == 1).then_some(StreamEnd::Complete), "TEL-21");
        assert!(answers.try_recv().is_err(), "it has not said anything yet");
        for nonce in ["1", "2"] {
            stream.respond(response(nonce, vec![], &[])).await;
            stream.request().await;
        }
        answers.try_recv().unwrap();
        assert!(answers.try_recv().is_err());
    }
    client.abort();
}

#[tokio::test]
async fn a_nack_is_of_bounded_length_and_says_how_much_it_leaves_out() {
    let (server, mut streams) = scripted().await;
    let (handler, _fruit) = recorder(FRUIT);
    let address = server.address;
    let client = Client::new(move || connect(address), node(), vec![handler]);
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));
    let mut stream = soon(streams.recv()).await.unwrap();
    stream.request().await;
    let name = "long".repeat(1000);
    let resources = (0..1000).map(|_| resource(&name, "v1", "bad")).collect();
    stream.respond(response("1", resources, &[])).await;
    let message = stream.request().await.error_detail.unwrap().message;
    assert!(message.len() < 40_000, "{}", message.len());
    assert!(message.ends_with(" more"), "{}", &message[message.len() - 40..]);
    client.abort();
}

#[tokio::test]
async fn ad_13_ready_after_the_first_answer_of_every_type_even_an_empty_one() {
    let (server, mut streams) = scripted().await;
    let (fruit_handler, mut fruit) = recorder(FRUIT);
    let (stone_handler, mut stones) = recorder(STONE);
    let address = server.address;
    let client = Client::new(move || connect(address), node(), vec![fruit_handler, stone_handler]);
    let (sender, mut ready) = oneshot::channel();
    let client = tokio::spawn(client.run(move || sender.send(()).unwrap(), std::future::pending()));

    let mut stream = soon(streams.recv()).await.unwrap();
    let types = [stream.request().await.type_url, stream.request().await.type_url];
    assert_eq!(types, [FRUIT, STONE], "both are asked for at once");
    // An unknown type is acknowledged and does not count.
    let unknown = DeltaDiscoveryResponse { type_url: "type.test/cloud".into(), ..response("0", vec![], &[]) };
    stream.respond(unknown).await;
    let ack = stream.request().await;
    assert_eq!((ack.type_url.as_str(), ack.response_nonce.as_str()), ("type.test/cloud", "0"));
    assert_eq!(ack.error_detail, None);

    stream.respond(response("1", vec![], &[])).await;
    soon(fruit.recv()).await.unwrap();
    stream.request().await;
    assert!(ready.try_recv().is_err(), "one type is missing");
    stream.respond(DeltaDiscoveryResponse { type_url: STONE.into(), ..response("2", vec![], &[]) }).await;
    soon(stones.recv()).await.unwrap();
    soon(ready).await.unwrap();
    client.abort();
}

#[tokio::test]
async fn ad_14_on_demand_asks_by_name_and_asks_again_after_a_reconnect() {
    let (server, mut streams) = scripted().await;
    let (handler, mut fruit) = recorder(FRUIT);
    let address = server.address;
    let mut client = Client::new(move || connect(address), node(), vec![handler]).with_settings(quick());
    assert!(client.on_demand(STONE).is_none(), "nobody handles that type");
    let demand = client.on_demand(FRUIT).unwrap();
    let (sender, ready) = oneshot::channel();
    let client = tokio::spawn(client.run(move || sender.send(()).unwrap(), std::future::pending()));

    let mut stream = soon(streams.recv()).await.unwrap();
    let request = stream.request().await;
    assert_eq!(request.resource_names_subscribe, ["*"]);
    assert_eq!(request.resource_names_unsubscribe, ["*"]);

    demand.subscribe("net/1.2.3.4").unwrap();
    let request = stream.request().await;
    assert_eq!(request.resource_names_subscribe, ["net/1.2.3.4"]);
    assert!(request.response_nonce.is_empty() && request.resource_names_unsubscribe.is_empty());
    stream.respond(response("1", vec![resource("pear", "v1", "green")], &[])).await;
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[("pear", "green")], &[])));
    stream.request().await;
    // On-demand types do not hold readiness back.
    soon(ready).await.unwrap();

    demand.subscribe("net/5.6.7.8").unwrap();
    demand.unsubscribe("net/1.2.3.4").unwrap();
    let mut unsubscribed = Vec::new();
    while unsubscribed.is_empty() {
        unsubscribed = stream.request().await.resource_names_unsubscribe;
    }
    assert_eq!(unsubscribed, ["net/1.2.3.4"]);

    drop(stream);
    let mut stream = soon(streams.recv()).await.unwrap();
    let request = stream.request().await;
    assert_eq!(request.resource_names_subscribe, ["*", "net/5.6.7.8"]);
    assert_eq!(request.resource_names_unsubscribe, ["*"]);
    assert_eq!(request.initial_resource_versions, versions(&[("net/5.6.7.8", ""), ("pear", "v1")]));
    client.abort();
    soon(client).await.unwrap_err();
    assert!(demand.subscribe("x").is_err(), "the client is gone");
}

#[tokio::test]
async fn a_response_beyond_the_limit_ends_the_stream_and_state_stays() {
    let (server, mut streams) = scripted().await;
    let (handler, mut fruit) = recorder(FRUIT);
    let address = server.address;
    let settings = ClientSettings { max_message: 4096, ..quick() };
    let client = Client::new(move || connect(address), node(), vec![handler]).with_settings(settings);
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));
    let mut stream = soon(streams.recv()).await.unwrap();
    stream.request().await;
    stream.respond(response("1", vec![resource("pear", "v1", "green")], &[])).await;
    soon(fruit.recv()).await.unwrap();
    stream.request().await;
    stream.respond(response("2", vec![resource("lime", "v1", &"x".repeat(5000))], &[])).await;
    let mut stream = soon(streams.recv()).await.unwrap();
    assert_eq!(stream.request().await.initial_resource_versions, versions(&[("pear", "v1")]));
    assert!(fruit.try_recv().is_err(), "nothing of the large response was applied");
    client.abort();
}

#[tokio::test]
async fn garbage_for_a_typed_handler_is_rejected_one_by_one() {
    let (server, mut streams) = scripted().await;
    let (sender, mut texts) = mpsc::unbounded_channel();
    let handler = Typed::new(FRUIT, move |upserts: Vec<(String, prost_types::Any)>, removed| {
        let _ = sender.send((upserts.len(), removed));
        vec![Rejected { name: "mine".into(), reason: "not wanted".into() }]
    });
    let address = server.address;
    let client = Client::new(move || connect(address), node(), vec![Box::new(handler)]);
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));
    let mut stream = soon(streams.recv()).await.unwrap();
    stream.request().await;
    let resources = vec![resource("pear", "v1", "\u{1}\u{2}garbage"), resource("lime", "v1", "")];
    stream.respond(response("1", resources, &["fig"])).await;
    assert_eq!(soon(texts.recv()).await, Some((1, vec!["fig".to_owned()])));
    let message = stream.request().await.error_detail.unwrap().message;
    assert!(message.starts_with("pear: ") && message.ends_with("; mine: not wanted"), "{message}");
    client.abort();
}
