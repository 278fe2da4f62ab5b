//! What is known to bring servers of HTTP/2 down, at the server inside the tunnels: it costs a bounded amount, is
//! counted, and others are served meanwhile.

use std::time::Duration;

use mesh_frames::{Frame, Reason};
use tokio::time::timeout;

use super::backend::Act;
use super::frames::{Fate, Frames, block, frame, get, unreadable};
use super::mesh::Mesh;

/// An end, or a failed test.
const MUCH: Duration = Duration::from_secs(30);
const CANCEL: [u8; 4] = 8u32.to_be_bytes();

/// Someone else's request.
async fn others_are_served(mesh: &Mesh) {
    assert_eq!(mesh.http2(85).await.get("/others").await.status, 200);
    assert_eq!(mesh.http1(80).await.get("/others").await.status, 200);
}

#[tokio::test]
async fn rapid_resets_end_the_connection_and_few_reach_a_backend() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let mut peer = Frames::open(&mesh, 85).await;
    let pair = |n: u32| [frame(1, 5, 2 * n + 1, &get(&[])), frame(3, 0, 2 * n + 1, &CANCEL)].concat();
    let flood: Vec<u8> = (0..5_000).flat_map(pair).collect();
    let ended = async {
        peer.say(&flood).await;
        peer.farewell().await
    };
    let reason = timeout(MUCH, ended).await.expect("it is ended");
    assert!(matches!(reason, Some(Reason::ENHANCE_YOUR_CALM) | None), "{reason:?}");
    let reached = v1.seen().len();
    assert!(reached < 1000, "{reached} of 5,000");
    unreadable(&mesh, 0, 1).await;
    others_are_served(&mesh).await;
}

#[tokio::test]
async fn blocks_of_headers_without_an_end_are_ended() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let bytes = block(&[(b"x-flood", &[b'y'; 4000])]);
    for part in [&bytes[..], b""] {
        let mut peer = Frames::open(&mesh, 85).await;
        peer.say(&frame(1, 1, 1, &get(&[]))).await;
        let flood = async {
            for _ in 0..100_000 {
                if !peer.say(&frame(9, 0, 1, part)).await {
                    return;
                }
            }
            panic!("it takes all of it");
        };
        timeout(MUCH, flood).await.expect("it is ended");
    }
    assert!(v1.seen().is_empty());
    others_are_served(&mesh).await;
}

#[tokio::test]
async fn questions_whose_answers_nobody_reads_stop_to_be_taken() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    for question in [frame(6, 0, 0, b"12345678"), frame(4, 0, 0, &[]), frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])] {
        let mut peer = Frames::open(&mesh, 85).await;
        let many = question.repeat(10_000);
        // It ends the connection or lets the client wait; what it does not do is to keep all the answers.
        let mut taken = 0usize;
        let flood = async {
            while taken < 200 << 20 && peer.say(&many).await {
                taken += many.len();
            }
        };
        let _ = timeout(Duration::from_secs(1), flood).await;
        assert!(taken < 64 << 20, "{taken} bytes of questions were taken");
        others_are_served(&mesh).await;
    }
}

