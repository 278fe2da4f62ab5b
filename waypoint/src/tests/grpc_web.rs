//! Pages in browsers and servers that speak gRPC.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use mesh_model::{Cors, ServiceConfig, ValueMatch};
use tokio::sync::mpsc;

use super::backend::Act;
use super::client::{ClientBody, post, request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, config, rule};

/// A port on which pages may speak.
const PORT: u16 = 80;
const QUESTION: &[u8] = b"\0\0\0\0\x02ho";
const ANSWER: &[u8] = b"\0\0\0\0\x02hi";
/// The trailers of an answer, as pages read them.
const STATUS: &[u8] = b"\x80\0\0\0\x0fgrpc-status:0\r\n";

async fn start() -> Mesh {
    let mesh = Mesh::start().await;
    mesh.configure(for_pages(Vec::new()));
    mesh
}

fn for_pages(rules: Vec<mesh_model::HttpRule>) -> ServiceConfig {
    let ports = if rules.is_empty() { Default::default() } else { config(REVIEWS, rules).ports };
    ServiceConfig { ports, grpc_web_ports: [PORT].into(), ..config(REVIEWS, Vec::new()) }
}

fn call(kind: &str, body: impl Into<Bytes>) -> Request<ClientBody> {
    with(post("/pkg.Service/Method", body), "content-type", kind)
}

/// Answers with messages, then with a status.
fn answer(messages: usize) -> Act {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let message = || Ok(Frame::data(Bytes::from_static(ANSWER)));
    let mut frames: Vec<_> = (0..messages).map(|_| message()).collect();
    frames.push(Ok(Frame::trailers(trailers)));
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    Act::Answer(http::Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

/// What a text of base64 says, each part of which may be padded.
fn decoded(text: &str) -> Vec<u8> {
    let groups = text.as_bytes().chunks(4);
    groups.flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

#[tokio::test]
async fn pages_call_servers_of_grpc_in_either_form_and_version() {
    let mesh = start().await;
    let v1 = mesh.backend("v1", |_, _| answer(2)).await;
    let expected = [ANSWER, ANSWER, STATUS].concat();
    for http2 in [false, true] {
        let mut client = if http2 { mesh.http2(PORT).await } else { mesh.http1(PORT).await };
        let reply = client.begin(call("application/grpc-web+proto", QUESTION)).await.unwrap();
        assert_eq!(
            (reply.status().as_u16(), &reply.headers()["content-type"]),
            (200, &"application/grpc-web+proto".parse().unwrap())
        );
        let body = reply.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none());
        assert_eq!(body.to_bytes(), expected);
        let text = STANDARD.encode(QUESTION);
        let reply = client.send(call("application/grpc-web-text", text)).await;
        assert_eq!(reply.header("content-type"), Some("application/grpc-web-text+proto"));
        assert_eq!(decoded(&reply.body), expected);
        for seen in v1.seen() {
            assert_eq!((seen.version, &seen.body[..]), (Version::HTTP_2, QUESTION));
            assert_eq!(seen.header("te"), Some("trailers"));
            assert!(seen.header("content-type").unwrap().starts_with("application/grpc"));
            assert!(!seen.header("content-type").unwrap().contains("web"));
        }
    }
    assert_eq!(v1.seen().len(), 4);
    let labels = ["request_protocol=\"grpc\"", "grpc_response_status=\"0\"", "response_code=\"200\""];
    assert!(mesh.metric("istio_requests_total", &labels)[0].ends_with(" 4"));
}

#[tokio::test]
async fn what_a_page_is_told_of_failures_is_in_the_head() {
    let mesh = start().await;
    let kind = "application/grpc-web+proto";
    // Nobody is there.
    let reply = mesh.http1(PORT).await.send(call(kind, QUESTION)).await;
    assert_eq!((reply.status, reply.header("grpc-status"), &*reply.body), (200, Some("14"), ""));
    assert_eq!(reply.header("content-type"), Some("application/grpc-web+proto"));
    // A server that has nothing to say but a status.
    let v1 = mesh.backend("v1", |_, _| {
        let head = http::Response::builder().header("content-type", "application/grpc");
        Act::Answer(head.header("grpc-status", "5").body(Default::default()).unwrap())
    });
    let v1 = v1.await;
    let reply = mesh.http1(PORT).await.send(call(kind, QUESTION)).await;
    assert_eq!((reply.status, reply.header("grpc-status"), &*reply.body), (200, Some("5"), ""));
    assert!(mesh.metric("istio_requests_total", &["grpc_response_status=\"5\""])[0].ends_with(" 1"));
    // What cannot be read.
    for text in ["AAAA!AAA", "AAAAA"] {
        let reply = mesh.http1(PORT).await.send(call("application/grpc-web-text", text)).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (200, Some("13")), "{text}");
        assert_eq!(reply.header("content-type"), Some("application/grpc-web-text+proto"));
    }
    assert!(v1.seen().len() == 1, "a backend sees no whole request: {:?}", v1.seen());
    assert!(mesh.metric("istio_requests_total", &["response_flags=\"DPE\""])[0].ends_with(" 2"));
}

#[tokio::test]
async fn messages_pass_as_they_come_both_ways() {
    let mesh = start().await;
    let (say, said) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let said = std::sync::Mutex::new(Some(said));
    mesh.backend("v1", move |_, _| {
        let mut said = said.lock().unwrap().take().unwrap();
        let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| said.poll_recv(cx))).boxed();
        Act::Answer(http::Response::builder().header("content-type", "application/grpc").body(body).unwrap())
    })
    .await;
    let mut client = mesh.http1(PORT).await;
    let text = STANDARD.encode(QUESTION);
    let reply = client.begin(call("application/grpc-web-text", text)).await.unwrap();
    let mut body = reply.into_body();
    for _ in 0..3 {
        say.send(Ok(Frame::data(Bytes::from_static(ANSWER)))).await.unwrap();
        let heard = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(decoded(std::str::from_utf8(&heard).unwrap()), ANSWER, "it does not wait for the next");
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    say.send(Ok(Frame::trailers(trailers))).await.unwrap();
    let heard = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(decoded(std::str::from_utf8(&heard).unwrap()), STATUS);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn only_where_the_port_says_so() {
    let mesh = start().await;
    let v1 = mesh.echo("v1").await;
    let reply = mesh.http1(81).await.send(call("application/grpc-web+proto", QUESTION)).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "v1"));
    let seen = v1.only();
    assert_eq!(
        (seen.version, seen.header("content-type")),
        (Version::HTTP_11, Some("application/grpc-web+proto"))
    );
    // Where it does, others are served as ever; so is what a server answers that is no gRPC.
    let reply = mesh.http1(PORT).await.send(call("application/json", "{}")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "v1"));
    let reply = mesh.http1(PORT).await.send(call("application/grpc-web+proto", QUESTION)).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "v1"));
}

