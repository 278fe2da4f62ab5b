//! What is spoken on a connection, from its first bytes; and a connection that
//! still begins with them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How every HTTP/2 connection begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What begins like HTTP/1 and goes on longer than this is taken for it.
const LONGEST_LINE: usize = 8 * 1024;
const LONGEST_METHOD: usize = 24;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Tcp,
}

/// The protocol that begins like this; `None` while that is open. HTTP/1.0 is
/// for those who understand it, so it counts as TCP (CAP-28).
pub(crate) fn guess(bytes: &[u8]) -> Option<Protocol> {
    if bytes.starts_with(PREFACE) {
        return Some(Protocol::Http2);
    }
    if PREFACE.starts_with(bytes) {
        return None;
    }
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    if method > LONGEST_METHOD || (method < bytes.len() && (method == 0 || bytes[method] != b' ')) {
        return Some(Protocol::Tcp);
    }
    let line = &bytes[..bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())];
    let ended = line.len() < bytes.len();
    let text = if ended { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    let printable = text.iter().enumerate().all(|(index, byte)| {
        (0x20..0x7f).contains(byte) || *byte >= 0x80 || (!ended && *byte == b'\r' && index + 1 == text.len())
    });
    match (printable, ended) {
        (false, _) => Some(Protocol::Tcp),
        (true, true) if text.ends_with(b" HTTP/1.1") => Some(Protocol::Http1),
        (true, true) => Some(Protocol::Tcp),
        (true, false) => (bytes.len() > LONGEST_LINE).then_some(Protocol::Http1),
    }
}

/// Reads until it is clear what is spoken. Who says nothing for this long, or
/// ends before it is clear, speaks something that is none of our business.
pub(crate) async fn detect<S>(mut stream: S, patience: Duration) -> io::Result<(Protocol, Rewound<S>)>
where
    S: AsyncRead + Unpin,
{
    let mut first = BytesMut::with_capacity(1024);
    let reading = async {
        loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Ok::<_, io::Error>(Protocol::Tcp);
            }
            if let Some(protocol) = guess(&first) {
                return Ok(protocol);
            }
        }
    };
    let protocol = match tokio::time::timeout(patience, reading).await {
        Ok(read) => read?,
        Err(_) => Protocol::Tcp,
    };
    Ok((protocol, Rewound::new(first.freeze(), stream)))
}

/// A connection that begins with what has been read of it already.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    first: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    pub(crate) fn new(first: Bytes, stream: S) -> Rewound<S> {
        Rewound { first, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let taken = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..taken]);
        self.first.advance(taken);
        if self.first.is_empty() {
            // Gives its memory back.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn l7_26_what_begins_like_what() {
        use Protocol::{Http1, Http2, Tcp};
        for (bytes, expected) in [
            (&b""[..], None),
            (b"G", None),
            (b"GET", None),
            (b"GET /x HTTP/1.", None),
            (b"GET /x HTTP/1.1\r", None),
            (b"GET /x HTTP/1.1\r\n", Some(Http1)),
            (b"GET /x HTTP/1.1\nhost: a", Some(Http1)),
            (b"M-SEARCH * HTTP/1.1\r\n", Some(Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM", None),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Some(Tcp)),
            (b"GET /x HTTP/1.0\r\n", Some(Tcp)),
            (b"GET /x\r\n", Some(Tcp)),
            (b"GET /\x00 HTTP/1.1\r\n", Some(Tcp)),
            (b"\x16\x03\x01", Some(Tcp)),
            (b"hello\n", Some(Tcp)),
            (b"HELLO\n", Some(Tcp)),
            (b"SSH-2.0-OpenSSH", Some(Tcp)),
            (b"*1\r\n$4\r\nPING", Some(Tcp)),
            (b" ", Some(Tcp)),
        ] {
            assert_eq!(guess(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(guess(&[b'A'; LONGEST_METHOD + 1]), Some(Tcp));
        let long = [b"GET /".as_slice(), &vec![b'x'; LONGEST_LINE]].concat();
        assert_eq!(guess(&long), Some(Http1));
    }

    #[tokio::test]
    async fn l7_26_byte_by_byte_and_nothing_is_lost() {
        for (text, expected) in [
            ("GET /path HTTP/1.1\r\nhost: a\r\n\r\n", Protocol::Http1),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes", Protocol::Http2),
            ("GET / HTTP/1.0\r\n\r\n", Protocol::Tcp),
            ("some other protocol", Protocol::Tcp),
            ("GE", Protocol::Tcp),
        ] {
            let (mut client, server) = tokio::io::duplex(1);
            let sending = async move {
                client.write_all(text.as_bytes()).await.unwrap();
            };
            let receiving = async {
                let (protocol, mut rewound) = detect(server, LONG).await.unwrap();
                let mut all = String::new();
                rewound.read_to_string(&mut all).await.unwrap();
                (protocol, all)
            };
            let ((), (protocol, all)) = tokio::join!(sending, receiving);
            assert_eq!((protocol, all.as_str()), (expected, text));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cap_06_who_waits_for_the_server_is_not_kept_waiting_for_ever() {
        let (client, server) = tokio::io::duplex(64);
        let (protocol, _) = detect(server, Duration::from_secs(5)).await.unwrap();
        assert_eq!(protocol, Protocol::Tcp);
        drop(client);
    }
}
