//! Tests of `pool`.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_runtime::drain::Mode;
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::*;
use crate::error::TlsError;
use crate::testing::{Far, SOON, check_echo, connect, greeting, key, request, workload};

const A: &str = "10.0.0.1:15008";
const B: &str = "10.0.0.2:15008";

fn limited(pooled_streams: usize) -> Settings {
    Settings { pooled_streams, ..Settings::default() }
}

#[tokio::test]
async fn hb_12_sec_14_the_same_key_shares_a_connection_and_another_never_does() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(Settings::default());
    let base = key("web", A);
    let keys = [
        base.clone(),
        key("api", A),
        key("web", B),
        PoolKey { source_ip: [10, 0, 0, 9].into(), ..base.clone() },
        PoolKey { accepted: vec![workload("db"), workload("other")], ..base.clone() },
    ];
    let mut open = Vec::new();
    for round in 0..3 {
        for key in &keys {
            let (mut tunnel, info) = connect(&pool, &far, key, "10.0.0.1:80").await.unwrap();
            assert_eq!(greeting(&mut tunnel).await, format!("{} 10.0.0.1:80", key.source.service_account));
            assert_eq!((info.peer, info.baggage), (workload("db"), vec!["service.name=db".to_owned()]));
            check_echo(&mut tunnel, format!("round {round}").as_bytes()).await;
            open.push(tunnel);
        }
    }
    assert_eq!(far.dials(), keys.len());
    assert_eq!(pool.connections(), keys.len());
}

#[tokio::test]
async fn hb_13_a_connection_carries_so_many_tunnels_and_no_more() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(limited(100));
    let key = key("web", A);
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap());
    }
    assert_eq!(far.dials(), 1);
    open.push(connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap());
    assert_eq!(far.dials(), 2);
    // A tunnel that ends makes room.
    open.truncate(50);
    open.push(connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap());
    assert_eq!(far.dials(), 2);
}

#[tokio::test]
async fn hb_13_the_peers_own_limit_is_kept() {
    let far = Far::new(Settings { accepted_streams: 2, ..Settings::default() });
    let pool = Pool::new(limited(100));
    let key = key("web", A);
    let mut open = Vec::new();
    for _ in 0..6 {
        let (mut tunnel, _) = connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap();
        greeting(&mut tunnel).await;
        open.push(tunnel);
    }
    assert_eq!(far.dials(), 3);
}

#[tokio::test]
async fn hb_13_tunnels_refused_before_the_peers_limit_was_known_go_elsewhere() {
    let far = Far::new(Settings { accepted_streams: 1, ..Settings::default() });
    let pool = Pool::new(limited(100));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (far, pool) = (Arc::clone(&far), pool.clone());
            tokio::spawn(async move { connect(&pool, &far, &key("web", A), "10.0.0.1:80").await })
        })
        .collect();
    let mut open = Vec::new();
    for task in tasks {
        let (mut tunnel, _) = task.await.unwrap().unwrap();
        greeting(&mut tunnel).await;
        open.push(tunnel);
    }
}

#[tokio::test]
async fn hb_16_a_cap_of_one_works() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(limited(1));
    let key = key("web", A);
    let mut open = Vec::new();
    for n in 1..=5 {
        open.push(connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap());
        assert_eq!(far.dials(), n);
    }
    open.clear();
    for _ in 0..5 {
        let (mut tunnel, _) = connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap();
        greeting(&mut tunnel).await;
    }
    assert_eq!(far.dials(), 5);
}

#[tokio::test]
async fn hb_16_as_many_connections_as_there_are_sources() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(Settings::default());
    let all = |sources: usize, requests: usize| {
        let tasks: Vec<_> = (0..requests)
            .map(|n| {
                let (far, pool) = (Arc::clone(&far), pool.clone());
                let key = PoolKey { source_ip: [10, 1, 0, (n % sources) as u8].into(), ..key("web", A) };
                tokio::spawn(async move { connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap() })
            })
            .collect();
        async {
            let mut open = Vec::new();
            for task in tasks {
                open.push(task.await.unwrap());
            }
            open
        }
    };
    let open = all(100, 100).await;
    assert_eq!(far.dials(), 100);
    drop(open);
    let pool_before = pool.connections();
    let more = all(3, 300).await;
    assert_eq!(more.len(), 300);
    assert_eq!((far.dials(), pool.connections()), (100, pool_before), "300 requests fit into 3 connections");
}

#[tokio::test(start_paused = true)]
async fn hb_14_a_connection_is_closed_when_unused_and_not_before() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(Settings::default());
    let key = key("web", A);
    let (mut used, _) = connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap();
    sleep(Duration::from_mins(20)).await;
    check_used(&mut used).await;
    assert_eq!(pool.connections(), 1);
    drop(used);
    sleep(Duration::from_secs(299)).await;
    assert_eq!(pool.connections(), 1);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(pool.connections(), 0);
    assert!(pool.shared.lock().is_empty(), "nothing is left of the key");
    connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap();
    assert_eq!(far.dials(), 2);
}

async fn check_used(tunnel: &mut TunnelStream) {
    greeting(tunnel).await;
    check_echo(tunnel, b"still there").await;
}

