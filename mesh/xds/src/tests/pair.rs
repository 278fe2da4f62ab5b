//! Client and server together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{
    FRUIT, STONE, Taken, connect, entry, listen, node, quick, recorder, serve, serve_on, soon, taken,
};
use crate::{Change, Client, Entry, Publisher, ServerSettings};

fn upsert(name: &str, text: &str) -> Change {
    Change::Upsert(entry(name, text))
}

#[tokio::test]
async fn up_11_the_controller_goes_and_comes_back_and_only_differences_are_sent() {
    let publisher = Publisher::new();
    publisher.publish(FRUIT, vec![upsert("pear", "green"), upsert("lime", "sour"), upsert("fig", "bad")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let address = server.address;
    let (handler, mut fruit) = recorder(FRUIT);
    let client = Client::new(move || connect(address), node(), vec![handler]).with_settings(quick());
    let (stop, stopped) = oneshot::channel::<()>();
    let client = tokio::spawn(client.run(|| {}, async { drop(stopped.await) }));
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[("lime", "sour"), ("pear", "green")], &[])));

    server.task.abort();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    publisher
        .publish(FRUIT, vec![Change::Remove("lime".into()), upsert("kiwi", "brown"), upsert("fig", "ripe")]);
    let _server = serve_on(listen(&address.to_string()).await, &publisher, ServerSettings::default());
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[("fig", "ripe"), ("kiwi", "brown")], &["lime"])));

    stop.send(()).unwrap();
    soon(client).await.unwrap();
}

#[tokio::test]
async fn up_11_a_stream_that_ends_for_its_age_is_opened_again_without_a_gap() {
    let publisher = Publisher::new();
    let settings = ServerSettings { max_stream_age: Duration::from_millis(20), ..ServerSettings::default() };
    let server = serve(&publisher, settings).await;
    let address = server.address;
    let (handler, mut fruit) = recorder(FRUIT);
    let client = Client::new(move || connect(address), node(), vec![handler]);
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));
    let mut state = BTreeMap::new();
    for round in 0..50 {
        publisher.publish(FRUIT, vec![upsert("pear", &round.to_string())]);
        while state.get("pear") != Some(&round.to_string()) {
            state.extend(soon(fruit.recv()).await.unwrap().upserts);
        }
    }
    client.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_entries_arrive_and_single_changes_stay_cheap() {
    const COUNT: usize = 10_000;
    let publisher = Publisher::new();
    let text = "x".repeat(300);
    publisher.publish(FRUIT, (0..COUNT).map(|index| upsert(&format!("f{index}"), &text)).collect());
    let server = serve(&publisher, ServerSettings::default()).await;
    let address = server.address;
    let mut clients = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..10 {
        let (handler, fruit) = recorder(FRUIT);
        let client = Client::new(move || connect(address), node(), vec![handler]);
        clients.push(tokio::spawn(client.run(|| {}, std::future::pending())));
        receivers.push(fruit);
    }
    for fruit in &mut receivers {
        assert_eq!(soon(fruit.recv()).await.unwrap().upserts.len(), COUNT);
    }
    let start = Instant::now();
    for round in 0..100 {
        publisher.publish(FRUIT, vec![upsert("f0", &round.to_string())]);
        for fruit in &mut receivers {
            assert_eq!(soon(fruit.recv()).await, Some(taken(&[("f0", &round.to_string())], &[])));
        }
    }
    // Comparing all 10,000 entries for each change and client takes over 40 s in a debug build, this 0.2 s.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for client in clients {
        client.abort();
    }
}

#[tokio::test]
async fn ad_14_a_wish_is_answered_by_name_alias_or_with_a_removal() {
    let publisher = Publisher::new();
    let aliased = |index: usize| {
        let aliases = vec![format!("net/{index}").into()];
        Change::Upsert(Entry { aliases, ..entry(&format!("f{index}"), "x") })
    };
    publisher.publish(FRUIT, (0..10_000).map(aliased).collect());
    publisher.publish(STONE, vec![upsert("flint", "hard")]);
    let server = serve(&publisher, ServerSettings::default()).await;
    let address = server.address;
    let (handler, mut fruit) = recorder(FRUIT);
    let (stone_handler, mut stones) = recorder(STONE);
    let mut client = Client::new(move || connect(address), node(), vec![handler, stone_handler]);
    let demand = client.on_demand(FRUIT).unwrap();
    let client = tokio::spawn(client.run(|| {}, std::future::pending()));
    assert_eq!(
        soon(stones.recv()).await,
        Some(taken(&[("flint", "hard")], &[])),
        "other types stay wildcard"
    );
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[], &[])));

    for (name, answer) in [
        ("net/77", taken(&[("f77", "x")], &[])),
        ("f78", taken(&[("f78", "x")], &[])),
        ("net/none", taken(&[], &["net/none"])),
    ] {
        demand.subscribe(name).unwrap();
        assert_eq!(soon(fruit.recv()).await, Some(answer));
    }
    publisher.publish(FRUIT, vec![upsert("f79", "y"), upsert("f77", "y")]);
    assert_eq!(soon(fruit.recv()).await, Some(taken(&[("f77", "y")], &[])));
    let wishes = async {
        for index in 100..10_000 {
            while demand.subscribe(format!("net/{index}")).is_err() {
                tokio::task::yield_now().await;
            }
        }
    };
    let ((), count) = soon(async { tokio::join!(wishes, collect(&mut fruit, 9_900)) }).await;
    assert_eq!(count, 9_900);
    client.abort();
}

async fn collect(fruit: &mut mpsc::UnboundedReceiver<Taken>, enough: usize) -> usize {
    let mut count = 0;
    while count < enough {
        count += fruit.recv().await.unwrap().upserts.len();
    }
    count
}
