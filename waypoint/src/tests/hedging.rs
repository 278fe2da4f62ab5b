//! Requests that only read are sent to a second endpoint where the first is slow; the first answer is passed on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use mesh_model::{
    HedgedRequests, Hedging, HttpLimits, HttpRule, Retry, RetryBudget, ServiceConfig, SessionCarrier,
    SessionPersistence, TrafficPolicy,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::backend::{Act, Backend, Seen};
use super::client::{ClientBody, Reply, post, request};
use super::mesh::{Mesh, REVIEWS, eventually};
use super::samples::{backend, config, rule};
use crate::upstream::Countable;

const SOON: Duration = Duration::from_millis(1);
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(1000);
const MUCH: Duration = Duration::from_secs(20);

fn hedging(delay: Duration, max_requests: u32) -> Vec<HedgedRequests> {
    let budget = RetryBudget { percent: 100.0, min_concurrency: 100 };
    vec![HedgedRequests { rules: Vec::new(), hedging: Hedging { delay, max_requests, budget } }]
}

fn govern(mesh: &Mesh, port: u16, hedging: Vec<HedgedRequests>, change: impl FnOnce(&mut HttpRule)) {
    let mut only = rule("only", vec![backend(REVIEWS, port)]);
    change(&mut only);
    mesh.configure(ServiceConfig { hedging, ..config(REVIEWS, vec![only]) });
}

/// Backends that hold on to the first request they get together, and answer all others with their names.
async fn first_is_slow(mesh: &Mesh, names: &[&str]) -> Vec<Backend> {
    let taken = Arc::new(AtomicBool::new(false));
    let mut backends = Vec::new();
    for name in names {
        let (taken, text) = (taken.clone(), (*name).to_owned());
        let script = move |_, _: &Seen| match taken.swap(true, Ordering::SeqCst) {
            false => Act::Hang,
            true => Act::text(200, &text),
        };
        backends.push(mesh.backend(name, script).await);
    }
    backends
}

/// Backends that answer once they are told to.
async fn waiting(mesh: &Mesh, names: &[&str]) -> (Vec<Backend>, Arc<Notify>) {
    let told = Arc::new(Notify::new());
    let mut backends = Vec::new();
    for name in names {
        let tell = told.clone();
        let script = move |_, _: &Seen| Act::When(tell.clone(), Response::new(Default::default()));
        backends.push(mesh.backend(name, script).await);
    }
    (backends, told)
}

/// How many requests there were for a path.
fn seen(backends: &[Backend], path: &str) -> usize {
    let all = backends.iter().flat_map(|backend| backend.seen());
    all.filter(|seen| seen.path() == path).count()
}

/// A request of a client of its own that goes on in the background.
async fn begin(mesh: &Mesh, request: Request<ClientBody>) -> JoinHandle<Reply> {
    let mut client = mesh.http1(80).await;
    tokio::spawn(async move { client.send(request).await })
}

/// The answer to a request, for which backends are told as often as it takes.
async fn released(told: &Notify, asking: JoinHandle<Reply>) -> Reply {
    eventually(async || {
        told.notify_waiters();
        asking.is_finished()
    })
    .await;
    asking.await.unwrap()
}

