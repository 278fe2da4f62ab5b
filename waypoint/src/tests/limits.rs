//! Limits of connections, requests and retries: what is too many is refused, and what has ended makes room.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use mesh_hbone::{ConnectError, StatusCode};
use mesh_model::{HttpLimits, HttpRule, Retry, RetryBudget, TcpLimits, TrafficPolicy, UpstreamVersion};
use tokio::sync::Notify;

use super::backend::{Act, Backend};
use super::client::{Client, Reply, request, with};
use super::front::{Begin, Front};
use super::mesh::{Mesh, REVIEWS, eventually};
use super::samples::{backend, rule};
use crate::upstream::Countable;

const OVERFLOW: &str = "upstream connect error or disconnect/reset before headers. reset reason: overflow";

fn http(limits: HttpLimits) -> TrafficPolicy {
    TrafficPolicy { http: limits, ..TrafficPolicy::default() }
}

fn connections(most: u32, pending: Option<u32>) -> TrafficPolicy {
    let tcp = TcpLimits { max_connections: Some(most), ..TcpLimits::default() };
    TrafficPolicy { tcp, ..http(HttpLimits { max_pending_requests: pending, ..HttpLimits::default() }) }
}

/// A backend that lets requests for `/slow` wait until it is told to answer one.
async fn slow(mesh: &Mesh) -> (Backend, Arc<Notify>) {
    let told = Arc::new(Notify::new());
    let tell = told.clone();
    let backend = mesh.backend("v1", move |_, seen| match seen.path() {
        "/slow" => Act::When(tell.clone(), Response::new(Default::default())),
        path => Act::text(200, path),
    });
    (backend.await, told)
}

/// A request of a client of its own that goes on in the background.
async fn begin(mesh: &Mesh, port: u16, path: &'static str) -> tokio::task::JoinHandle<Reply> {
    let mut client = if port == 85 { mesh.http2(port).await } else { mesh.http1(port).await };
    tokio::spawn(async move { client.get(path).await })
}

fn assert_overflow(reply: &Reply) {
    assert_eq!((reply.status, reply.body.as_str()), (503, OVERFLOW));
    assert_eq!(reply.header("x-envoy-overloaded"), Some("true"));
}

#[tokio::test]
async fn res_21_requests_beyond_the_limit_are_refused_until_others_have_ended() {
    let mesh = Mesh::start().await;
    let (v1, told) = slow(&mesh).await;
    mesh.shape(http(HttpLimits { max_requests: Some(1), ..HttpLimits::default() }));
    for port in [80, 85] {
        let before = v1.seen().len();
        let first = begin(&mesh, port, "/slow").await;
        eventually(async || v1.seen().len() > before).await;
        assert_overflow(&begin(&mesh, port, "/").await.await.unwrap());
        told.notify_one();
        assert_eq!(first.await.unwrap().status, 200);
        eventually(async || mesh.count(port, Countable::Requests) == 0).await;
        assert_eq!(begin(&mesh, port, "/").await.await.unwrap().status, 200);
    }
    let overflows = mesh.metric("istio_upstream_overflows_total", &["limit=\"requests\""]);
    assert!(overflows[0].ends_with(" 2"), "{overflows:?}");
    let flagged = mesh.metric("istio_requests_total", &["response_flags=\"UO\"", "response_code=\"503\""]);
    assert_eq!(flagged.len(), 1, "{flagged:?}");
}

#[tokio::test]
async fn res_21_requests_wait_for_a_connection_in_order_and_not_too_many_of_them() {
    let mesh = Mesh::start().await;
    let (v1, told) = slow(&mesh).await;
    mesh.shape(connections(1, Some(2)));
    let first = begin(&mesh, 80, "/slow").await;
    eventually(async || v1.seen().len() == 1).await;
    let mut waiting = Vec::new();
    for (number, path) in ["/second", "/third"].into_iter().enumerate() {
        waiting.push(begin(&mesh, 80, path).await);
        eventually(async || mesh.count(80, Countable::PendingRequests) == number as u32 + 1).await;
    }
    assert_overflow(&begin(&mesh, 80, "/fourth").await.await.unwrap());
    told.notify_one();
    assert_eq!(first.await.unwrap().status, 200);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    let order: Vec<String> = v1.seen().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(order, ["/slow", "/second", "/third"]);
    assert_eq!(mesh.count(80, Countable::Connections), 1, "one connection took them all");
    assert_eq!(mesh.count(80, Countable::PendingRequests), 0);
    let overflows = mesh.metric("istio_upstream_overflows_total", &["limit=\"pending_requests\""]);
    assert!(overflows[0].ends_with(" 1"), "{overflows:?}");
}