#[tokio::test]
async fn windows_that_stay_shut_keep_responses_at_their_backends() {
    let mesh = Mesh::start().await;
    let large = "x".repeat(4 << 20);
    let v1 = mesh.backend("v1", move |_, seen| match seen.path() {
        "/others" => Act::text(200, ""),
        _ => Act::text(200, &large),
    });
    let v1 = v1.await;
    let mut peer = Frames::open(&mesh, 85).await;
    peer.say(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    for n in 0..100 {
        peer.say(&frame(1, 5, 2 * n + 1, &get(&[]))).await;
    }
    // Every one has its head and nothing more.
    let mut answered = 0;
    while answered < 100 {
        match timeout(MUCH, peer.hear()).await.unwrap().expect("the connection goes on") {
            Frame::Headers { .. } => answered += 1,
            Frame::Data { data, .. } => assert!(data.is_empty()),
            _ => {}
        }
    }
    assert_eq!(v1.seen().len(), 100);
    others_are_served(&mesh).await;
    // A stream more than allowed is not looked at.
    peer.say(&frame(1, 5, 201, &get(&[]))).await;
    assert_eq!(peer.fate(201).await, Fate::Reset(Reason::REFUSED_STREAM));
}

#[tokio::test]
async fn windows_that_overflow_end_what_they_are_of() {
    let mesh = Mesh::start().await;
    mesh.backend("v1", |_, seen| if seen.path() == "/others" { Act::text(200, "") } else { Act::Hang }).await;
    let mut peer = Frames::open(&mesh, 85).await;
    peer.say(&frame(1, 5, 1, &get(&[]))).await;
    peer.say(&frame(8, 0, 1, &0x7fff_ffffu32.to_be_bytes())).await;
    assert_eq!(peer.fate(1).await, Fate::Reset(Reason::FLOW_CONTROL_ERROR));
    peer.say(&frame(8, 0, 0, &0x7fff_ffffu32.to_be_bytes())).await;
    assert_eq!(peer.farewell().await, Some(Reason::FLOW_CONTROL_ERROR));
    unreadable(&mesh, 0, 1).await;
    others_are_served(&mesh).await;
}

#[tokio::test]
async fn headers_that_are_large_once_unpacked_are_refused() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    // A field of 4000 bytes is put into the table, and named again: 80 KB in 4 KiB, and 40 MB in 14 KiB.
    let named = |times: usize| {
        let mut bomb = get(&[]);
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'y'; 4000]);
        bomb.extend(std::iter::repeat_n(0xbe_u8, times));
        bomb
    };
    let mut peer = Frames::open(&mesh, 85).await;
    peer.say(&frame(1, 5, 1, &named(20))).await;
    assert_eq!(timeout(MUCH, peer.fate(1)).await.unwrap(), Fate::Answered(431));
    peer.say(&frame(1, 5, 3, &get(&[]))).await;
    assert_eq!(peer.fate(3).await, Fate::Answered(200), "the connection can still be used");
    peer.say(&frame(1, 5, 5, &named(10_000))).await;
    assert_eq!(peer.farewell().await, Some(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(v1.seen().len(), 1);
    unreadable(&mesh, 0, 1).await;
    others_are_served(&mesh).await;
}

#[tokio::test]
async fn five_thousand_streams_one_after_the_other_are_served() {
    let mesh = Mesh::start().await;
    mesh.govern_by(|rule| {
        let body = b"".as_slice().into();
        rule.action =
            mesh_model::RuleAction::DirectResponse(mesh_model::DirectResponse { status: 204, body });
    });
    let mut peer = Frames::open(&mesh, 85).await;
    for batch in 0..100 {
        let streams = (0..50).map(|n| 2 * (batch * 50 + n) + 1);
        let bytes: Vec<u8> = streams.clone().flat_map(|stream| frame(1, 5, stream, &get(&[]))).collect();
        peer.say(&bytes).await;
        let mut answered = 0;
        while answered < 50 {
            if let Frame::Headers { .. } = peer.hear().await.expect("the connection goes on") {
                answered += 1;
            }
        }
    }
}

#[tokio::test]
async fn clients_that_say_a_byte_at_a_time_keep_nobody_waiting() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut slow = Vec::new();
    for (count, port) in (0..100).map(|n| (n, [80, 81, 85][n % 3])) {
        let mut stream = mesh.tunnel(mesh.target(port)).await.unwrap();
        let begin: &[u8] = if count % 2 == 0 { b"POST / HT" } else { b"PRI * HTTP/2.0\r\n" };
        tokio::io::AsyncWriteExt::write_all(&mut stream, begin).await.unwrap();
        slow.push(stream);
    }
    others_are_served(&mesh).await;
    // What they begin they can end.
    let mut first = slow.swap_remove(0);
    let rest = b"TP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab";
    for byte in rest {
        tokio::io::AsyncWriteExt::write_all(&mut first, &[*byte]).await.unwrap();
    }
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut first, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