#[tokio::test]
async fn l7_13_pages_of_other_origins_may_call_as_the_route_says() {
    let mesh = start().await;
    let v1 = mesh.backend("v1", |_, _| answer(1)).await;
    let mut all = rule("all", vec![backend(REVIEWS, PORT)]);
    let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    all.cors = Some(Cors {
        origins: vec![ValueMatch::Exact("https://shop.example".into())],
        methods: list(&["POST"]),
        headers: list(&["content-type", "x-grpc-web"]),
        exposed_headers: list(&["grpc-status", "grpc-message"]),
        max_age: None,
        credentials: false,
        forwards_unmatched_preflights: false,
    });
    mesh.configure(for_pages(vec![all]));
    let from_page = |request| with(request, "origin", "https://shop.example");
    let asked = with(request("OPTIONS", "/pkg.Service/Method"), "access-control-request-method", "POST");
    let mut client = mesh.http1(PORT).await;
    let preflight = client.send(from_page(asked)).await;
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-headers")),
        (200, Some("content-type,x-grpc-web"))
    );
    assert!(v1.seen().is_empty());
    let reply = client.begin(from_page(call("application/grpc-web+proto", QUESTION))).await.unwrap();
    assert_eq!(reply.headers()["access-control-allow-origin"], "https://shop.example");
    assert_eq!(reply.headers()["access-control-expose-headers"], "grpc-status,grpc-message");
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), [ANSWER, STATUS].concat());
}