#[tokio::test]
async fn res_21_streams_of_http2_wait_as_well() {
    let mesh = Mesh::start().await;
    let (v1, told) = slow(&mesh).await;
    let mut policy = connections(1, None);
    policy.http.max_concurrent_streams = Some(1);
    mesh.shape(policy);
    let first = begin(&mesh, 85, "/slow").await;
    eventually(async || v1.seen().len() == 1).await;
    let second = begin(&mesh, 85, "/second").await;
    eventually(async || mesh.count(85, Countable::PendingRequests) == 1).await;
    assert_eq!(v1.seen().len(), 1);
    told.notify_one();
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn streams_beyond_what_a_connection_may_have_open_another_one() {
    let mesh = Mesh::start().await;
    let (v1, told) = slow(&mesh).await;
    mesh.shape(http(HttpLimits { max_concurrent_streams: Some(1), ..HttpLimits::default() }));
    let requests = [begin(&mesh, 85, "/slow").await, begin(&mesh, 85, "/slow").await];
    eventually(async || v1.seen().len() == 2).await;
    assert_eq!(mesh.count(85, Countable::Connections), 2);
    for request in requests {
        told.notify_one();
        assert_eq!(request.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn clients_that_leave_take_nothing_along() {
    let mesh = Mesh::start().await;
    let (v1, _told) = slow(&mesh).await;
    for port in [80, 85] {
        let mut policy = connections(1, None);
        policy.http.max_concurrent_streams = Some(1);
        mesh.shape(policy);
        let before = v1.seen().len();
        let working = begin(&mesh, port, "/slow").await;
        eventually(async || v1.seen().len() > before).await;
        let waiting = begin(&mesh, port, "/waiting").await;
        eventually(async || mesh.count(port, Countable::PendingRequests) == 1).await;
        waiting.abort();
        eventually(async || mesh.count(port, Countable::PendingRequests) == 0).await;
        // Another one that waits is next: the place of who leaves is not lost.
        let next = begin(&mesh, port, "/next").await;
        eventually(async || mesh.count(port, Countable::PendingRequests) == 1).await;
        working.abort();
        assert_eq!(next.await.unwrap().body, "/next");
        eventually(async || mesh.count(port, Countable::Requests) == 0).await;
        assert_eq!(mesh.count(port, Countable::PendingRequests), 0);
        assert!(mesh.count(port, Countable::Connections) <= 1);
    }
}

#[tokio::test]
async fn those_who_wait_for_an_endpoint_that_is_not_there_are_told_at_once() {
    let mesh = Mesh::start().await;
    let nobody = std::net::SocketAddr::new(mesh.free_ip(), 9);
    mesh.add(mesh.endpoint("gone", REVIEWS, nobody));
    mesh.shape(connections(1, None));
    let requests: Vec<_> = (0..8).map(|_| begin(&mesh, 80, "/")).collect();
    for request in futures_util::future::join_all(requests).await {
        assert_eq!(request.await.unwrap().status, 503);
    }
    eventually(async || mesh.count(80, Countable::Connections) == 0).await;
}

/// Counts the connections of a backend that answers everything.
async fn counted(mesh: &Mesh) -> Front {
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "")).await;
    let front = Front::start(mesh.free_ip(), Begin::default(), server.address).await;
    mesh.add(mesh.endpoint("v1", REVIEWS, front.address));
    front
}

#[tokio::test]
async fn res_13_a_connection_takes_so_many_requests() {
    let mesh = Mesh::start().await;
    let front = counted(&mesh).await;
    for (port, most, expected) in [(80, 1, 4), (80, 2, 2), (85, 1, 4), (85, 4, 1)] {
        let limits = HttpLimits { max_requests_per_connection: Some(most), ..HttpLimits::default() };
        mesh.shape(http(limits));
        let before = front.greetings().len();
        let mut client = mesh.http1(port).await;
        for _ in 0..4 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(front.greetings().len() - before, expected, "port {port}, {most} requests each");
    }
}

#[tokio::test]
async fn connections_end_with_their_age_and_by_being_idle() {
    let short = Some(Duration::from_millis(1));
    let old = TcpLimits { max_connection_duration: short, ..TcpLimits::default() };
    let idle = HttpLimits { idle_timeout: short, ..HttpLimits::default() };
    for policy in [TrafficPolicy { tcp: old, ..TrafficPolicy::default() }, http(idle)] {
        let mesh = Mesh::start().await;
        let front = counted(&mesh).await;
        mesh.shape(policy);
        for port in [80, 85] {
            let before = front.greetings().len();
            let mut client = mesh.http1(port).await;
            eventually(async || {
                assert_eq!(client.get("/").await.status, 200);
                front.greetings().len() >= before + 2
            })
            .await;
            eventually(async || mesh.count(port, Countable::Connections) == 0).await;
        }
    }
}

/// Retries of 503, as often as five times.
fn retrying() -> Vec<HttpRule> {
    let mut retrying = rule("only", vec![backend(REVIEWS, 80)]);
    let backoff = Duration::from_millis(1);
    retrying.retry = Retry { attempts: 5, codes: vec![503], backoff, ..Retry::default() };
    vec![retrying]
}

#[tokio::test]
async fn res_21_no_retry_beyond_the_limit_or_the_budget() {
    let most = |max_retries| http(HttpLimits { max_retries, ..HttpLimits::default() });
    let budget = |min_concurrency| TrafficPolicy {
        retry_budget: Some(RetryBudget { percent: 0.0, min_concurrency }),
        ..most(Some(100))
    };
    for (policy, tries) in
        [(most(None), 6), (most(Some(1)), 6), (most(Some(0)), 1), (budget(1), 6), (budget(0), 1)]
    {
        let mesh = Mesh::start().await;
        let v1 = mesh.backend("v1", |_, _| Act::text(503, "the backend's own")).await;
        mesh.shape_and_govern(policy, retrying());
        let reply = mesh.http1(80).await.get("/").await;
        assert_eq!((reply.status, reply.body.as_str()), (503, "the backend's own"));
        assert_eq!((v1.seen().len(), reply.header("x-envoy-overloaded")), (tries, None));
        let flags = if tries == 1 { "response_flags=\"UO\"" } else { "response_flags=\"URX\"" };
        eventually(async || mesh.metric("istio_requests_total", &[flags]).len() == 1).await;
        assert_eq!(mesh.count(80, Countable::Retries), 0);
    }
}

#[tokio::test]
async fn res_21_a_tcp_connection_too_many_is_closed() {
    let mesh = Mesh::start().await;
    let _front = counted(&mesh).await;
    mesh.shape(connections(1, None));
    let held = mesh.tunnel(mesh.target(86)).await.unwrap();
    match mesh.tunnel(mesh.target(86)).await {
        Err(ConnectError::Refused(status)) => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
        other => panic!("{:?}", other.map(|_| "a tunnel")),
    }
    let closed = mesh.metric("istio_tcp_connections_closed_total", &["response_flags=\"UO\""]);
    assert_eq!(closed.len(), 1, "{closed:?}");
    drop(held);
    eventually(async || mesh.count(86, Countable::Connections) == 0).await;
    let stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    assert_eq!(Client::http1(stream).await.get("/").await.status, 200);
}

#[tokio::test]
async fn gw_35_a_websocket_is_a_request_for_as_long_as_it_is_open() {
    let mesh = Mesh::start().await;
    let _v1 = mesh.backend("v1", |_, _| Act::Upgrade).await;
    mesh.shape(http(HttpLimits { max_requests: Some(1), ..HttpLimits::default() }));
    let handshake = || with(with(request("GET", "/"), "connection", "Upgrade"), "upgrade", "websocket");
    let mut response = mesh.http1(80).await.begin(handshake()).await.unwrap();
    let open = hyper::upgrade::on(&mut response).await.unwrap();
    assert_eq!(mesh.count(80, Countable::Connections), 1);
    assert_overflow(&mesh.http1(80).await.send(handshake()).await);
    assert_eq!(mesh.count(80, Countable::Connections), 2, "the one that was opened in vain is kept");
    drop(open);
    eventually(async || mesh.count(80, Countable::Requests) == 0).await;
    eventually(async || mesh.count(80, Countable::Connections) == 1).await;
}

#[tokio::test]
async fn l7_20_l7_23_the_version_of_http_that_the_policy_asks_for() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    for (version, http2_client, expected) in [
        (UpstreamVersion::AsDeclared, false, http::Version::HTTP_11),
        (UpstreamVersion::Http2, false, http::Version::HTTP_2),
        (UpstreamVersion::OfClient, false, http::Version::HTTP_11),
        (UpstreamVersion::OfClient, true, http::Version::HTTP_2),
        (UpstreamVersion::Http1, true, http::Version::HTTP_11),
    ] {
        mesh.shape(TrafficPolicy { http_version: version, ..TrafficPolicy::default() });
        let mut client = if http2_client { mesh.http2(80).await } else { mesh.http1(80).await };
        assert_eq!(client.get("/").await.body, "v1");
        assert_eq!(v1.seen().pop().unwrap().version, expected, "{version:?}");
    }
}
