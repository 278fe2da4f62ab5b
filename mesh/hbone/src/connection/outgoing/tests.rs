//! Tests of `outgoing`, without records: those have tests of their own, and both
//! are driven together by the tests of tunnels.

use bytes::Bytes;
use mesh_frames::{Frame, FrameReader, Limits};

use super::*;

/// A source that gives so many bytes.
fn source(count: usize) -> impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>> {
    move |place| {
        let count = count.min(place.len());
        place[..count].fill(7);
        Poll::Ready(Ok(count))
    }
}

/// The lengths of the DATA frames in what is to be sent.
fn frames(outgoing: &mut Outgoing) -> Vec<usize> {
    let mut input = Bytes::copy_from_slice(outgoing.sendable());
    let mut reader = FrameReader::new(Limits { frame: 16_384, block: 0 });
    let mut lengths = Vec::new();
    while let Some(frame) = reader.next(&mut input).unwrap() {
        let Frame::Data { data, .. } = frame else { panic!("{frame:?}") };
        assert!(data.iter().all(|byte| *byte == 7));
        lengths.push(data.len());
    }
    assert!(reader.is_between_frames());
    lengths
}

#[test]
fn small_payloads_share_a_record_and_large_ones_fill_theirs() {
    let mut outgoing = Outgoing::new(None);
    for count in [1, 100, 40_000, 5] {
        assert!(outgoing.fill(1, 1 << 20, source(count)).is_ready());
    }
    assert_eq!(frames(&mut outgoing), [1, 100, LARGEST_PAYLOAD - 3 * HEAD - 101, 5]);
}

#[test]
fn nothing_read_is_nothing_to_send() {
    let mut outgoing = Outgoing::new(None);
    assert!(outgoing.fill(1, 10, |_| Poll::Pending).is_pending());
    assert!(matches!(outgoing.fill(1, 10, source(0)), Poll::Ready(Ok((0, false)))));
    let failed = outgoing.fill(1, 10, |_| Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())));
    assert!(matches!(failed, Poll::Ready(Err(_))));
    assert_eq!(outgoing.pending(), 0);
    assert!(outgoing.fill(1, 10, source(3)).is_ready());
    assert!(outgoing.fill(1, 10, |_| Poll::Pending).is_pending());
    assert_eq!(frames(&mut outgoing), [3]);
}

#[test]
fn a_vectored_read_is_cut_into_frames() {
    for total in [0, 1, 16_375, 16_376, 40_000, 49_125] {
        let mut outgoing = Outgoing::new(None);
        outgoing.append(&[]);
        let read = outgoing.fill_records(1, 1 << 20, |places| {
            let mut left = total;
            for place in places {
                let count = left.min(place.len());
                place[..count].fill(7);
                left -= count;
            }
            Ok(total - left)
        });
        assert_eq!(read.unwrap(), (total, false));
        assert_eq!(frames(&mut outgoing).iter().sum::<usize>(), total);
    }
}

#[test]
fn a_vectored_read_takes_what_is_missing_and_leaves_nothing_behind_where_there_is_nothing() {
    let mut outgoing = Outgoing::new(None);
    let full = |places: &mut [IoSliceMut<'_>]| Ok(places.iter().map(|place| place.len()).sum());
    // Without room for records around them, the same frames take a little less.
    let is_full = |outgoing: &Outgoing| outgoing.pending() >= 4 * LARGEST_PAYLOAD;
    let (count, all) = outgoing.fill_records(1, 1 << 20, full).unwrap();
    assert!(all && is_full(&outgoing), "{count} bytes");
    outgoing.taken(outgoing.pending());
    assert!(outgoing.fill(1, 1 << 20, source(16_384)).is_ready());
    let (more, all) = outgoing.fill_records(1, 1 << 20, full).unwrap();
    assert!(all && more <= count && is_full(&outgoing));
    outgoing.taken(outgoing.pending());
    assert_eq!(outgoing.fill_records(1, 100, full).unwrap(), (100, true));
    outgoing.taken(outgoing.pending());
    for nothing in [Ok(0), Err(io::ErrorKind::WouldBlock.into())] {
        let result = outgoing.fill_records(1, 1 << 20, |_| nothing);
        assert!(!matches!(result, Ok((1.., _))));
        assert_eq!((outgoing.pending(), outgoing.buffer.len()), (0, 0), "the buffer is given back");
    }
}

#[test]
fn a_carrier_that_takes_little_at_a_time_gets_every_byte_and_bounded_memory() {
    let mut outgoing = Outgoing::new(None);
    let mut reader = FrameReader::new(Limits { frame: 16_384, block: 0 });
    let (mut written, mut read) = (0, 0);
    for turn in 0..2_000 {
        while outgoing.has_room() {
            let Poll::Ready(Ok((count, _))) = outgoing.fill(1, 1 << 20, source(5_000)) else { panic!() };
            written += count;
        }
        let taken = outgoing.sendable().len().min(3_001 + turn % 100);
        let mut input = Bytes::copy_from_slice(&outgoing.sendable()[..taken]);
        while let Some(Frame::Data { data, .. }) = reader.next(&mut input).unwrap() {
            read += data.len();
        }
        outgoing.taken(taken);
        assert!(outgoing.buffer.len() < 4 * FULL, "{}", outgoing.buffer.len());
    }
    assert!(written - read < 2 * FULL && read > 5_000_000);
}