#[tokio::test]
async fn hb_15_after_a_goaway_the_next_tunnel_takes_a_fresh_connection() {
    for mode in [Mode::Graceful, Mode::Immediate] {
        let far = Far::new(Settings::default());
        let pool = Pool::new(Settings::default());
        let key = key("web", A);
        for n in 1..=10 {
            let (mut tunnel, _) = connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap();
            greeting(&mut tunnel).await;
            drop(tunnel);
            // Not awaited: the next request may meet the end at any moment.
            far.drain(mode);
            if n % 2 == 0 {
                tokio::task::yield_now().await;
            }
        }
        assert!(far.dials() > 1 && far.dials() <= 11, "{} dials", far.dials());
    }
}

#[tokio::test]
async fn hb_15_open_tunnels_survive_a_goaway() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(Settings::default());
    let key = key("web", A);
    let (mut old, _) = connect(&pool, &far, &key, "10.0.0.1:80").await.unwrap();
    let drained = far.drain(Mode::Graceful);
    timeout(SOON, async {
        while connect(&pool, &far, &key, "10.0.0.1:80").await.is_ok() && far.dials() == 1 {}
    })
    .await
    .unwrap();
    check_used(&mut old).await;
    drop(old);
    assert_eq!(timeout(SOON, drained).await.unwrap().unwrap(), mesh_runtime::drain::Drained::Complete);
}

#[tokio::test]
async fn hb_17_open_tunnels_outlive_the_pool_and_end_the_connection() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(Settings::default());
    let (mut tunnel, _) = connect(&pool, &far, &key("web", A), "10.0.0.1:80").await.unwrap();
    drop(pool);
    check_used(&mut tunnel).await;
    tunnel.write_all(b"rest").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut rest = Vec::new();
    tunnel.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"rest");
    drop(tunnel);
    // A drain is complete once nothing is served: the far end saw the connection end.
    let drained = far.drain(Mode::Graceful);
    assert_eq!(timeout(SOON, drained).await.unwrap().unwrap(), mesh_runtime::drain::Drained::Complete);
}

#[tokio::test]
async fn requests_that_wait_for_one_dial_share_its_failure() {
    let pool = Pool::new(Settings::default());
    let (dials, gate) = (AtomicDials::default(), tokio::sync::Semaphore::new(0));
    let dial = || async {
        dials.fetch_add(1, Ordering::SeqCst);
        let _open = gate.acquire().await;
        Err::<TlsStream<tokio::io::DuplexStream>, _>(DialError::Tls(TlsError::Timeout(SOON)))
    };
    let (key, request) = (key("web", A), request("10.0.0.1:80"));
    let attempt = || async { pool.connect(&key, dial, &request).await.err() };
    let open = async {
        tokio::task::yield_now().await;
        gate.add_permits(1);
    };
    let (first, second, third, ()) = tokio::join!(attempt(), attempt(), attempt(), open);
    for failed in [first, second, third] {
        assert!(matches!(failed, Some(ConnectError::Dial(DialError::Tls(_)))), "{failed:?}");
    }
    assert_eq!(dials.load(Ordering::SeqCst), 1);
    assert!(pool.shared.lock().is_empty());
    assert!(attempt().await.is_some());
    assert_eq!(dials.load(Ordering::SeqCst), 2, "the failure is not kept");
}

type AtomicDials = std::sync::atomic::AtomicUsize;

#[tokio::test]
async fn a_dial_given_up_is_taken_over_by_who_waits_for_it() {
    let far = Far::new(Settings::default());
    let pool = Pool::new(Settings::default());
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move {
            let dial = || std::future::pending::<Result<TlsStream<tokio::io::DuplexStream>, DialError>>();
            pool.connect(&key("web", A), dial, &request("10.0.0.1:80")).await.map(|_| ())
        }
    });
    tokio::task::yield_now().await;
    let waiting = tokio::spawn({
        let (pool, far) = (pool.clone(), Arc::clone(&far));
        async move { connect(&pool, &far, &key("web", A), "10.0.0.1:80").await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    stuck.abort();
    timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(far.dials(), 1);
}

/// Many clients, many sources, few tunnels on a connection, connections released
/// and ended at all times: no tunnel is lost, none is on another key's connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hb_34_nothing_is_lost_or_mixed_up_under_stress() {
    let far = Far::new(Settings { accepted_streams: 7, ..Settings::default() });
    let settings = Settings { unused_release: Duration::from_millis(3), ..limited(5) };
    let pool = Pool::new(settings);
    let clients = (0..40).map(|client| {
        let (far, pool) = (Arc::clone(&far), pool.clone());
        tokio::spawn(async move {
            let mut seen = HashSet::new();
            for n in 0..25 {
                let source = format!("source-{}", rand::rng().random_range(0..10));
                let target = format!("10.2.{client}.{n}:80");
                let (mut tunnel, _) = connect(&pool, &far, &key(&source, A), &target).await.unwrap();
                assert_eq!(greeting(&mut tunnel).await, format!("{source} {target}"));
                check_echo(&mut tunnel, target.as_bytes()).await;
                if n % 5 == 0 {
                    let pause = rand::rng().random_range(0..8);
                    sleep(Duration::from_millis(pause)).await;
                }
                if client == 0 && n % 8 == 0 {
                    far.drain(Mode::Graceful);
                }
                seen.insert(source);
            }
            seen.len()
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        assert!(timeout(Duration::from_secs(60), client).await.unwrap().unwrap() > 1);
    }
    timeout(SOON, async {
        while pool.connections() > 0 {
            sleep(Duration::from_millis(1)).await
        }
    })
    .await
    .unwrap();
}
