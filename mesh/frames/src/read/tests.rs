//! Tests of `read`.

use proptest::prelude::*;

use super::*;
use crate::write;

const LIMITS: Limits = Limits { frame: 1 << 20, block: 64 << 10 };

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = Head { length, kind: Kind(kind), flags, stream }.write().to_vec();
    bytes.extend(payload);
    bytes
}

/// All frames of `bytes`, fed in pieces of at most `piece`.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, ProtocolError> {
    let mut reader = FrameReader::new(LIMITS);
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(frame) = reader.next(&mut input)? {
            frames.push(frame);
        }
        assert!(input.is_empty());
    }
    Ok(frames)
}

fn data(stream: u32, data: &'static [u8], counted: u32, end: bool) -> Frame {
    Frame::Data { stream, data: Bytes::from_static(data), counted, end }
}

fn header(stream: u32, block: &'static [u8], end: bool) -> Frame {
    Frame::Headers { stream, block: Bytes::from_static(block), end }
}

#[test]
fn every_frame_is_read_whole_and_byte_by_byte() {
    let mut bytes = Vec::new();
    write::settings(&mut bytes, &[(3, 200), (4, 1 << 22)]);
    write::settings_ack(&mut bytes);
    write::headers(&mut bytes, 1, b"block", false);
    bytes.extend(raw(1, PADDED | PRIORITY | END_STREAM, 3, b"\x02PRIORblo"));
    bytes.extend(raw(9, END_HEADERS, 3, b"ck"));
    bytes.extend(raw(99, 0xff, 7, b"unknown"));
    bytes.extend(raw(2, 0, 7, b"PRIOR"));
    write::ping(&mut bytes, *b"12345678");
    write::pong(&mut bytes, *b"87654321");
    write::reset(&mut bytes, 5, Reason::CANCEL);
    write::window_update(&mut bytes, 0, 70_000);
    write::go_away(&mut bytes, 9, Reason::NO_ERROR);
    bytes.extend(raw(0, END_STREAM, 1, b""));
    let expected = vec![
        Frame::Settings(vec![Setting(3, 200), Setting(4, 1 << 22)]),
        Frame::SettingsAck,
        header(1, b"block", false),
        header(3, b"bck", true),
        Frame::Ping(*b"12345678"),
        Frame::Pong(*b"87654321"),
        Frame::Reset { stream: 5, reason: Reason::CANCEL },
        Frame::Window { stream: 0, increment: 70_000 },
        Frame::GoAway { last: 9, reason: Reason::NO_ERROR },
        data(1, b"", 0, true),
    ];
    for piece in [1, 2, 9, bytes.len()] {
        assert_eq!(read(&bytes, piece).unwrap(), expected, "pieces of {piece}");
    }
}

#[test]
fn data_comes_in_parts_and_its_padding_counts() {
    let bytes = [raw(0, 0, 1, b"hello"), raw(0, PADDED | END_STREAM, 1, b"\x02yes\0\0")].concat();
    let whole = [data(1, b"hello", 5, false), data(1, b"", 1, false), data(1, b"yes", 5, true)];
    assert_eq!(read(&bytes, bytes.len()).unwrap(), whole);
    let (mut payload, mut counted, mut ends) = (Vec::new(), 0, 0);
    for frame in read(&bytes, 1).unwrap() {
        let Frame::Data { data, counted: more, end, .. } = frame else { panic!("{frame:?}") };
        payload.extend(data);
        counted += more;
        ends += usize::from(end);
    }
    assert_eq!((&payload[..], counted, ends), (&b"helloyes"[..], 11, 1));
}

#[test]
fn what_no_frame_can_be_is_an_error() {
    let cases: Vec<(Vec<u8>, Reason)> = vec![
        (
            Head { length: 2 << 20, kind: Kind::DATA, flags: 0, stream: 1 }.write().to_vec(),
            Reason::FRAME_SIZE_ERROR,
        ),
        (raw(0, 0, 0, b"x"), Reason::PROTOCOL_ERROR),
        (raw(0, PADDED, 1, b""), Reason::FRAME_SIZE_ERROR),
        (raw(0, PADDED, 1, b"\x05abc"), Reason::PROTOCOL_ERROR),
        (raw(1, PADDED | END_HEADERS, 1, b"\x05abc"), Reason::PROTOCOL_ERROR),
        (raw(1, PRIORITY | END_HEADERS, 1, b"abc"), Reason::FRAME_SIZE_ERROR),
        (raw(3, 0, 1, b"abc"), Reason::FRAME_SIZE_ERROR),
        (raw(4, 0, 1, b""), Reason::PROTOCOL_ERROR),
        (raw(4, 0, 0, b"abc"), Reason::FRAME_SIZE_ERROR),
        (raw(4, ACK, 0, b"abcdef"), Reason::FRAME_SIZE_ERROR),
        (raw(4, 0, 0, &[0; 6 * 100]), Reason::ENHANCE_YOUR_CALM),
        (raw(5, END_HEADERS, 1, b"abcd"), Reason::PROTOCOL_ERROR),
        (raw(6, 0, 0, b"abc"), Reason::FRAME_SIZE_ERROR),
        (raw(7, 0, 0, b"abc"), Reason::FRAME_SIZE_ERROR),
        (raw(7, 0, 0, &[0; 2000]), Reason::ENHANCE_YOUR_CALM),
        (raw(8, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        (raw(9, 0, 1, b"abc"), Reason::PROTOCOL_ERROR),
        ([raw(1, 0, 1, b"abc"), raw(0, 0, 1, b"abc")].concat(), Reason::PROTOCOL_ERROR),
        ([raw(1, 0, 1, b"abc"), raw(9, 0, 3, b"abc")].concat(), Reason::PROTOCOL_ERROR),
        ([raw(1, 0, 1, &[0; 60 << 10]), raw(9, 0, 1, &[0; 5 << 10])].concat(), Reason::ENHANCE_YOUR_CALM),
        ([raw(1, 0, 1, b""), raw(9, 0, 1, b"").repeat(40)].concat(), Reason::ENHANCE_YOUR_CALM),
    ];
    for (bytes, reason) in cases {
        for piece in [1, bytes.len()] {
            assert_eq!(
                read(&bytes, piece).unwrap_err().reason,
                reason,
                "{:?}",
                &bytes[..bytes.len().min(20)]
            );
        }
    }
}

#[test]
fn a_long_header_block_is_written_in_frames_every_peer_takes() {
    let mut bytes = Vec::new();
    write::headers(&mut bytes, 1, &[7; 40_000], true);
    assert_eq!(bytes.len(), 40_000 + 3 * HEAD);
    assert_eq!(
        read(&bytes, 1000).unwrap(),
        [Frame::Headers { stream: 1, block: vec![7; 40_000].into(), end: true }]
    );
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_say_the_same(bytes in any::<Vec<u8>>(), piece in 1usize..64) {
        let control = |frames: Vec<Frame>| -> Vec<Frame> {
            frames.into_iter().filter(|frame| !matches!(frame, Frame::Data { .. })).collect()
        };
        prop_assert_eq!(
            read(&bytes, piece).map(control),
            read(&bytes, bytes.len().max(1)).map(control)
        );
    }
}
