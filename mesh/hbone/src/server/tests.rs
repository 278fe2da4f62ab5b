//! Tests of `server`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request};
use mesh_runtime::drain::{self, DrainTrigger, Drained};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{Certificates, SOON, frame, random_frames};

type Client = tokio_rustls::client::TlsStream<DuplexStream>;

/// `serve` with a handler that counts, and accepts what asks for port 80.
struct Served {
    handled: Arc<AtomicUsize>,
    trigger: DrainTrigger,
    ended: JoinHandle<Result<(), ServeError>>,
}

async fn served(settings: Settings) -> (Client, Served) {
    let (near, far) = Certificates::new().with_client_oracle().await;
    let (trigger, watcher) = drain::channel();
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let handler = move |incoming: Incoming| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            match incoming.request.target.port() {
                80 => echo(incoming).await,
                81 => drop(incoming),
                _ => incoming.refuse(StatusCode::UNAUTHORIZED),
            }
        }
    };
    let ended = tokio::spawn(async move { serve(far, &settings, watcher, handler).await });
    (near, Served { handled, trigger, ended })
}

async fn echo(incoming: Incoming) {
    let tunnel = incoming.accept(&[("baggage", "service.name=db"), ("bad\nname", "x")]).unwrap();
    let (mut reader, mut writer) = tokio::io::split(tunnel);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

/// The oracle: a plain `h2` client on the connection.
async fn oracle(near: Client) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    send
}

fn connect_to(authority: &str) -> Request<()> {
    let uri = http::Uri::builder().authority(authority).build().unwrap();
    Request::builder().method(Method::CONNECT).uri(uri).body(()).unwrap()
}

