//! Records behind a handshake, some from nowhere and some from a peer who has the keys and puts anything in them:
//! what is given out was sealed, sizes and rows have bounds, and an error is the end.
//!
//! An input is a row of pieces: what it is, a length in two bytes, the piece.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mesh_record::{LARGEST_PAYLOAD, LARGEST_RECORD, Opened, RecordError, find_record, fuzzing};

/// Behind so many records without data in a row comes an error.
const MOST_WITHOUT_DATA: u32 = 32;
/// The most between header and tag that a peer could try.
const LONGEST_INNER: usize = 0xffff - 16;
const APPLICATION_DATA: u8 = 23;

fuzz_target!(|data: &[u8]| {
    let (mut forger, mut opener) = fuzzing::pair();
    let mut rest = data;
    let mut without_data = 0;
    let mut ended = None;
    while let Some((&[what, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (piece, after) = after.split_at(length);
        rest = after;
        let forged = what % 4 != 0;
        let inner = &piece[..length.min(LONGEST_INNER)];
        let record = if forged { forger.seal(inner).unwrap() } else { piece.to_vec() };
        let opened = opener.open(BytesMut::from(&record[..]));
        match (&ended, &opened) {
            (Some(Ok(())), opened) => assert_eq!(*opened, Ok(Opened::Closed)),
            (Some(Err(())), opened) => assert_eq!(*opened, Err(RecordError::Closed)),
            (None, Ok(opened)) => {
                assert!(forged, "{opened:?} out of nothing");
                assert!(record.len() <= LARGEST_RECORD);
                assert_eq!(find_record(&record), Ok(Some(record.len())));
                without_data = if gives_nothing(opened, inner) { without_data + 1 } else { 0 };
                assert!(without_data <= MOST_WITHOUT_DATA);
                ended = (*opened == Opened::Closed).then_some(Ok(()));
            }
            (None, Err(error)) => {
                assert!(
                    matches!(error, RecordError::BadRecord { .. } | RecordError::PeerAlert(_)),
                    "{error}"
                );
                ended = Some(Err(()));
            }
        }
    }
});

/// Checks what was given out, by another way of reading the inside of the record. True if that is nothing.
fn gives_nothing(opened: &Opened, inner: &[u8]) -> bool {
    let unpadded = inner.iter().rev().skip_while(|byte| **byte == 0).count();
    let (kind, content) = inner[..unpadded].split_last().unwrap();
    assert!(inner.len() <= LARGEST_PAYLOAD + 1);
    match opened {
        Opened::Data(payload) => {
            assert_eq!(*kind, APPLICATION_DATA);
            assert_eq!(*payload, *content);
            payload.is_empty()
        }
        Opened::Nothing | Opened::KeyUpdateRequested | Opened::Closed => {
            assert_ne!(*kind, APPLICATION_DATA);
            true
        }
    }
}