/// How many of the requests that belonged together ended so.
fn outcomes(mesh: &Mesh, request: &str, outcome: &str) -> u64 {
    let labels = [format!("request=\"{request}\""), format!("outcome=\"{outcome}\"")];
    let lines = mesh.metric("istio_hedged_requests_total", &[&labels[0], &labels[1]]);
    lines.first().map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_second_endpoint_answers_where_the_first_is_silent() {
    for port in [80, 85] {
        let mesh = Mesh::start().await;
        let backends = first_is_slow(&mesh, &["one", "two"]).await;
        govern(&mesh, port, hedging(SOON, 2), |_| {});
        let reply = mesh.http1(80).await.get("/").await;
        let numbers: Vec<_> =
            backends.iter().map(|it| it.only().header("x-envoy-attempt-count").unwrap().to_owned()).collect();
        let winner = if numbers == ["1", "2"] { "two" } else { "one" };
        assert_eq!((reply.status, reply.body.as_str()), (200, winner), "{numbers:?}");
        assert_eq!((outcomes(&mesh, "first", "cancelled"), outcomes(&mesh, "hedge", "won")), (1, 1));
        let label = format!("destination_workload=\"{winner}\"");
        eventually(async || mesh.metric("istio_requests_total", &[&label]).len() == 1).await;
        assert_eq!(mesh.metric("istio_requests_total", &[]).len(), 1);
    }
}

#[tokio::test]
async fn requests_that_may_change_something_are_sent_once() {
    let mesh = Mesh::start().await;
    let (backends, told) = waiting(&mesh, &["one", "two"]).await;
    govern(&mesh, 80, hedging(SOON, 2), |_| {});
    let mut get_with_body = post("/get", "text");
    *get_with_body.method_mut() = http::Method::GET;
    let once = [post("/post", "text"), request("DELETE", "/delete"), request("PUT", "/put"), get_with_body];
    let mut asking = Vec::new();
    for request in once {
        let path = request.uri().path().to_owned();
        asking.push(begin(&mesh, request).await);
        eventually(async || seen(&backends, &path) == 1).await;
    }
    // Those after them have had their delay, so that theirs is over too.
    for (method, path) in [("HEAD", "/head"), ("OPTIONS", "/options"), ("GET", "/")] {
        asking.push(begin(&mesh, request(method, path)).await);
        eventually(async || seen(&backends, path) == 2).await;
    }
    assert_eq!(["/post", "/delete", "/put", "/get"].map(|path| seen(&backends, path)), [1; 4]);
    for asking in asking {
        assert_eq!(released(&told, asking).await.status, 200);
    }
}

#[tokio::test]
async fn a_session_keeps_its_endpoint() {
    let mesh = Mesh::start().await;
    let backends = first_is_slow(&mesh, &["one", "two"]).await;
    let session = SessionPersistence {
        name: None,
        carrier: SessionCarrier::Cookie,
        absolute_timeout: None,
        idle_timeout: None,
        permanent: false,
    };
    govern(&mesh, 80, hedging(SOON, 2), |rule| {
        rule.session = Some(session);
        rule.request_timeout = Some(Duration::from_millis(500));
    });
    assert_eq!(mesh.http1(80).await.get("/").await.status, 504);
    assert!(seen(&backends, "/") <= 1);
}

#[tokio::test]
async fn the_slower_one_is_broken_off_and_the_winner_s_body_streams() {
    for port in [80, 85] {
        let mesh = Mesh::start().await;
        let (alive, mut broken_off) = mpsc::channel::<()>(1);
        let (alive, told) = (Arc::new(Mutex::new(Some(alive))), Arc::new(Notify::new()));
        for name in ["one", "two"] {
            let (alive, told) = (alive.clone(), told.clone());
            let script = move |_, seen: &Seen| match seen.header("x-envoy-attempt-count") {
                Some("1") => {
                    let mut response = Response::new(Default::default());
                    response.extensions_mut().insert(alive.lock().unwrap().take());
                    Act::When(Arc::default(), response)
                }
                _ => {
                    let told = told.clone();
                    let first = std::future::ready("begin ");
                    let second = async move {
                        told.notified().await;
                        "end"
                    };
                    let parts = futures_util::FutureExt::into_stream(first);
                    let parts =
                        futures_util::StreamExt::chain(parts, futures_util::FutureExt::into_stream(second));
                    let frame = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
                    Act::Answer(Response::new(
                        StreamBody::new(futures_util::StreamExt::map(parts, frame)).boxed(),
                    ))
                }
            };
            mesh.backend(name, script).await;
        }
        govern(&mesh, port, hedging(SOON, 2), |_| {});
        let response = mesh.http1(80).await.begin(request("GET", "/")).await.unwrap();
        let ended = tokio::time::timeout(MUCH, broken_off.recv()).await;
        assert_eq!(ended, Ok(None), "the first one's work is dropped, port {port}");
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "begin ");
        told.notify_one();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "end");
    }
}

#[tokio::test]
async fn an_answer_that_is_worth_a_retry_does_not_win_while_another_is_awaited() {
    let mesh = Mesh::start().await;
    let told = Arc::new(Notify::new());
    let mut backends = Vec::new();
    for name in ["one", "two"] {
        let tell = told.clone();
        let script = move |_, seen: &Seen| match seen.header("x-envoy-attempt-count") {
            Some("2") => Act::text(503, "hedge"),
            _ => Act::When(tell.clone(), Response::new(Default::default())),
        };
        backends.push(mesh.backend(name, script).await);
    }
    let mut only = rule("only", vec![backend(REVIEWS, 80)]);
    only.retry = Retry { attempts: 0, conditions: vec!["5xx".into()], ..Retry::default() };
    let traffic = [(0, TrafficPolicy::default())].into();
    mesh.configure(ServiceConfig { hedging: hedging(SOON, 2), traffic, ..config(REVIEWS, vec![only]) });
    let asking = begin(&mesh, request("GET", "/")).await;
    eventually(async || seen(&backends, "/") == 2).await;
    // Of the two, one has ended.
    eventually(async || mesh.count(80, Countable::Requests) == 1).await;
    assert_eq!(released(&told, asking).await.status, 200);
    assert_eq!((outcomes(&mesh, "first", "won"), outcomes(&mesh, "hedge", "failed")), (1, 1));
}

