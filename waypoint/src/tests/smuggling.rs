//! Requests that two servers could take for different ones: refused, or made into what all servers read alike.

use mesh_frames::Reason;

use super::frames::{Fate, Frames, block, frame, get, unreadable};
use super::mesh::Mesh;
use super::protocols::raw;

/// What no server should guess at. Behind the request line and a host, before an empty line and `hello`.
const REFUSED: [&[u8]; 52] = [
    // Lengths that contradict each other, or are none.
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5, 6",
    b"Content-Length: +5",
    b"Content-Length: -1",
    b"Content-Length: 0x5",
    b"Content-Length: 5 5",
    b"Content-Length: 5\x0b",
    b"Content-Length:",
    b"Content-Length: 99999999999999999999999",
    // A length beside an encoding, in whatever order and spelling (RFC 9112 §6.1).
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"CONTENT-LENGTH:5\r\nX: y\r\ntransfer-encoding:chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 0",
    // Encodings of which not all servers know what comes last.
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    // Names that some servers read as another.
    b"Content-Length : 5",
    b"Content-Length\t: 5",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Content\x00-Length: 5",
    b" Content-Length: 5",
    b"\tTransfer-Encoding: chunked",
    b": 5",
    b"X(y): 5",
    b"X\xff: 5",
    b"X",
    // Lines that are folded, or end where others see no end.
    b"X: a\r\n Transfer-Encoding: chunked",
    b"X: a\r\n\tb",
    b"X: a\rContent-Length: 5",
    b"X: a\x00b",
    b"X: a\r\r\nY: b",
    b"X: a\nContent-Length: 5",
    b"X: a\n",
    b"X: a\n\nY: b",
    b"\nContent-Length: 5",
    // Hosts.
    b"Host: b",
    b"Host: a",
    b"host:",
    b"Transfer-Encoding: chunked\r\nHost: b",
    b"Content-Length: 5\r\nhost: c",
    b"Content-Length: 5\r\nContent-Length: ",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\nTransfer-Encoding: x",
];

const FIRST_LINES: [&str; 9] = [
    "POST  / HTTP/1.1",
    "POST / HTTP/1.1 ",
    "POST / HTTP/1.2",
    "POST / HTTP/2.0",
    "POST / http/1.1",
    "POST /\x00 HTTP/1.1",
    "POST / x HTTP/1.1",
    "PO ST / HTTP/1.1",
    "POST(1) / HTTP/1.1",
];

#[tokio::test]
async fn sec_ambiguous_requests_are_refused_with_400_and_counted() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    for lines in REFUSED {
        let request =
            [b"POST / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n", lines, b"\r\n\r\nhello"].concat();
        let answer = raw(&mesh, 80, &request).await;
        let shown = String::from_utf8_lossy(lines);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{shown:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?}: nothing of it is another request");
    }
    for line in FIRST_LINES {
        let request = format!("{line}\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
        let answer = raw(&mesh, 80, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{line:?}: {answer}");
    }
    assert!(v1.seen().is_empty(), "{:?}", v1.seen());
    let counted = mesh.metric("istio_requests_total", &["response_code=\"400\""]);
    let sum = |lines: &[String]| -> usize {
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    };
    assert_eq!(sum(&counted), REFUSED.len() + FIRST_LINES.len());
}

#[tokio::test]
async fn sec_chunks_of_no_size_end_the_request_and_the_connection() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    for chunks in [
        &b"5x\r\nhello\r\n0\r\n\r\n"[..],
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5;\nx\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"0\r\nX\x00: y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\n\r\n",
    ] {
        let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        let request =
            [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunks, next].concat();
        let answer = raw(&mesh, 80, &request).await;
        let shown = String::from_utf8_lossy(chunks);
        assert!(!answer.contains(" 200 "), "{shown:?}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{shown:?}: {answer}");
        // A backend was told at most the beginning of a request that has no end.
        assert!(v1.seen().is_empty(), "{shown:?}: {:?}", v1.seen());
    }
}

#[tokio::test]
async fn sec_every_request_of_a_connection_is_judged() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let before = [
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbody\n\n",
        "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbody\n\n\r\n0\r\nX: y\r\n\r\n",
        "GET /c HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    ];
    let bad = [
        "GET /d HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for (number, bad) in bad.into_iter().enumerate() {
        // All of it at once, byte for byte the same as one after the other.
        let all = before.concat() + bad + "GET /f HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = raw(&mesh, 80, all.as_bytes()).await;
        let statuses: Vec<&str> =
            answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "200", "200", "400"], "{answer}");
        let seen = v1.seen();
        let seen: Vec<_> = seen[3 * number..].iter().map(|seen| (seen.path(), &seen.body[..])).collect();
        assert_eq!(seen, [("/a", &b"body\n\n"[..]), ("/b", b"body\n\n"), ("/c", b"")]);
        let counted =
            mesh.metric("istio_requests_total", &["response_code=\"400\"", "response_flags=\"DPE\""]);
        assert!(counted[0].ends_with(&format!(" {}", number + 1)), "{counted:?}");
    }
}

