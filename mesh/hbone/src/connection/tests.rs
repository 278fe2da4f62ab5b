//! Tests of `connection`: peers that break the rules, frame by frame, and what they are told.

mod floods;

use std::time::Duration;

use mesh_frames::{Frame, FrameReader, Limits as Reading, PREFACE, Reason};
use mesh_runtime::drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use crate::testing::{Certificates, SOON, frame};
use crate::{Incoming, Settings, serve};

/// A peer that writes frames by hand, behind a good greeting.
struct Peer {
    carrier: tokio_rustls::client::TlsStream<DuplexStream>,
    reader: FrameReader,
    input: bytes::Bytes,
    _trigger: drain::DrainTrigger,
}

/// CONNECT 10.0.0.1:80, as a header block.
fn connect() -> Vec<u8> {
    let mut block = Vec::new();
    mesh_frames::encode_field(&mut block, b":method", b"CONNECT");
    mesh_frames::encode_field(&mut block, b":authority", b"10.0.0.1:80");
    block
}

fn open(stream: u32) -> Vec<u8> {
    frame(1, 4, stream, &connect())
}

impl Peer {
    async fn new(settings: Settings) -> Self {
        Self::served_by(settings, hold).await
    }

    async fn served_by<H, F>(settings: Settings, handler: H) -> Self
    where
        H: Fn(Incoming) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut carrier, far) = Certificates::new().with_client_oracle().await;
        let (trigger, watcher) = drain::channel();
        tokio::spawn(async move { serve(far, &settings, watcher, handler).await });
        carrier.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
        let reader = FrameReader::new(Reading { frame: 1 << 20, block: 1 << 16 });
        Peer { carrier, reader, input: bytes::Bytes::new(), _trigger: trigger }
    }

    async fn say(&mut self, bytes: &[u8]) {
        // A peer that is told off may be cut off in the middle.
        let _ = self.carrier.write_all(bytes).await;
        let _ = self.carrier.flush().await;
    }

    /// The next frame; none at the end of the connection.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.reader.next(&mut self.input).unwrap() {
                return Some(frame);
            }
            let mut buffer = vec![0; 64 << 10];
            let read = timeout(SOON, self.carrier.read(&mut buffer)).await.expect("it says nothing more");
            match read {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input = bytes::Bytes::copy_from_slice(&buffer[..count]),
            }
        }
    }

    /// Why the connection was given up.
    async fn farewell(&mut self) -> Reason {
        while let Some(frame) = self.hear().await {
            if let Frame::GoAway { reason, .. } = frame {
                assert!(self.hear().await.is_none(), "nothing comes behind a goodbye");
                return reason;
            }
        }
        panic!("it was cut off without a word");
    }

    /// Why this stream was given up.
    async fn reset_of(&mut self, wanted: u32) -> Reason {
        loop {
            match self.hear().await.expect("the connection goes on") {
                Frame::Reset { stream, reason } if stream == wanted => return reason,
                Frame::GoAway { reason, .. } => panic!("the whole connection ended: {reason}"),
                _ => {}
            }
        }
    }
}