#[tokio::test]
async fn where_all_fail_retries_follow_and_those_are_sent_once() {
    let mesh = Mesh::start().await;
    let told = Arc::new(Notify::new());
    let mut backends = Vec::new();
    for name in ["one", "two", "three"] {
        let tell = told.clone();
        let script = move |_, seen: &Seen| match seen.header("x-envoy-attempt-count") {
            Some("1" | "2") => {
                let response = Response::builder().status(500).body(Default::default()).unwrap();
                Act::When(tell.clone(), response)
            }
            Some("3") => Act::text(500, ""),
            count => Act::text(200, count.unwrap()),
        };
        backends.push(mesh.backend(name, script).await);
    }
    govern(&mesh, 80, hedging(SOON, 2), |rule| {
        rule.retry = Retry {
            attempts: 2,
            codes: vec![500],
            backoff: SOON,
            avoid_previous_hosts: false,
            ..Retry::default()
        };
    });
    let asking = begin(&mesh, request("GET", "/")).await;
    eventually(async || seen(&backends, "/") == 2).await;
    let reply = released(&told, asking).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "4"), "two, and two retries");
    assert_eq!(seen(&backends, "/"), 4);
}

#[tokio::test]
async fn no_more_are_sent_than_the_policy_says_and_never_two_to_one_endpoint() {
    for (names, most, expected) in [(&["a", "b", "c", "d"][..], 3, 3), (&["a", "b"], 5, 2), (&["a"], 5, 1)] {
        let mesh = Mesh::start().await;
        let (backends, told) = waiting(&mesh, names).await;
        govern(&mesh, 80, hedging(SOON, most), |_| {});
        let first = begin(&mesh, request("GET", "/first")).await;
        eventually(async || seen(&backends, "/first") == expected).await;
        // Once a later one has had all its delays, the first has had one more.
        let second = begin(&mesh, request("GET", "/second")).await;
        eventually(async || seen(&backends, "/second") == expected).await;
        assert_eq!(seen(&backends, "/first"), expected, "{names:?} {most}");
        for backend in &backends {
            assert!(seen(std::slice::from_ref(backend), "/first") <= 1);
        }
        assert_eq!(released(&told, first).await.status, 200);
        assert_eq!(released(&told, second).await.status, 200);
    }
}

#[tokio::test]
async fn hedges_keep_within_their_budget() {
    let mesh = Mesh::start().await;
    let (backends, told) = waiting(&mesh, &["a", "b"]).await;
    let mut policy = hedging(SOON, 2);
    policy[0].hedging.budget = RetryBudget { percent: 0.0, min_concurrency: 1 };
    govern(&mesh, 80, policy, |_| {});
    let mut asking = Vec::new();
    for _ in 0..4 {
        asking.push(begin(&mesh, request("GET", "/")).await);
    }
    let refused = || mesh.metric("istio_upstream_overflows_total", &["limit=\"hedges\""]);
    eventually(async || refused().first().is_some_and(|line| line.ends_with(" 3"))).await;
    eventually(async || seen(&backends, "/") == 5).await;
    for asking in asking {
        assert_eq!(released(&told, asking).await.status, 200);
    }
    assert_eq!(seen(&backends, "/"), 5, "four, and one beside them");
}

#[tokio::test]
async fn res_21_hedges_are_requests_to_the_limits_of_the_service() {
    let mesh = Mesh::start().await;
    let (backends, told) = waiting(&mesh, &["one", "two"]).await;
    let only = rule("only", vec![backend(REVIEWS, 80)]);
    let http = HttpLimits { max_requests: Some(1), ..HttpLimits::default() };
    let traffic = [(0, TrafficPolicy { http, ..TrafficPolicy::default() })].into();
    mesh.configure(ServiceConfig { hedging: hedging(SOON, 2), traffic, ..config(REVIEWS, vec![only]) });
    let asking = begin(&mesh, request("GET", "/")).await;
    let refused = || mesh.metric("istio_upstream_overflows_total", &["limit=\"requests\""]);
    eventually(async || refused().first().is_some_and(|line| line.ends_with(" 1"))).await;
    assert_eq!(seen(&backends, "/"), 1, "the second one was one too many");
    assert_eq!(released(&told, asking).await.status, 200, "and the first one is not to blame");
}

#[tokio::test]
async fn res_05_the_time_limit_of_the_request_bounds_all() {
    let mesh = Mesh::start().await;
    let (backends, _) = waiting(&mesh, &["one", "two"]).await;
    govern(&mesh, 80, hedging(SOON, 2), |rule| rule.request_timeout = Some(Duration::from_secs(3)));
    let asking = begin(&mesh, request("GET", "/")).await;
    eventually(async || seen(&backends, "/") == 2).await;
    let reply = asking.await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (504, "upstream request timeout"));
}

#[tokio::test]
async fn rules_without_a_policy_and_quick_endpoints_are_left_alone() {
    let mesh = Mesh::start().await;
    let backends = [mesh.echo("one").await, mesh.echo("two").await];
    let mut of_another = hedging(SOON, 2);
    of_another[0].rules = vec!["another".into()];
    for policy in [of_another, hedging(NEVER, 2)] {
        govern(&mesh, 80, policy, |_| {});
        let before = seen(&backends, "/");
        let mut client = mesh.http1(80).await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(seen(&backends, "/"), before + 10);
    }
    assert!(mesh.metric("istio_hedged_requests_total", &[]).is_empty());
}
