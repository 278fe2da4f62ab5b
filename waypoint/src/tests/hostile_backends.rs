//! Backends that break every rule: their client gets an error, nobody else anything of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{Client, post, request};
use super::mesh::{Mesh, REVIEWS, vip};
use super::samples::{backend, rule};

/// What it does once it has been asked.
#[derive(Clone)]
enum Doing {
    /// Says this, and ends.
    Ends(&'static [u8]),
    /// Says this, and resets the connection.
    Resets(&'static [u8]),
    /// Says this, and then nothing more.
    Stalls(&'static [u8]),
    /// Says this once, then the other for as long as somebody listens.
    Endless(&'static [u8], &'static [u8]),
}

/// An endpoint of `reviews` that does so on every connection; how often it was asked, how many bytes were taken.
async fn doing(mesh: &Mesh, doing: Doing) -> Arc<(AtomicUsize, AtomicUsize)> {
    let listener = TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    mesh.add(mesh.endpoint("hostile", REVIEWS, listener.local_addr().unwrap()));
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let shared = counts.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, doing.clone(), shared.clone()));
        }
    });
    counts
}

async fn serve(mut stream: TcpStream, doing: Doing, counts: Arc<(AtomicUsize, AtomicUsize)>) {
    let mut asked = Vec::new();
    // An HTTP/2 client says hello, with an empty line in it, and waits for the same.
    while !asked.windows(4).any(|part| part == b"\r\n\r\n") {
        if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
            return;
        }
    }
    counts.0.fetch_add(1, Ordering::SeqCst);
    // Clients leave when they have heard enough.
    let _ = match doing {
        Doing::Ends(bytes) => {
            let _ = stream.write_all(bytes).await;
            stream.shutdown().await
        }
        Doing::Resets(bytes) => {
            let _ = stream.write_all(bytes).await;
            stream.set_zero_linger()
        }
        Doing::Stalls(bytes) => {
            let _ = stream.write_all(bytes).await;
            while stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {}
            Ok(())
        }
        Doing::Endless(first, then) => {
            let _ = stream.write_all(first).await;
            let mut said = Ok(());
            while said.is_ok() {
                said = stream.write_all(then).await;
                counts.1.fetch_add(then.len(), Ordering::SeqCst);
            }
            said
        }
    };
}

/// Another service behind the same waypoint.
async fn other(mesh: &Mesh) -> Client {
    let good =
        super::backend::Backend::start(mesh.free_ip(), |_, _| super::backend::Act::text(200, "good")).await;
    mesh.add_service("ratings", 2);
    mesh.add(mesh.endpoint("good", "ratings", good.address));
    let target = std::net::SocketAddr::new(vip(2), 80);
    Client::http1(mesh.tunnel(target.into()).await.unwrap()).await
}

