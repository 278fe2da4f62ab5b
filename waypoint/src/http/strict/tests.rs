//! Whole connections, in pieces of all sizes: what passes and where it stops.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What passes of a connection whose bytes come in pieces of this size.
fn passing(bytes: &[u8], size: usize) -> Option<usize> {
    let mut lines = Lines::default();
    let mut pieces = bytes.chunks(size).enumerate();
    pieces.find_map(|(number, piece)| Some(number * size + lines.find_fault(piece)?))
}

/// The place where a connection stops, in whatever pieces it comes.
fn fault(bytes: &[u8]) -> Option<usize> {
    let whole = passing(bytes, bytes.len());
    for size in 1..bytes.len() {
        assert_eq!(passing(bytes, size), whole, "{size}: {:?}", String::from_utf8_lossy(bytes));
    }
    whole
}

#[test]
fn sec_messages_that_follow_one_another_pass() {
    let long = format!("GET /{} HTTP/1.1\r\nX-Long: {}\r\n\r\n", "p".repeat(200), "y".repeat(200));
    let all = [
        "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length:  12\t\r\n\r\nno\nhead\nhere",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
        "5\r\na\nb\nc\r\n00A ;x=y\r\n\n\n\n\n\n\n\n\n\n\n\r\n0\r\nX-Sum: 7\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &long,
        "X-Content-Length: 1\r\nTransfer-Encodings: 2\r\nContent_Length: 3\r\nContent-Length : 4\r\n\r\n",
        "GET / HTTP/1.1\r\n",
    ];
    assert_eq!(fault(all.concat().as_bytes()), None);
}

#[test]
fn sec_what_could_be_read_in_two_ways_stops_at_its_line() {
    let post = "POST / HTTP/1.1\r\n";
    let ok = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\n\n";
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (passes, stops) in [
        ("", "\n"),
        ("", "GET / HTTP/1.1\n"),
        ("GET / HTTP/1.1\r\n", "Host: a\n"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "\n"),
        (ok, "GET / HTTP/1.1\n"),
        (&format!("{ok}{post}Content-Length: 3\r\n"), "transfer-encoding: chunked\r\n"),
        (&format!("{ok}{post}Transfer-Encoding: chunked\r\nA: b\r\n"), "Content-Length: 3\r\n"),
        (post, "Content-Length: +5\r\n"),
        (post, "Content-Length: 5, 5\r\n"),
        (post, "Content-Length:\r\n"),
        (post, "Content-Length: 99999999999999999999\r\n"),
        (post, &format!("Content-Length: {}5\r\n", "0".repeat(60))),
        (chunked, "5\n"),
        (chunked, "0x5\r\n"),
        (chunked, "\r\n"),
        (chunked, ";a\r\n"),
        (chunked, &format!("{}5\r\n", "0".repeat(70))),
        (&format!("{chunked}5\r\nhello"), "\n"),
        (&format!("{chunked}5\r\nhello"), "XX\r\n"),
        (&format!("{chunked}5\r\nhello\r\n0\r\n"), "X: y\n"),
        (&format!("{chunked}5\r\nhello\r\n0\r\n\r\n{post}"), "Host: a\n"),
    ] {
        let all = [passes, stops, "\r\n\r\nGET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(fault(all.as_bytes()), Some(passes.len() + stops.len() - 1), "{all:?}");
    }
}

#[tokio::test]
async fn sec_a_line_that_is_refused_is_made_unreadable_and_the_last() {
    let (mut client, server) = tokio::io::duplex(1024);
    let mut strict = Strict::new(server, LeftHttp::default());
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    strict.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n");
}

#[tokio::test]
async fn gw_35_what_is_no_longer_http_passes_as_it_is() {
    let (mut client, server) = tokio::io::duplex(1024);
    let left_http = LeftHttp::default();
    let mut strict = Strict::new(server, left_http.clone());
    let head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(head).await.unwrap();
    strict.read_exact(&mut vec![0; head.len()]).await.unwrap();
    left_http.set();
    client.write_all(b"any\nthing\n").await.unwrap();
    drop(client);
    let mut rest = Vec::new();
    strict.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"any\nthing\n");
}
