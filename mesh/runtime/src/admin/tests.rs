//! The server over loopback, and its handlers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::drain::{self, DrainTrigger, Drained, Mode};
use crate::readiness::Readiness;
use crate::shutdown::{self, Reason};

const SOON: Duration = Duration::from_secs(5);

async fn started(router: Router) -> (SocketAddr, DrainTrigger, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, watcher) = drain::channel();
    (address, trigger, tokio::spawn(serve(listener, router, watcher)))
}

/// Sends bytes, returns all that is answered until the server closes.
async fn exchanged(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has seen enough may close before it has read all of it.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn asked(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = exchanged(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn st_12_readiness_as_probes_expect_it() {
    let readiness = Readiness::new();
    let (b, a) = (readiness.register("state"), readiness.register("certificate"));
    let (address, _trigger, _) = started(readiness_router(readiness)).await;
    let not_ready = (500, "not ready, pending: certificate, state\n".to_owned());
    assert_eq!(asked(address, "GET", "/healthz/ready").await, not_ready);
    drop((a, b));
    assert_eq!(asked(address, "GET", "/healthz/ready").await, (200, "ready\n".to_owned()));
    assert_eq!(asked(address, "POST", "/healthz/ready").await.0, 405);
    assert_eq!(asked(address, "GET", "/healthz").await.0, 404);
}

#[tokio::test]
async fn up_08_quitting_takes_a_post() {
    let (trigger, mut requests) = shutdown::channel();
    let router = Router::new().route(Method::POST, "/quitquitquit", quit_handler(trigger)).index("test");
    let (address, _trigger, _) = started(router).await;
    assert_eq!(asked(address, "GET", "/quitquitquit").await.0, 405);
    assert_eq!(asked(address, "POST", "/quitquitquit").await, (200, "shutdown now\n".to_owned()));
    assert_eq!(shutdown::signaled(&mut requests).await.unwrap(), Reason::Requested);
    let (status, page) = asked(address, "GET", "/").await;
    assert!(status == 200 && page.contains("/quitquitquit"), "{page}");
}

#[tokio::test]
async fn sec_03_garbage_is_answered_with_400() {
    let (address, _trigger, _) = started(Router::new()).await;
    assert!(exchanged(address, b"\x16\x03\x01 garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let flood = format!("GET / HTTP/1.1\r\n{}\r\n", "x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(4000));
    let answer = exchanged(address, flood.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn sec_13_a_slow_head_is_cut_off() {
    let (address, _trigger, _) = started(Router::new()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server closed");
}

#[tokio::test]
async fn sec_large_bodies_are_refused() {
    let router = Router::new().route_any("/", |request| text(StatusCode::OK, request.body().clone()));
    let (address, _trigger, _) = started(router).await;
    let request = |length: usize| {
        let head = format!("POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; length]].concat()
    };
    assert!(exchanged(address, &request(10)).await.ends_with("\r\n\r\nxxxxxxxxxx"));
    assert!(exchanged(address, &request(65 * 1024)).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn up_06_drain_ends_idle_connections_and_the_listener() {
    let router = Router::new().route_any("/", |_| text(StatusCode::OK, "x"));
    let (address, trigger, server) = started(router).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(trigger.start(Mode::Graceful, SOON).await, Drained::Complete);
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
