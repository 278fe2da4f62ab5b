//! Tests of `client`.

use bytes::Bytes;
use http::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::testing::{Certificates, frame, random_frames, request};

/// The oracle: a plain `h2` server that answers every request with this status
/// and returns the heads it saw.
async fn oracle(
    status: StatusCode,
) -> (TlsStream<DuplexStream>, tokio::sync::mpsc::Receiver<http::request::Parts>) {
    let (near, far) = Certificates::new().with_server_oracle().await;
    let (saw, seen) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let (head, mut body) = request.into_parts();
            assert!(saw.try_send(head).is_ok());
            let answer = Response::builder().status(status).header("baggage", "a=1").header("baggage", "b=2");
            let mut send = respond.send_response(answer.body(()).unwrap(), status != StatusCode::OK).unwrap();
            tokio::spawn(async move {
                while let Some(Ok(chunk)) = body.data().await {
                    body.flow_control().release_capacity(chunk.len()).unwrap();
                    send.send_data(chunk, body.is_end_stream()).unwrap();
                }
            });
        }
    });
    (near, seen)
}

#[tokio::test]
async fn hb_03_a_plain_server_sees_connect_and_echoes() {
    let (near, mut seen) = oracle(StatusCode::OK).await;
    let mut asked = request("[2001:db8::1]:80");
    asked.baggage = vec!["k8s.namespace.name=default".to_owned()];
    asked.forwarded = Some("for=\"[::1]:80\"".to_owned());
    let (mut tunnel, info) = connect_unpooled(near, &Settings::default(), &asked).await.unwrap();
    assert_eq!(info.baggage, ["a=1", "b=2"]);
    let head = seen.recv().await.unwrap();
    assert_eq!(head.method, Method::CONNECT);
    assert_eq!(head.uri.authority().unwrap(), "[2001:db8::1]:80");
    assert!(head.uri.scheme().is_none());
    assert_eq!(head.headers["forwarded"], "for=\"[::1]:80\"");
    assert_eq!(head.headers["baggage"], "k8s.namespace.name=default");
    let data = vec![5; 1 << 20];
    let (mut reader, mut writer) = tokio::io::split(&mut tunnel);
    let mut back = vec![0; data.len()];
    let (written, read) = tokio::join!(writer.write_all(&data), reader.read_exact(&mut back));
    written.unwrap();
    read.unwrap();
    assert_eq!(back, data);
}

#[tokio::test]
async fn hb_10_anything_but_200_is_no_tunnel() {
    for status in [401, 503, 400, 204, 201, 302].map(|code| StatusCode::from_u16(code).unwrap()) {
        let (near, _seen) = oracle(status).await;
        let refused =
            connect_unpooled(near, &Settings::default(), &request("10.0.0.1:80")).await.err().unwrap();
        assert!(matches!(refused, ConnectError::Refused(found) if found == status), "{refused}");
    }
}

/// The frames of the client's greeting: its settings and the connection's window.
#[tokio::test]
async fn hb_19_the_settings_are_those_of_the_contract() {
    let (near, mut far) = Certificates::new().with_server_oracle().await;
    tokio::spawn(async move {
        let (_asker, mut driver) = Asker::new(near.into_secured(), &Settings::default());
        let _ = poll_fn(|cx| driver.poll(cx)).await;
    });
    far.read_exact(&mut [0; 24]).await.unwrap();
    let (mut settings, mut window) = (Vec::new(), 65_535);
    while settings.is_empty() || window == 65_535 {
        let mut head = [0; 9];
        far.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        far.read_exact(&mut payload).await.unwrap();
        let number = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        match head[3] {
            4 => settings.extend(payload.chunks(6).map(|pair| (number(&pair[..2]), number(&pair[2..])))),
            8 => window += number(&payload),
            _ => {}
        }
    }
    settings.sort_unstable();
    // No push; stream window, frame size, header list.
    assert_eq!(settings, [(2, 0), (4, 4 << 20), (5, 1 << 20), (6, 16 << 10)]);
    assert_eq!(window, 16 << 20);
}

#[tokio::test(start_paused = true)]
async fn hb_18_a_silent_server_ends_its_tunnels() {
    let (near, far) = Certificates::new().with_server_oracle().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    // Answers one request, then no longer looks at the connection.
    let server = tokio::spawn(async move {
        let mut connection: h2::server::Connection<_, Bytes> = h2::server::handshake(far).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        let _open = respond.send_response(Response::new(()), false).unwrap();
        poll_fn(|cx| {
            let _ = connection.poll_closed(cx);
            std::pin::Pin::new(&mut stopped).poll(cx)
        })
        .await
        .unwrap();
        std::future::pending::<()>().await;
    });
    let (mut tunnel, _) =
        connect_unpooled(near, &Settings::default(), &request("10.0.0.1:80")).await.unwrap();
    stop.send(()).unwrap();
    let begin = tokio::time::Instant::now();
    assert!(tunnel.read_u8().await.is_err());
    assert!((20..=40).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up() {
    let (near, far) = Certificates::new().with_server_oracle().await;
    tokio::spawn(async move {
        let mut connection: h2::server::Connection<_, Bytes> = h2::server::handshake(far).await.unwrap();
        let mut kept = Vec::new();
        while let Some(request) = connection.accept().await {
            kept.push(request);
        }
    });
    let given_up = connect_unpooled(near, &Settings::default(), &request("10.0.0.1:80")).await.err().unwrap();
    assert_eq!(given_up.to_string(), "the far end did not answer within 30 s");
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_an_error() {
    let (near, mut far) = Certificates::new().with_server_oracle().await;
    tokio::spawn(async move {
        far.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        far.flush().await.unwrap();
        let _ = far.read_to_end(&mut Vec::new()).await;
    });
    let failed = connect_unpooled(near, &Settings::default(), &request("10.0.0.1:80")).await.err().unwrap();
    assert!(matches!(failed, ConnectError::Http2(_)), "{failed}");
}

#[tokio::test]
async fn frames_of_chance_end_a_tunnel_at_worst() {
    for _ in 0..100 {
        let (near, mut far) = Certificates::new().with_server_oracle().await;
        let server = tokio::spawn(async move {
            far.write_all(&[&frame(4, 0, 0, &[])[..], &random_frames()].concat()).await.unwrap();
            far.flush().await.unwrap();
            let _ = far.read_to_end(&mut Vec::new()).await;
        });
        let settings =
            Settings { answer_timeout: std::time::Duration::from_millis(50), ..Settings::default() };
        let opened = connect_unpooled(near, &settings, &request("10.0.0.1:80")).await;
        assert!(opened.is_err(), "no frame of chance is a 200");
        server.await.unwrap();
    }
}
