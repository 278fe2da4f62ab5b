//! The echo and its client against each other, over loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use mesh_identity::{Profile, provider};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::client::{self, Answer, Call, CallError};
use super::name::Name;
use super::server::{Speech, accept};
use super::service::Echo;
use super::tls;

async fn start(speech: Speech, calls: Vec<String>) -> SocketAddr {
    let text = str::to_owned;
    let name =
        Name { service: text("reviews"), version: text("v2"), pod: text("p"), namespace: text("prod") };
    let calls = calls.iter().map(|url| url.parse().unwrap()).collect();
    let echo =
        Arc::new(Echo { name, calls, quiet: true, stats: Default::default(), failures: Default::default() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(accept(listener, echo, speech));
    address
}

fn call(url: String) -> Call {
    Call {
        url: url.parse().unwrap(),
        method: Method::GET,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        http2: false,
        timeout: Duration::from_secs(10),
        server_first: false,
    }
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn an_answer_by_tls_says_which_name_was_asked_for() {
    let (acceptor, certificate) = tls::acceptor("reviews").unwrap();
    let address = start(Speech::Https(acceptor), Vec::new()).await;
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(provider(Profile::default()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("reviews").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["tls"]["serverName"], &body["path"]), (&"reviews".into(), &"/a".into()));
    // Whoever speaks no TLS there is not served, and harms nobody.
    assert!(client::fetch(&call(format!("http://{address}/"))).await.is_err());
    let body = json(
        &client::fetch(&call(format!("http://{}/", start(Speech::Http, Vec::new()).await))).await.unwrap(),
    );
    assert!(body.get("tls").is_none(), "{body}");
}

#[tokio::test]
async fn http_answers_name_server_and_request_in_both_versions() {
    let address = start(Speech::Http, Vec::new()).await;
    for (http2, protocol) in [(false, "HTTP/1.1"), (true, "HTTP/2.0")] {
        let mut call = call(format!("http://{address}/a/b?status=418&header=x-a:1"));
        call.http2 = http2;
        call.headers.insert("x-request-id", "id-1".parse().unwrap());
        let answer = client::fetch(&call).await.unwrap();
        assert_eq!(answer.status, Some(StatusCode::IM_A_TEAPOT));
        assert_eq!(answer.headers["x-a"], "1");
        let body = json(&answer);
        assert_eq!((&body["service"], &body["version"]), (&"reviews".into(), &"v2".into()));
        assert_eq!((&body["protocol"], &body["path"]), (&protocol.into(), &"/a/b".into()));
        assert_eq!(body["headers"]["x-request-id"], "id-1");
        assert!(body["source"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test]
async fn the_first_requests_of_a_key_fail_or_are_closed() {
    let address = start(Speech::Http, Vec::new()).await;
    let failing = call(format!("http://{address}/?fail=2&key=k&code=500"));
    for status in [500, 500, 200] {
        assert_eq!(client::fetch(&failing).await.unwrap().status.unwrap().as_u16(), status);
    }
    let closing = call(format!("http://{address}/?fail=1&key=l&close=true"));
    assert!(matches!(client::fetch(&closing).await, Err(CallError::Http(_))));
    assert_eq!(client::fetch(&closing).await.unwrap().status, Some(StatusCode::OK));
    let refused = client::fetch(&call(format!("http://{address}/?delay=x"))).await.unwrap();
    assert_eq!(refused.status, Some(StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn onward_calls_are_included_and_carry_the_request_id() {
    let details = start(Speech::Http, Vec::new()).await;
    let page =
        start(Speech::Http, vec![format!("http://{details}/details"), "http://127.0.0.1:1/".to_owned()])
            .await;
    let mut call = call(format!("http://{page}/"));
    call.headers.insert("x-request-id", "id-2".parse().unwrap());
    let body = json(&client::fetch(&call).await.unwrap());
    assert_eq!(body["calls"][0]["status"], 200);
    assert_eq!(body["calls"][0]["answer"]["path"], "/details");
    assert_eq!(body["calls"][0]["answer"]["headers"]["x-request-id"], "id-2");
    assert!(body["calls"][1]["error"].as_str().unwrap().contains("cannot connect"));
}

#[tokio::test]
async fn grpc_answers_with_message_or_status() {
    let address = start(Speech::Http, Vec::new()).await;
    let mut call = call(format!("grpc://{address}"));
    call.body = Bytes::from_static(b"hi");
    let answer = client::fetch(&call).await.unwrap();
    assert_eq!((answer.status, answer.grpc_status), (Some(StatusCode::OK), Some(0)));
    assert_eq!(json(&answer)["body"], "hi");
    call.headers.insert("x-echo-status", "7".parse().unwrap());
    assert_eq!(client::fetch(&call).await.unwrap().grpc_status, Some(7));
    call.url.path = "/other.Service/Method".to_owned();
    assert_eq!(client::fetch(&call).await.unwrap().grpc_status, Some(12));
}

#[tokio::test]
async fn tcp_echoes_lines_and_may_greet_first() {
    let plain = start(Speech::Tcp { greet: false }, Vec::new()).await;
    let mut line = call(format!("tcp://{plain}"));
    line.body = Bytes::from_static(b"ping");
    assert_eq!(client::fetch(&line).await.unwrap().body, "reviews-v2: ping");
    let greeting = start(Speech::Tcp { greet: true }, Vec::new()).await;
    let mut line = call(format!("tcp://{greeting}"));
    line.server_first = true;
    assert_eq!(client::fetch(&line).await.unwrap().body, "hello from reviews-v2\nreviews-v2: ");
}

#[tokio::test]
async fn stats_count_what_arrived_but_not_probes() {
    let address = start(Speech::Http, Vec::new()).await;
    for path in ["/shadow", "/shadow", "/healthz"] {
        client::fetch(&call(format!("http://{address}{path}"))).await.unwrap();
    }
    let stats = json(&client::fetch(&call(format!("http://{address}/stats"))).await.unwrap());
    assert_eq!((&stats["http"], &stats["paths"]["/shadow"]), (&2.into(), &2.into()));
}
