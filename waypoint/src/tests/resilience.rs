//! Faults, timeouts and retries.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use mesh_model::{Abort, AbortError, Delay, Fault, PerMillion, Retry};

use super::backend::Act;
use super::client::{post, request, with};
use super::mesh::{Mesh, REVIEWS};

/// Far more than anything here takes, far less than a test may.
const MUCH: Duration = Duration::from_secs(20);

fn retry(attempts: u32, codes: &[u16], conditions: &[&str]) -> Retry {
    Retry {
        attempts,
        codes: codes.to_vec(),
        conditions: conditions.iter().map(|name| (*name).into()).collect(),
        backoff: Duration::from_millis(1),
        avoid_previous_hosts: true,
    }
}

/// A backend that answers with these statuses, the last of them for ever.
async fn answering(mesh: &Mesh, statuses: &'static [u16]) -> super::backend::Backend {
    mesh.backend("v1", |before, _| Act::text(statuses[before.min(statuses.len() - 1)], "answer")).await
}

#[tokio::test]
async fn res_01_02_aborts() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let abort = |error| Fault { delay: None, abort: Some(Abort { error, share: PerMillion::ALL }) };
    mesh.govern_by(|rule| rule.fault = abort(AbortError::Http(418)));
    let reply = mesh.http1(80).await.get("/").await;
    assert_eq!((reply.status, reply.body.as_str()), (418, "fault filter abort"));
    mesh.govern_by(|rule| rule.fault = abort(AbortError::Grpc(14)));
    let call = with(post("/pkg.Service/Method", ""), "content-type", "application/grpc");
    let reply = mesh.http2(7070).await.send(call).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, Some("14")));
    assert!(v1.seen().is_empty());
}

#[tokio::test]
async fn res_22_a_delay_before_everything_else() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let fixed = Duration::from_millis(1100);
    mesh.govern_by(|rule| {
        rule.fault = Fault { delay: Some(Delay { fixed, share: PerMillion::ALL }), abort: None };
        // The timeout bounds the backend's time, not the injected one.
        rule.request_timeout = Some(Duration::from_millis(1000));
    });
    let begin = Instant::now();
    assert_eq!(mesh.http1(80).await.get("/").await.status, 200);
    assert!(begin.elapsed() >= fixed);
}

#[tokio::test]
async fn res_05_07_timeouts_end_in_504() {
    let mesh = Mesh::start().await;
    mesh.backend("v1", |_, _| Act::Hang).await;
    let limit = Some(Duration::from_millis(50));
    mesh.govern_by(|rule| rule.request_timeout = limit);
    let mut client = mesh.http1(80).await;
    let reply = client.get("/").await;
    assert_eq!((reply.status, reply.body.as_str()), (504, "upstream request timeout"));
    mesh.govern_by(|rule| rule.attempt_timeout = limit);
    assert_eq!(client.get("/").await.status, 504, "the connection is still usable");
    let call = with(post("/pkg.Service/Method", ""), "content-type", "application/grpc");
    let reply = mesh.http2(7070).await.send(call).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, Some("4")));
}

#[tokio::test]
async fn res_08_09_codes_are_retried_as_often_as_allowed() {
    for (statuses, codes, attempts, expected, tries) in [
        (&[500, 500, 200][..], &[500][..], 3, 200, 3),
        (&[500, 500, 500, 500, 200], &[500], 3, 500, 4),
        (&[503, 200], &[500], 3, 503, 1),
        (&[502, 200], &[500, 502, 503, 504], 2, 200, 2),
        (&[504, 504, 504, 200], &[500, 502, 503, 504], 2, 504, 3),
        (&[500, 200], &[500], 0, 500, 1),
    ] {
        let mesh = Mesh::start().await;
        let v1 = answering(&mesh, statuses).await;
        mesh.govern_by(|rule| rule.retry = retry(attempts, codes, &[]));
        assert_eq!(mesh.http1(80).await.get("/").await.status, expected, "{statuses:?}");
        let counts: Vec<_> =
            v1.seen().iter().map(|seen| seen.header("x-envoy-attempt-count").unwrap().to_owned()).collect();
        assert_eq!(counts, (1..=tries).map(|n| n.to_string()).collect::<Vec<_>>(), "{statuses:?} (RES-14)");
    }
}

#[tokio::test]
async fn res_10_a_slow_attempt_is_retried() {
    let mesh = Mesh::start().await;
    let v1 =
        mesh.backend("v1", |before, _| if before < 2 { Act::Hang } else { Act::text(200, "third") }).await;
    mesh.govern_by(|rule| {
        rule.attempt_timeout = Some(Duration::from_millis(50));
        rule.retry = retry(2, &[], &["reset"]);
    });
    assert_eq!(mesh.http1(80).await.get("/").await.body, "third");
    assert_eq!(v1.seen().len(), 3);
}

