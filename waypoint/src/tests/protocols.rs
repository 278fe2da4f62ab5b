//! HTTP/1, HTTP/2, gRPC, WebSockets; bodies, trailers, oddities.

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::backend::Act;
use super::client::{Client, post, request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, headers, rule};

#[tokio::test]
async fn gw_34_l7_23_what_the_backend_is_spoken_to() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    for (port, http2_client, expected) in [
        (80, false, Version::HTTP_11),
        (80, true, Version::HTTP_11),
        (85, false, Version::HTTP_2),
        (85, true, Version::HTTP_2),
        (81, false, Version::HTTP_11),
        (81, true, Version::HTTP_2),
    ] {
        let mut client = if http2_client { mesh.http2(port).await } else { mesh.http1(port).await };
        let reply = client.send(with(post("/path", "body"), "cookie", "a=1")).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "v1"), "{port}");
        assert_eq!(reply.version, if http2_client { Version::HTTP_2 } else { Version::HTTP_11 });
        let seen = v1.seen().pop().unwrap();
        assert_eq!(
            (seen.version, seen.host(), &seen.body[..]),
            (expected, "reviews", &b"body"[..]),
            "{port}"
        );
        assert_eq!((seen.path(), seen.header("cookie")), ("/path", Some("a=1")));
    }
}

/// Answers a call with a message and a status in the trailers.
fn grpc_answer() -> Act {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let frames = [Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    Act::Answer(http::Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

#[tokio::test]
async fn gw_22_grpc_with_trailers_on_every_kind_of_port() {
    let mesh = Mesh::start().await;
    let v1 = mesh.backend("v1", |_, _| grpc_answer()).await;
    for port in [7070, 7071, 85, 80] {
        let call =
            with(post("/pkg.Service/Method", "\0\0\0\0\x02ho"), "content-type", "application/grpc+proto");
        let reply = mesh.http2(port).await.send(with(call, "te", "trailers")).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "\0\0\0\0\x02hi"));
        assert_eq!(reply.trailers.unwrap()["grpc-status"], "0", "port {port}");
        let seen = v1.seen().pop().unwrap();
        assert_eq!((seen.version, seen.header("te")), (Version::HTTP_2, Some("trailers")));
    }
}

#[tokio::test]
async fn gw_32_grpc_without_a_route_is_unimplemented() {
    let mesh = Mesh::start().await;
    mesh.govern(vec![]);
    let call = with(post("/pkg.Service/Method", ""), "content-type", "application/grpc");
    let reply = mesh.http2(7070).await.send(call).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, Some("12")));
}

#[tokio::test]
async fn grpc_statuses_are_retried_by_default() {
    let mesh = Mesh::start().await;
    let v1 = mesh
        .backend("v1", |before, _| match before {
            0 => {
                let head = http::Response::builder().header("content-type", "application/grpc");
                Act::Answer(head.header("grpc-status", "14").body(Default::default()).unwrap())
            }
            _ => grpc_answer(),
        })
        .await;
    let call = with(post("/pkg.Service/Method", "x"), "content-type", "application/grpc");
    assert_eq!(mesh.http2(7070).await.send(call).await.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(v1.seen().len(), 2);
}

#[tokio::test]
async fn gw_35_websockets_pass_through() {
    let mesh = Mesh::start().await;
    let v1 = mesh.backend("v1", |_, _| Act::Upgrade).await;
    mesh.govern(vec![rule("only", vec![backend(REVIEWS, 80)])]);
    let handshake = with(with(request("GET", "/chat"), "connection", "Upgrade"), "upgrade", "websocket");
    let mut response = mesh.http1(80).await.begin(handshake).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"]),
        (101, &"websocket".parse().unwrap())
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    for text in ["one", "two"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut echo = [0; 3];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, text.as_bytes());
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the end is passed on");
    assert_eq!(v1.only().header("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn sec_other_upgrades_do_not() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let asked = with(with(request("GET", "/"), "connection", "Upgrade, HTTP2-Settings"), "upgrade", "h2c");
    let reply = mesh.http1(80).await.send(with(asked, "http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA")).await;
    assert_eq!(reply.status, 200);
    let seen = v1.only();
    assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), (None, None));
}

#[tokio::test]
async fn sec_a_backend_cannot_switch_protocols_unasked() {
    let mesh = Mesh::start().await;
    mesh.backend("v1", |_, seen| match seen.path() {
        "/" => Act::Upgrade,
        _ => Act::text(200, "fine"),
    })
    .await;
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.status, 502);
    assert_eq!(client.get("/next").await.body, "fine");
}

