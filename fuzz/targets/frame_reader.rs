//! Frames: read the same however they are cut into pieces, and never more of them
//! than was sent.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mesh_frames::{Frame, FrameReader, Limits, ProtocolError};

const LIMITS: Limits = Limits { frame: 1 << 14, block: 1 << 12 };

fuzz_target!(|data: &[u8]| {
    let Some((piece, data)) = data.split_first() else { return };
    let whole = read(data, data.len().max(1));
    assert_eq!(read(data, usize::from(*piece).max(1)), whole);
});

/// The bytes of each stream put together, and all other frames; or what was wrong.
fn read(data: &[u8], piece: usize) -> Result<Vec<Frame>, ProtocolError> {
    let mut reader = FrameReader::new(LIMITS);
    let (mut frames, mut counted_in_all) = (Vec::new(), 0);
    for piece in data.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(frame) = reader.next(&mut input)? {
            if let Frame::Data { counted, data, .. } = &frame {
                assert!(data.len() <= *counted as usize);
                counted_in_all += *counted as usize;
            }
            join(&mut frames, frame);
        }
        assert!(input.is_empty());
    }
    assert!(counted_in_all <= data.len());
    Ok(frames)
}

/// Parts of a DATA frame become one.
fn join(frames: &mut Vec<Frame>, next: Frame) {
    if let (
        Some(Frame::Data { stream, data, counted, end: false }),
        Frame::Data { stream: more_of, data: more, counted: more_counted, end },
    ) = (frames.last(), &next)
        && stream == more_of
    {
        let joined = Frame::Data {
            stream: *stream,
            data: [&data[..], more].concat().into(),
            counted: counted + more_counted,
            end: *end,
        };
        frames.pop();
        frames.push(joined);
    } else {
        frames.push(next);
    }
}