#[tokio::test]
async fn what_is_no_response_is_a_503_and_others_are_served() {
    for doing_so in [
        Doing::Ends(b""),
        Doing::Resets(b""),
        Doing::Ends(b"HTTP/1.1 200"),
        Doing::Resets(b"HTTP/1.1 200 OK\r\ncontent-le"),
        Doing::Ends(b"\x16\x03\x01\x00\xa5garbage"),
        Doing::Ends(b"SSH-2.0-OpenSSH_9.6\r\n"),
        Doing::Ends(b"HTTP/3.0 200 OK\r\n\r\n"),
        Doing::Ends(b"HTTP/1.1 2000 OK\r\n\r\n"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\nx y: z\r\n\r\n"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n"),
        Doing::Endless(
            b"HTTP/1.1 200 OK\r\n",
            b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        ),
        Doing::Endless(
            b"HTTP/1.1 200 OK\r\nx: ",
            b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
        ),
        Doing::Endless(b"HTTP/1.1 200 ", b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
    ] {
        let mesh = Mesh::start().await;
        let mut bystander = other(&mesh).await;
        let counts = doing(&mesh, doing_so.clone()).await;
        let mut client = mesh.http1(80).await;
        let reply = client.send(request("GET", "/")).await;
        let said = match doing_so {
            Doing::Ends(bytes) | Doing::Resets(bytes) | Doing::Stalls(bytes) => bytes,
            Doing::Endless(_, bytes) => bytes,
        };
        let said = String::from_utf8_lossy(said);
        assert_eq!(reply.status, 503, "{said:?}: {}", reply.body);
        assert!(counts.1.load(Ordering::SeqCst) < 16 << 20, "{said:?} was listened to for too long");
        // The same client's connection is in order, and so is everybody else.
        assert_eq!(client.get("/").await.status, 503);
        assert_eq!(bystander.get("/").await.body, "good");
        assert!(!mesh.metric("istio_requests_total", &["response_code=\"503\""]).is_empty());
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_taken_for_a_whole_one() {
    for doing_so in [
        Doing::Ends(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it"),
        Doing::Resets(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf of it"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"),
        Doing::Ends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
    ] {
        for http2 in [false, true] {
            let mesh = Mesh::start().await;
            doing(&mesh, doing_so.clone()).await;
            let mut client = if http2 { mesh.http2(80).await } else { mesh.http1(80).await };
            assert!(client.try_send(request("GET", "/")).await.is_err());
        }
    }
}

#[tokio::test]
async fn what_comes_behind_a_response_is_nobody_s_response() {
    let mesh = Mesh::start().await;
    let both =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let counts = doing(&mesh, Doing::Stalls(both)).await;
    for n in 1..=5 {
        let mut client = mesh.http1(80).await;
        assert_eq!(client.get("/").await.body, "ok");
        // Every request has had a connection of its own.
        assert_eq!(counts.0.load(Ordering::SeqCst), n);
    }
}

#[tokio::test]
async fn a_backend_that_stalls_is_given_up_when_the_rule_says_so() {
    let mesh = Mesh::start().await;
    for doing_so in [
        Doing::Stalls(b""),
        Doing::Stalls(b"HTTP/1.1 200 OK\r\nx"),
        Doing::Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        Doing::Endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    ] {
        doing(&mesh, doing_so).await;
        mesh.govern_by(|rule| rule.request_timeout = Some(Duration::from_millis(100)));
        assert_eq!(mesh.http1(80).await.get("/").await.status, 504);
    }
    // A head that came and a body that does not: the client is told by the end of its connection.
    doing(&mesh, Doing::Stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx")).await;
    assert!(mesh.http1(80).await.try_send(request("GET", "/")).await.is_err());
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_question_arrives() {
    let mesh = Mesh::start().await;
    // It answers the head, and wants no more connections of it.
    let early = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    doing(&mesh, Doing::Stalls(early)).await;
    let mut client = mesh.http2(80).await;
    let reply = client.send(post("/", vec![b'x'; 8 << 20])).await;
    assert_eq!((reply.status, reply.body.as_str()), (413, "big"));
}

#[tokio::test]
async fn backends_that_break_the_rules_of_http2_are_503_too() {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOODBYE: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    const HUGE: &[u8] = &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
    const PINGS: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    for doing_so in [
        Doing::Ends(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        Doing::Ends(b""),
        Doing::Resets(b""),
        Doing::Ends(SETTINGS),
        Doing::Ends(GOODBYE),
        Doing::Ends(HUGE),
    ] {
        let mesh = Mesh::start().await;
        let mut bystander = other(&mesh).await;
        doing(&mesh, doing_so).await;
        let reply = mesh.http2(85).await.get("/").await;
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert_eq!(bystander.get("/").await.body, "good");
    }
    // One that asks and asks: no answer comes, and the rule's time runs out.
    let mesh = Mesh::start().await;
    doing(&mesh, Doing::Endless(SETTINGS, PINGS)).await;
    let mut limited = rule("only", vec![backend(REVIEWS, 85)]);
    limited.request_timeout = Some(Duration::from_millis(100));
    mesh.govern(vec![limited]);
    assert_eq!(mesh.http2(85).await.get("/").await.status, 504);
}