#[tokio::test]
async fn res_11_the_request_s_timeout_bounds_all_attempts() {
    let mesh = Mesh::start().await;
    let v1 = mesh
        .backend("v1", |_, _| {
            let response = http::Response::builder().status(500).body(Full::default().boxed()).unwrap();
            Act::Later(Duration::from_millis(100), response)
        })
        .await;
    mesh.govern_by(|rule| {
        rule.request_timeout = Some(Duration::from_millis(250));
        rule.retry = retry(50, &[500], &[]);
    });
    let begin = Instant::now();
    assert_eq!(mesh.http1(80).await.get("/").await.status, 504);
    assert!(begin.elapsed() < MUCH);
    assert!((2..=4).contains(&v1.seen().len()), "{}", v1.seen().len());
}

#[tokio::test]
async fn res_12_a_connection_reset_is_retried_where_asked_for() {
    for (conditions, expected, tries) in [(&["reset"][..], 200, 3), (&["connect-failure"], 503, 1)] {
        let mesh = Mesh::start().await;
        let v1 =
            mesh.backend("v1", |before, _| if before < 2 { Act::Reset } else { Act::text(200, "") }).await;
        mesh.govern_by(|rule| rule.retry = retry(3, &[], conditions));
        assert_eq!(mesh.http1(80).await.send(post("/", "body")).await.status, expected, "{conditions:?}");
        assert_eq!(v1.seen().len(), tries, "{conditions:?}");
    }
}

#[tokio::test]
async fn res_14_a_retried_request_has_its_whole_body_and_a_large_one_is_not_retried() {
    let mesh = Mesh::start().await;
    let v1 = answering(&mesh, &[503, 200, 503, 200]).await;
    mesh.govern_by(|rule| rule.retry = retry(3, &[503], &[]));
    let mut client = mesh.http1(80).await;
    let small = "x".repeat(60 * 1024);
    assert_eq!(client.send(post("/", small.clone())).await.status, 200);
    assert!(v1.seen().iter().all(|seen| seen.body == small), "both attempts");
    let large = "x".repeat(300 * 1024);
    assert_eq!(client.send(post("/", large.clone())).await.status, 503);
    assert_eq!(v1.seen().len(), 3);
    assert_eq!(v1.seen()[2].body.len(), large.len());
}

#[tokio::test]
async fn res_16_nobody_there_and_nobody_listening() {
    let mesh = Mesh::start().await;
    let mut client = mesh.http1(80).await;
    let reply = client.get("/").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "no healthy upstream"));
    let nobody = std::net::SocketAddr::new(mesh.free_ip(), 9);
    mesh.add(mesh.endpoint("gone", REVIEWS, nobody));
    assert_eq!(client.get("/").await.status, 503);
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_by_default() {
    let mesh = Mesh::start().await;
    for name in ["gone1", "gone2"] {
        mesh.add(mesh.endpoint(name, REVIEWS, std::net::SocketAddr::new(mesh.free_ip(), 9)));
    }
    mesh.echo("alive").await;
    let mut client = mesh.http1(80).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "alive", "two more attempts, each at another host");
    }
}

#[tokio::test]
async fn up_01_a_kept_connection_that_was_closed_costs_no_request() {
    let mesh = Mesh::start().await;
    // Answers once per connection and closes it without saying so.
    let listener = tokio::net::TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        }
    });
    mesh.add(mesh.endpoint("closing", REVIEWS, address));
    let mut client = mesh.http1(80).await;
    for number in 0..30 {
        assert_eq!(client.get("/").await.body, "ok", "request {number}");
    }
}

#[tokio::test]
async fn res_17_a_client_that_leaves_ends_the_backend_s_work() {
    let mesh = Mesh::start().await;
    let (sender, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    let listener = tokio::net::TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    mesh.add(mesh.endpoint("slow", REVIEWS, listener.local_addr().unwrap()));
    let (begun, begins) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap();
        begun.send(()).unwrap();
        // Ends when the waypoint closes the connection.
        while tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap_or(0) > 0 {}
        drop(sender);
    });
    let mut client = mesh.http1(80).await;
    let asking = tokio::spawn(async move { client.try_send(request("GET", "/")).await.is_ok() });
    begins.await.unwrap();
    asking.abort();
    assert!(tokio::time::timeout(MUCH, ended.recv()).await.is_ok(), "the backend's connection ended");
}

#[tokio::test]
async fn res_19_a_response_that_has_begun_is_broken_off() {
    let mesh = Mesh::start().await;
    mesh.backend("v1", |_, _| {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"begin")))]);
        let never = futures_util::stream::pending();
        let body = StreamBody::new(futures_util::StreamExt::chain(first, never)).boxed();
        Act::Answer(http::Response::new(body))
    })
    .await;
    mesh.govern_by(|rule| rule.request_timeout = Some(Duration::from_millis(100)));
    let response = mesh.http1(80).await.begin(request("GET", "/")).await.unwrap();
    assert_eq!(response.status(), 200);
    let broken = tokio::time::timeout(MUCH, response.into_body().collect()).await.unwrap();
    assert!(broken.is_err());
}