#[tokio::test]
async fn sec_what_can_be_read_in_one_way_only_reaches_a_backend_in_that_way() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for (head, body, ends) in [
        (
            &b"Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"[..],
            &b"hello"[..],
            true,
        ),
        (b"Host: a\r\nContent_Length: 9\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", b"hello", true),
        (
            b"Host: a\r\nTRANSFER-ENCODING: Chunked\r\nConnection: close\r\n\r\n",
            b"5;a=b\r\nhello\r\n0\r\n\r\n",
            true,
        ),
    ] {
        let before = v1.seen().len();
        let answer = raw(&mesh, 80, &[b"POST / HTTP/1.1\r\n", head, body, next].concat()).await;
        let shown = String::from_utf8_lossy(head);
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{shown:?}: {answer}");
        let seen = v1.seen();
        assert_eq!(seen.len() - before, 1, "{shown:?}: what follows is not served: {ends}");
        let seen = seen.last().unwrap();
        assert_eq!((&seen.body[..], seen.path(), seen.host()), (&b"hello"[..], "/", "a"), "{shown:?}");
        let (length, encoding) = (seen.header("content-length"), seen.header("transfer-encoding"));
        assert!(matches!((length, encoding), (Some("5"), None) | (None, Some("chunked"))), "{shown:?}");
    }
}

/// A request with these pseudo-headers.
fn asking(method: &[u8], path: &[u8], authority: &[u8]) -> Vec<u8> {
    block(&[(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", authority)])
}

fn requests_out_of_their_fields() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a transfer encoding", get(&[(b"transfer-encoding", b"chunked")])),
        ("a connection header", get(&[(b"connection", b"x-y")])),
        ("another encoding of trailers", get(&[(b"te", b"gzip")])),
        ("a line in a value", get(&[(b"x-y", b"a\r\ncontent-length: 5")])),
        ("a line feed in a value", get(&[(b"x-y", b"a\nb")])),
        ("a zero in a value", get(&[(b"x-y", b"a\0b")])),
        ("a colon in a name", get(&[(b"x-y: z", b"a")])),
        ("a line in a name", get(&[(b"x\r\ny", b"a")])),
        ("upper case in a name", get(&[(b"Content-Length", b"0")])),
        ("a space in a name", get(&[(b"x y", b"a")])),
        ("no name", get(&[(b"", b"a")])),
        ("a pseudo-header behind", get(&[(b"x-y", b"a"), (b":path", b"/admin")])),
        ("two paths", get(&[(b":path", b"/admin")])),
        ("an unknown pseudo-header", get(&[(b":x", b"a")])),
        ("a length that is none", get(&[(b"content-length", b"+0")])),
        ("two hosts", get(&[(b"host", b"a"), (b"host", b"b")])),
        ("a line in the path", asking(b"GET", b"/ HTTP/1.1\r\nx: y", b"reviews")),
        ("a space in the path", asking(b"GET", b"/a b", b"reviews")),
        ("a line in the method", asking(b"GET / HTTP/1.1\r\nx: y\r\n", b"/", b"reviews")),
        ("a line in the host", asking(b"GET", b"/", b"reviews\r\nx: y")),
        ("somebody in the host", asking(b"GET", b"/", b"user@reviews")),
        ("no path", block(&[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"reviews")])),
        ("no method", block(&[(b":scheme", b"http"), (b":path", b"/"), (b":authority", b"reviews")])),
        ("no host", block(&[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")])),
    ]
}

#[tokio::test]
async fn sec_nothing_gets_out_of_its_field_on_the_way_from_http2_to_http1() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    for (what, block) in requests_out_of_their_fields() {
        let mut peer = Frames::open(&mesh, 80).await;
        peer.say(&frame(1, 5, 1, &block)).await;
        let fate = peer.fate(1).await;
        let refused = matches!(
            fate,
            Fate::Answered(400) | Fate::Reset(Reason::PROTOCOL_ERROR) | Fate::Goodbye(Reason::PROTOCOL_ERROR)
        );
        assert!(refused, "{what}: {fate:?}");
        assert!(v1.seen().is_empty(), "{what}: {:?}", v1.seen());
    }
}

#[tokio::test]
async fn sec_a_body_of_another_length_than_it_says_never_ends_well() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    for (said, sent) in [(b"5", 10), (b"9", 3)] {
        let mut peer = Frames::open(&mesh, 80).await;
        let head = get(&[(b"content-length", said)]);
        peer.say(&[frame(1, 4, 1, &head), frame(0, 1, 1, &vec![b'x'; sent])].concat()).await;
        let fate = peer.fate(1).await;
        assert!(!matches!(fate, Fate::Answered(200)), "{sent} of {said:?}: {fate:?}");
        assert!(v1.seen().is_empty(), "{:?}", v1.seen());
    }
}

#[tokio::test]
async fn sec_of_two_hosts_the_one_that_is_routed_by_is_the_one_backends_see() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let mut peer = Frames::open(&mesh, 80).await;
    peer.say(&frame(1, 5, 1, &get(&[(b"host", b"admin.internal")]))).await;
    assert_eq!(peer.fate(1).await, Fate::Answered(200));
    let absolute = b"GET http://reviews/x HTTP/1.1\r\nHost: admin.internal\r\nConnection: close\r\n\r\n";
    assert!(raw(&mesh, 80, absolute).await.starts_with("HTTP/1.1 200"));
    for seen in v1.seen() {
        assert_eq!(seen.headers.get_all("host").iter().collect::<Vec<_>>(), ["reviews"]);
        assert!(seen.uri.authority().is_none(), "{:?}", seen.uri);
    }
    assert_eq!(v1.seen().len(), 2);
}

#[tokio::test]
async fn sec_what_is_no_http_at_all_is_counted() {
    let mesh = Mesh::start().await;
    assert!(raw(&mesh, 80, b"\x16\x03\x01\x00\xa5garbage\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    unreadable(&mesh, 400, 1).await;
    let lines = "x-flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(4000);
    let flood = raw(&mesh, 80, format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n").as_bytes()).await;
    assert!(flood.starts_with("HTTP/1.1 431 "), "{flood}");
    unreadable(&mesh, 431, 1).await;
}