/// Accepts and then neither reads nor writes.
async fn hold(incoming: Incoming) {
    let _tunnel = incoming.accept(&[]).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn what_breaks_the_connection_is_named_in_its_goodbye() {
    let window = |stream: u32, by: u32| frame(8, 0, stream, &by.to_be_bytes());
    let cases: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("an even stream", open(2), Reason::PROTOCOL_ERROR),
        ("data on an idle stream", frame(0, 0, 5, b"x"), Reason::PROTOCOL_ERROR),
        ("a reset of an idle stream", frame(3, 0, 5, &8u32.to_be_bytes()), Reason::PROTOCOL_ERROR),
        ("a window for an idle stream", window(5, 1), Reason::PROTOCOL_ERROR),
        ("a window too large", window(0, 0x7fff_ffff), Reason::FLOW_CONTROL_ERROR),
        ("a push", frame(5, 4, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("an unreadable block", frame(1, 4, 1, &[0xff; 20]), Reason::COMPRESSION_ERROR),
        ("a frame size nobody has", frame(4, 0, 0, &[0, 5, 0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        ("a stream window too large", frame(4, 0, 0, &[0, 4, 0xff, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR),
        (
            "an endless block",
            [frame(1, 0, 1, b""), frame(9, 0, 1, b"").repeat(50)].concat(),
            Reason::ENHANCE_YOUR_CALM,
        ),
    ];
    for (what, bytes, reason) in cases {
        let mut peer = Peer::new(Settings::default()).await;
        peer.say(&bytes).await;
        assert_eq!(peer.farewell().await, reason, "{what}");
    }
}

#[tokio::test]
async fn what_breaks_a_stream_ends_no_other() {
    let upper = [&connect()[..], &[0, 1, b'X', 1, b'y']].concat();
    let twice = connect().repeat(2);
    let with_path = [&connect()[..], &[0x84]].concat();
    for block in [upper, twice, with_path, vec![]] {
        let mut peer = Peer::new(Settings::default()).await;
        peer.say(&[open(1), frame(1, 4, 3, &block)].concat()).await;
        assert_eq!(peer.reset_of(3).await, Reason::PROTOCOL_ERROR, "{block:?}");
        peer.say(&frame(6, 0, 0, b"12345678")).await;
        while peer.hear().await.unwrap() != Frame::Pong(*b"12345678") {}
    }
    // More than its window, and more after its end.
    let settings = Settings { stream_window: 1 << 16, ..Settings::default() };
    let mut peer = Peer::new(settings).await;
    peer.say(&[open(1), frame(0, 0, 1, &[0; 60_000]), frame(0, 0, 1, &[0; 60_000])].concat()).await;
    assert_eq!(peer.reset_of(1).await, Reason::FLOW_CONTROL_ERROR);
    peer.say(&[open(3), frame(0, 1, 3, b"end"), frame(0, 0, 3, b"more")].concat()).await;
    assert_eq!(peer.reset_of(3).await, Reason::STREAM_CLOSED);
}

#[tokio::test]
async fn more_than_the_connections_window_ends_it() {
    let settings = Settings { stream_window: 1 << 20, connection_window: 1 << 16, ..Settings::default() };
    let mut peer = Peer::new(settings).await;
    peer.say(&[open(1), frame(0, 0, 1, &[0; 60_000]), frame(0, 0, 1, &[0; 60_000])].concat()).await;
    assert_eq!(peer.farewell().await, Reason::FLOW_CONTROL_ERROR);
}

#[tokio::test]
async fn data_of_streams_that_are_gone_does_not_use_up_the_connection() {
    let settings = Settings { stream_window: 1 << 16, connection_window: 1 << 17, ..Settings::default() };
    let mut peer = Peer::new(settings).await;
    for n in 0..40 {
        let stream = 2 * n + 1;
        let reset = frame(3, 0, stream, &8u32.to_be_bytes());
        // The data comes when we have given the stream up already.
        peer.say(&[open(stream), reset, frame(0, 0, stream, &[0; 10_000])].concat()).await;
        peer.say(&frame(6, 0, 0, b"12345678")).await;
        while peer.hear().await.expect("the connection goes on") != Frame::Pong(*b"12345678") {}
    }
}

#[tokio::test]
async fn questions_whose_answers_are_not_read_end_the_connection() {
    for question in [frame(6, 0, 0, b"12345678"), frame(4, 0, 0, &[])] {
        let mut peer = Peer::new(Settings::default()).await;
        let many = question.repeat(10_000);
        let flood = async {
            // Until it is cut off.
            while peer.carrier.write_all(&many).await.is_ok() && peer.carrier.flush().await.is_ok() {}
        };
        timeout(SOON, flood).await.expect("somebody takes all of it");
    }
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_as_unseen() {
    let mut peer = Peer::new(Settings { accepted_streams: 2, ..Settings::default() }).await;
    peer.say(&[open(1), open(3), open(5)].concat()).await;
    assert_eq!(peer.reset_of(5).await, Reason::REFUSED_STREAM);
    peer.say(&[frame(3, 0, 1, &8u32.to_be_bytes()), open(7)].concat()).await;
    while !matches!(peer.hear().await.unwrap(), Frame::Headers { stream: 7, .. }) {}
}

#[tokio::test]
async fn one_byte_frames_to_a_stalled_reader_cost_their_bytes_and_not_more() {
    let mut peer = Peer::new(Settings::default()).await;
    peer.say(&open(1)).await;
    let bytes = frame(0, 0, 1, b"x").repeat(50_000);
    timeout(Duration::from_secs(30), peer.say(&bytes)).await.unwrap();
    peer.say(&frame(6, 0, 0, b"12345678")).await;
    while peer.hear().await.expect("the connection goes on") != Frame::Pong(*b"12345678") {}
}