#[tokio::test]
async fn hb_09_a_tunnel_carries_bytes_and_ends_both_ways() {
    let (near, served) = served(Settings::default()).await;
    let send = oracle(near).await;
    let (answer, mut upload) =
        send.ready().await.unwrap().send_request(connect_to("10.0.0.1:80"), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["baggage"], "service.name=db");
    assert_eq!(answer.headers().len(), 1);
    upload.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    // The end comes back as an empty frame.
    while let Some(rest) = body.data().await {
        assert!(rest.unwrap().is_empty());
    }
    assert_eq!(served.handled.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn hb_04_what_is_no_connect_to_a_target_is_answered_400_before_the_handler() {
    let (near, served) = served(Settings::default()).await;
    let mut send = oracle(near).await;
    let plain = |method: Method, uri: &str| Request::builder().method(method).uri(uri).body(()).unwrap();
    for request in [
        plain(Method::GET, "http://10.0.0.1:80/"),
        plain(Method::POST, "http://10.0.0.1:80/"),
        connect_to("10.0.0.1"),
        connect_to("10.0.0.1:0"),
        connect_to("host"),
        connect_to("010.1.1.1:80"),
        connect_to("user@host:80"),
    ] {
        let shown = format!("{request:?}");
        send = send.ready().await.unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), StatusCode::BAD_REQUEST, "{shown}");
    }
    assert_eq!(served.handled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn hb_08_a_refusal_is_its_status_and_no_answer_is_a_reset() {
    let (near, _served) = served(Settings::default()).await;
    let mut send = oracle(near).await.ready().await.unwrap();
    let (answer, _upload) = send.send_request(connect_to("10.0.0.1:82"), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().is_empty() && answer.into_body().is_end_stream());
    let (answer, _upload) = send.send_request(connect_to("10.0.0.1:81"), false).unwrap();
    assert!(answer.await.unwrap_err().is_reset());
}

#[tokio::test]
async fn a_header_flood_ends_its_stream_and_no_other() {
    let (near, served) = served(Settings::default()).await;
    let mut send = oracle(near).await.ready().await.unwrap();
    let mut request = connect_to("10.0.0.1:80");
    for n in 0..100 {
        request
            .headers_mut()
            .insert(format!("x-{n}").parse::<HeaderName>().unwrap(), "y".repeat(1024).parse().unwrap());
    }
    let (answer, _upload) = send.send_request(request, false).unwrap();
    let refused = answer.await.map(|answer| answer.status());
    assert!(refused.is_err() || refused.is_ok_and(|status| status.is_client_error()));
    assert_eq!(served.handled.load(Ordering::SeqCst), 0);
    let (answer, _upload) = send.send_request(connect_to("10.0.0.1:80"), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

/// Sends these bytes as the client's, and reads until the server closes or 64 KiB came.
async fn raw(mut near: Client, bytes: &[u8]) -> Vec<u8> {
    near.write_all(bytes).await.unwrap();
    near.flush().await.unwrap();
    let mut answer = Vec::new();
    let _ = near.take(64 * 1024).read_to_end(&mut answer).await;
    answer
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn garbage_ends_the_connection_and_reaches_nobody() {
    let mut cases = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 4096], vec![0; 100]];
    // After a good preface: a frame that lies about its length, one too large, a stream 0 HEADERS.
    for frame in [
        &[0, 0, 1, 4, 0, 0, 0, 0, 0, 0][..],
        &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
        &[0, 0, 0, 1, 4, 0, 0, 0, 0],
    ] {
        cases.push([PREFACE, frame].concat());
    }
    for case in cases {
        let (near, served) = served(Settings::default()).await;
        raw(near, &case).await;
        let ended = tokio::time::timeout(SOON, served.ended).await.unwrap().unwrap();
        assert!(matches!(ended, Err(ServeError::Failed(_))), "{case:?}: {ended:?}");
        assert_eq!(served.handled.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn frames_of_chance_end_the_connection_at_worst() {
    for _ in 0..100 {
        let (near, served) = served(Settings::default()).await;
        let bytes = [PREFACE, &frame(4, 0, 0, &[]), &random_frames()].concat();
        // A peer that then says nothing more: what it began may go on, or not.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), raw(near, &bytes)).await;
        let ended = tokio::time::timeout(SOON, served.ended).await.unwrap();
        assert!(ended.is_ok(), "it did not panic: {ended:?}");
    }
}

#[tokio::test]
async fn requests_given_up_at_once_do_not_pile_up() {
    let (near, far) = Certificates::new().with_client_oracle().await;
    let (_trigger, watcher) = drain::channel();
    let (handled, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (counter, open) = (Arc::clone(&handled), Arc::clone(&gate));
    // A handler that is busy, for instance with connecting, and learns late that nobody waits.
    let handler = move |incoming: Incoming| {
        counter.fetch_add(1, Ordering::SeqCst);
        let open = Arc::clone(&open);
        async move {
            let _passed = open.acquire().await.unwrap();
            incoming.refuse(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let settings = Settings { accepted_streams: 10, ..Settings::default() };
    tokio::spawn(async move { serve(far, &settings, watcher, handler).await });
    let mut send = oracle(near).await;
    for _ in 0..500 {
        send = send.ready().await.unwrap();
        let (answer, mut upload) = send.send_request(connect_to("10.0.0.1:80"), false).unwrap();
        tokio::task::yield_now().await;
        upload.send_reset(h2::Reason::CANCEL);
        drop(answer);
    }
    assert!(handled.load(Ordering::SeqCst) <= 20, "{handled:?} handlers are busy");
    // Once they are done the connection serves again.
    gate.add_permits(1000);
    let served = async {
        loop {
            send = send.clone().ready().await.unwrap();
            let (answer, _upload) = send.send_request(connect_to("10.0.0.1:80"), false).unwrap();
            match answer.await {
                Ok(answer) => break answer.status(),
                Err(error) => assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM)),
            }
        }
    };
    let status = tokio::time::timeout(SOON, served).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn hb_19_the_settings_are_those_of_the_contract() {
    let (mut near, _served) = served(Settings::default()).await;
    near.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await.unwrap();
    near.flush().await.unwrap();
    let (mut settings, mut window) = (Vec::new(), 65_535);
    while settings.is_empty() || window == 65_535 {
        let mut head = [0; 9];
        near.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        near.read_exact(&mut payload).await.unwrap();
        let number = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        match head[3] {
            4 if head[4] == 0 => {
                settings.extend(payload.chunks(6).map(|pair| (number(&pair[..2]), number(&pair[2..]))))
            }
            8 => window += number(&payload),
            _ => {}
        }
    }
    settings.sort_unstable();
    // Streams, stream window, frame size, header list.
    assert_eq!(settings, [(3, 200), (4, 4 << 20), (5, 1 << 20), (6, 64 << 10)]);
    assert_eq!(window, 16 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_begin_is_given_up() {
    let (_near, served) = served(Settings::default()).await;
    let ended = served.ended.await.unwrap();
    assert!(matches!(ended, Err(ServeError::HandshakeTimeout(_))), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn hb_18_a_peer_that_is_silent_is_given_up_after_its_ping() {
    let (mut near, served) = served(Settings::default()).await;
    near.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await.unwrap();
    near.flush().await.unwrap();
    let begin = tokio::time::Instant::now();
    let ended = served.ended.await.unwrap();
    assert!(matches!(ended, Err(ServeError::Silent(_))), "{ended:?}");
    assert_eq!(begin.elapsed().as_secs(), 30, "10 s to the ping and 20 s for its answer");
}

#[tokio::test(start_paused = true)]
async fn hb_18_a_peer_that_answers_is_kept() {
    let (near, served) = served(Settings::default()).await;
    let _send = oracle(near).await;
    tokio::time::sleep(std::time::Duration::from_hours(1)).await;
    assert!(!served.ended.is_finished());
}

#[tokio::test]
async fn a_graceful_drain_lets_open_tunnels_end_and_begins_none() {
    let (near, served) = served(Settings::default()).await;
    let send = oracle(near).await;
    let (answer, mut upload) =
        send.clone().ready().await.unwrap().send_request(connect_to("10.0.0.1:80"), false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let drained = tokio::spawn(served.trigger.start(drain::Mode::Graceful, SOON));
    // The GOAWAY arrives: no new stream.
    let refused = loop {
        match send.clone().ready().await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(refused.is_go_away() && refused.is_remote(), "{refused}");
    assert!(!drained.is_finished());
    upload.send_data(Bytes::from_static(b"still"), true).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "still");
    assert_eq!(drained.await.unwrap(), Drained::Complete);
    served.ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_what_does_not_end_itself_at_the_deadline() {
    let (near, served) = served(Settings::default()).await;
    let send = oracle(near).await;
    let (answer, _upload) =
        send.ready().await.unwrap().send_request(connect_to("10.0.0.1:80"), false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(served.trigger.start(drain::Mode::Graceful, SOON).await, Drained::DeadlinePassed);
    assert!(served.ended.await.unwrap().is_ok());
    assert!(body.data().await.unwrap().is_err(), "a cut is no end");
}

#[tokio::test]
async fn an_immediate_drain_cuts_open_tunnels() {
    let (near, served) = served(Settings::default()).await;
    let send = oracle(near).await;
    let (answer, _upload) =
        send.ready().await.unwrap().send_request(connect_to("10.0.0.1:80"), false).unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(served.trigger.start(drain::Mode::Immediate, SOON).await, Drained::Complete);
    assert!(body.data().await.unwrap().is_err());
}