pub(super) async fn raw(mesh: &Mesh, port: u16, bytes: &[u8]) -> String {
    let mut stream = mesh.tunnel(mesh.target(port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn cap_28_http_1_0() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let declared = raw(&mesh, 80, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(declared.starts_with("HTTP/1.0 426 ") || declared.starts_with("HTTP/1.1 426 "), "{declared}");
    let detected = raw(&mesh, 81, b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(detected.contains(" 200 OK") && detected.ends_with("v1"), "{detected}");
}

#[tokio::test]
async fn sec_garbage_and_floods_on_an_http_port() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    assert!(raw(&mesh, 80, b"\x16\x03\x01\x00\xa5garbage\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let lines = "x-flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(4000);
    let flood = raw(&mesh, 80, format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n").as_bytes()).await;
    assert!(flood.starts_with("HTTP/1.1 431 "), "{flood}");
    let smuggled = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n";
    let smuggling = raw(&mesh, 80, smuggled).await;
    assert!(smuggling.starts_with("HTTP/1.1 400 ") && v1.seen().is_empty(), "{smuggling}");
    let no_host = raw(&mesh, 80, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(no_host.starts_with("HTTP/1.1 400 "), "{no_host}");
}

#[tokio::test]
async fn expect_continue_chunks_and_pipelines() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let mut stream = mesh.tunnel(mesh.target(80)).await.unwrap();
    let head = b"POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let rest = b"3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(rest).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    let seen = v1.seen();
    assert_eq!((seen[0].path(), &seen[0].body[..], seen[1].path()), ("/a", &b"abc"[..], "/b"));
    assert_eq!(seen[0].header("expect"), None);
}

#[tokio::test]
async fn heads_and_statuses_without_a_body() {
    let mesh = Mesh::start().await;
    mesh.backend("v1", |_, seen| match (seen.method.as_str(), seen.path()) {
        ("HEAD", _) => {
            let head = http::Response::builder().header("content-length", "1234");
            Act::Answer(head.body(Default::default()).unwrap())
        }
        (_, path) => Act::text(path[1..].parse().unwrap(), ""),
    })
    .await;
    let mut client = mesh.http1(80).await;
    let reply = client.send(request("HEAD", "/")).await;
    assert_eq!((reply.status, reply.header("content-length"), reply.body.as_str()), (200, Some("1234"), ""));
    assert_eq!(client.get("/204").await.status, 204);
    assert_eq!(client.get("/304").await.status, 304);
    assert_eq!(client.get("/200").await.status, 200, "the connection is in order");
}

#[tokio::test]
async fn trailers_of_requests_arrive() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    let frames = [Ok(Frame::data(Bytes::from_static(b"body"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
    let mut asked = post("/", "").map(|_| body);
    asked.headers_mut().remove("content-length");
    assert_eq!(mesh.http2(85).await.send(asked).await.status, 200);
    let seen = v1.only();
    assert_eq!((&seen.body[..], &seen.trailers.unwrap()["x-sum"]), (&b"body"[..], &"7".parse().unwrap()));
}

#[tokio::test]
async fn large_bodies_both_ways_over_every_pair_of_versions() {
    let mesh = Mesh::start().await;
    let v1 = mesh.backend("v1", |_, seen| Act::text(200, std::str::from_utf8(&seen.body).unwrap())).await;
    let large: String = (0..400_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    for (port, http2_client) in [(80, false), (80, true), (85, false), (85, true)] {
        let mut client = if http2_client { mesh.http2(port).await } else { mesh.http1(port).await };
        for known_length in [true, false] {
            let mut asked = post("/", large.clone());
            if !known_length {
                let parts = large
                    .as_bytes()
                    .chunks(1 << 15)
                    .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part))));
                let parts: Vec<_> = parts.collect();
                asked = asked.map(|_| StreamBody::new(futures_util::stream::iter(parts)).boxed());
            }
            let reply = client.send(asked).await;
            assert_eq!(reply.status, 200, "{port} {http2_client} {known_length}");
            assert!(reply.body == large, "{port} {http2_client} {known_length}");
        }
    }
    assert_eq!(v1.seen().len(), 8);
}

#[tokio::test]
async fn many_requests_at_once_on_one_connection() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.govern_by(|rule| rule.response_headers.set = headers(&[("x-a", "b")]));
    let Client::Http2(sender) = mesh.http2(80).await else { unreachable!() };
    let calls = (0..200).map(|number| {
        let mut client = Client::Http2(sender.clone());
        tokio::spawn(async move { client.send(post(&format!("/{number}"), vec![b'x'; 1000])).await.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(v1.seen().len(), 200);
}
