//! Tests of `seal`.

use bytes::BytesMut;

use super::*;
use crate::testing::{Line, SUITES, pair, record};
use crate::wire::find_record;
use crate::{Opened, Opener};

impl Sealer {
    /// Wears out sooner.
    pub(crate) fn with_limit(self, limit: u64) -> Sealer {
        Sealer { limit, ..self }
    }

    /// Moves on to the next key without a word.
    pub(crate) fn follow(&mut self) {
        self.key = self.schedule.next_sealing().unwrap();
    }
}

/// Opens all records in `wire`.
fn open_all(opener: &mut Opener, wire: &[u8]) -> Vec<Opened> {
    let mut wire = BytesMut::from(wire);
    let mut opened = Vec::new();
    while let Some(length) = find_record(&wire).unwrap() {
        opened.push(opener.open(wire.split_to(length)).unwrap());
    }
    assert!(wire.is_empty(), "{} bytes that are no record", wire.len());
    opened
}

#[tokio::test]
async fn a_sealed_record_has_its_header_and_nothing_of_the_payload_in_it() {
    for suite in SUITES {
        let (mut client, _server) = pair(suite).await;
        let payload = [b'x'; 300];
        let mut sealed = record(&payload);
        client.session.sealer.seal(&mut sealed).unwrap();
        assert_eq!(sealed[..HEADER], [23, 3, 3, 1, 61]);
        assert_eq!(find_record(&sealed), Ok(Some(HEADER + 300 + TRAILER)));
        assert!(!sealed.windows(4).any(|four| four == b"xxxx"));
        let mut again = record(&payload);
        client.session.sealer.seal(&mut again).unwrap();
        assert_ne!(sealed[HEADER..], again[HEADER..]);
    }
}

#[tokio::test]
async fn a_buffer_that_is_no_record_is_left_alone() {
    let (mut client, mut server) = pair(SUITES[0]).await;
    for length in [0, HEADER, HEADER + TRAILER, HEADER + LARGEST_PAYLOAD + 1 + TRAILER, 1 << 16] {
        let mut buffer = vec![7; length];
        assert_eq!(client.session.sealer.seal(&mut buffer), Err(RecordError::WrongLength(length)));
        assert!(buffer.iter().all(|byte| *byte == 7));
    }
    for length in [1, LARGEST_PAYLOAD] {
        client.send(&vec![7; length]).await;
        assert_eq!(server.next_data().await.len(), length);
    }
}

#[tokio::test]
async fn a_worn_key_says_so_in_time_and_stops_at_its_limit() {
    let (client, mut server) = pair(SUITES[0]).await;
    let Line { io: _io, session } = client;
    let mut sealer = session.sealer.with_limit(8);
    let mut wire = Vec::new();
    let seal = |sealer: &mut Sealer, wire: &mut Vec<u8>| {
        let mut record = record(b"x");
        sealer.seal(&mut record)?;
        wire.extend_from_slice(&record);
        Ok(())
    };
    for round in 0..3 {
        for records in 0..8 {
            assert_eq!(sealer.is_worn(), records >= 4, "{records} records in round {round}");
            assert_eq!(seal(&mut sealer, &mut wire), Ok(()));
        }
        assert_eq!(seal(&mut sealer, &mut wire), Err(RecordError::Worn));
        sealer.update_key(&mut wire).unwrap();
        assert!(!sealer.is_worn());
    }
    let opened = open_all(&mut server.session.opener, &wire);
    let data = |opened: &&Opened| **opened == Opened::Data(BytesMut::from(&b"x"[..]));
    assert_eq!(opened.iter().filter(data).count(), 24);
    assert_eq!(opened.iter().filter(|opened| **opened == Opened::Nothing).count(), 3);
}

#[tokio::test]
async fn a_worn_key_may_still_close() {
    let (client, mut server) = pair(SUITES[0]).await;
    let mut sealer = client.session.sealer.with_limit(0);
    let mut wire = Vec::new();
    assert!(sealer.is_worn());
    assert_eq!(sealer.seal(&mut record(b"x")), Err(RecordError::Worn));
    sealer.close(&mut wire).unwrap();
    assert_eq!(open_all(&mut server.session.opener, &wire), [Opened::Closed]);
}

#[tokio::test]
async fn nothing_is_sealed_after_a_close_or_an_alert() {
    for alert in [None, Some(AlertDescription::BadRecordMac)] {
        let (mut client, mut server) = pair(SUITES[1]).await;
        let sealer = &mut client.session.sealer;
        let mut wire = Vec::new();
        match alert {
            None => sealer.close(&mut wire).unwrap(),
            Some(alert) => sealer.alert(alert, &mut wire).unwrap(),
        }
        let length = wire.len();
        assert_eq!(length, HEADER + 2 + TRAILER);
        assert_eq!(sealer.seal(&mut record(b"x")), Err(RecordError::Closed));
        assert_eq!(sealer.update_key(&mut wire), Err(RecordError::Closed));
        assert_eq!(sealer.close(&mut wire), Err(RecordError::Closed));
        assert_eq!(sealer.alert(AlertDescription::InternalError, &mut wire), Err(RecordError::Closed));
        assert_eq!(wire.len(), length);
        let opened = server.session.opener.open(BytesMut::from(&wire[..]));
        match alert {
            None => assert_eq!(opened, Ok(Opened::Closed)),
            Some(alert) => assert_eq!(opened, Err(RecordError::PeerAlert(alert))),
        }
    }
}

#[tokio::test]
async fn the_halves_move_between_threads_and_show_no_key() {
    fn movable<T: Send>(_: &T) {}
    let (client, _server) = pair(SUITES[2]).await;
    movable(&client.session);
    let shown = format!("{:?}", client.session.sealer);
    assert_eq!(shown, "Sealer { records: 0, closed: false, .. }");
}
