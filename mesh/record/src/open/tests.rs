//! Tests of `open`: what peers send that keep to the rules, and what those send that do not.

use proptest::prelude::*;
use rustls::SupportedCipherSuite;
use tokio::runtime::Builder;

use super::*;
use crate::testing::{SUITES, pair, record};
use crate::wire::{LARGEST_RECORD, TRAILER};
use crate::{Sealer, Session};

/// Somebody who has the peer's keys and no manners, and the end that he talks to.
struct Talk {
    sealer: Sealer,
    opener: Opener,
    /// Kept for its keys.
    _rest: (Sealer, Opener),
}

impl Talk {
    async fn to_server(suite: SupportedCipherSuite) -> Talk {
        let (client, server) = pair(suite).await;
        Talk::between(client.session, server.session)
    }

    async fn to_client(suite: SupportedCipherSuite) -> Talk {
        let (mut client, server) = pair(suite).await;
        // Both tickets are in one record.
        assert_eq!(client.open_next().await, Ok(Opened::Nothing));
        client.session.opener.without_data = 0;
        Talk::between(server.session, client.session)
    }

    fn between(from: Session, to: Session) -> Talk {
        Talk { sealer: from.sealer, opener: to.opener, _rest: (to.sealer, from.opener) }
    }

    /// A record with this between header and tag: content, inner type, padding.
    fn forge(&mut self, inner: &[u8]) -> BytesMut {
        let mut record = [&[0; HEADER], inner, &[0; TAG]].concat();
        self.sealer.seal_inner(&mut record).unwrap();
        BytesMut::from(&record[..])
    }

    fn forge_data(&mut self, payload: &[u8]) -> BytesMut {
        self.forge(&[payload, &[APPLICATION_DATA]].concat())
    }

    fn hear(&mut self, inner: &[u8]) -> Result<Opened, RecordError> {
        let record = self.forge(inner);
        self.opener.open(record)
    }

    fn hear_message(&mut self, part: &[u8]) -> Result<Opened, RecordError> {
        self.hear(&[part, &[HANDSHAKE]].concat())
    }

    /// A KeyUpdate, after which the peer's key is the next one, too.
    fn hear_key_update(&mut self, body: u8) -> Result<Opened, RecordError> {
        let opened = self.hear_message(&[KEY_UPDATE, 0, 0, 1, body])?;
        self.sealer.follow();
        Ok(opened)
    }
}

fn data(payload: &[u8]) -> Result<Opened, RecordError> {
    Ok(Opened::Data(BytesMut::from(payload)))
}

fn alert_of(opened: Result<Opened, RecordError>) -> AlertDescription {
    opened.unwrap_err().alert_owed().unwrap()
}

#[tokio::test]
async fn payload_lies_in_the_memory_of_its_record() {
    let mut talk = Talk::to_server(SUITES[0]).await;
    let record = talk.forge_data(b"payload");
    let place = record[HEADER..].as_ptr();
    let Ok(Opened::Data(payload)) = talk.opener.open(record) else { panic!("no data") };
    assert_eq!(payload, &b"payload"[..]);
    assert_eq!(payload.as_ptr(), place);
}

#[tokio::test]
async fn any_changed_bit_ends_the_connection() {
    for suite in SUITES {
        let length = HEADER + 3 + TRAILER;
        for byte in 0..length {
            let mut talk = Talk::to_server(suite).await;
            let mut record = talk.forge_data(b"abc");
            assert_eq!(record.len(), length);
            record[byte] ^= 1 << (byte % 8);
            let alert = alert_of(talk.opener.open(record));
            let expected = match byte {
                0 => AlertDescription::UnexpectedMessage,
                _ => AlertDescription::BadRecordMac,
            };
            assert_eq!(alert, expected, "byte {byte}");
            let next = talk.forge_data(b"abc");
            assert_eq!(talk.opener.open(next), Err(RecordError::Closed));
        }
    }
}

#[tokio::test]
async fn a_record_cut_short_or_with_more_behind_it_is_refused() {
    for length in 0..HEADER + 3 + TRAILER {
        let mut talk = Talk::to_server(SUITES[0]).await;
        let mut record = talk.forge_data(b"abc");
        record.truncate(length);
        assert_eq!(alert_of(talk.opener.open(record)), AlertDescription::BadRecordMac);
    }
    let mut talk = Talk::to_server(SUITES[0]).await;
    let mut record = talk.forge_data(b"abc");
    record.extend_from_slice(b"d");
    assert_eq!(alert_of(talk.opener.open(record)), AlertDescription::BadRecordMac);
}

#[tokio::test]
async fn records_are_opened_once_and_in_order() {
    let replayed: fn(&[BytesMut]) -> [BytesMut; 2] = |sent| [sent[0].clone(), sent[0].clone()];
    let left_out: fn(&[BytesMut]) -> [BytesMut; 2] = |sent| [sent[0].clone(), sent[2].clone()];
    for order in [replayed, left_out] {
        let mut talk = Talk::to_server(SUITES[2]).await;
        let sent = [talk.forge_data(b"0"), talk.forge_data(b"1"), talk.forge_data(b"2")];
        let [first, second] = order(&sent);
        assert_eq!(talk.opener.open(first), data(b"0"));
        assert_eq!(alert_of(talk.opener.open(second)), AlertDescription::BadRecordMac);
    }
    let mut talk = Talk::to_server(SUITES[2]).await;
    let [_, second] = [talk.forge_data(b"0"), talk.forge_data(b"1")];
    assert_eq!(alert_of(talk.opener.open(second)), AlertDescription::BadRecordMac);
}

#[tokio::test]
async fn a_record_for_the_other_direction_is_refused() {
    let (mut client, _server) = pair(SUITES[0]).await;
    let mut record = record(b"x");
    client.session.sealer.seal(&mut record).unwrap();
    assert_eq!(
        alert_of(client.session.opener.open(BytesMut::from(&record[..]))),
        AlertDescription::BadRecordMac
    );
}

#[test]
fn a_header_is_judged_as_soon_as_it_is_there() {
    let of = |kind, length: usize| {
        let [high, low] = (length as u16).to_be_bytes();
        find_record(&[kind, 3, 3, high, low])
    };
    assert_eq!(find_record(&[]), Ok(None));
    assert_eq!(find_record(&[23, 3, 3, 0]), Ok(None));
    assert_eq!(of(APPLICATION_DATA, 17), Ok(Some(22)));
    assert_eq!(of(APPLICATION_DATA, LARGEST_PAYLOAD + 256), Ok(Some(LARGEST_RECORD)));
    let alert = |found: Result<Option<usize>, RecordError>| found.unwrap_err().alert_owed().unwrap();
    assert_eq!(alert(of(APPLICATION_DATA, LARGEST_PAYLOAD + 257)), AlertDescription::RecordOverflow);
    assert_eq!(alert(of(APPLICATION_DATA, 0xffff)), AlertDescription::RecordOverflow);
    assert_eq!(alert(of(APPLICATION_DATA, TAG - 1)), AlertDescription::BadRecordMac);
    // Neither alerts in the clear nor change_cipher_spec have a place behind the handshake.
    for kind in (0..=255).filter(|kind| *kind != APPLICATION_DATA) {
        assert_eq!(alert(of(kind, 17)), AlertDescription::UnexpectedMessage);
    }
}

#[tokio::test]
async fn a_payload_has_2_to_the_14_bytes_at_most() {
    for (inner, expected) in [
        ([vec![1; LARGEST_PAYLOAD], vec![APPLICATION_DATA]].concat(), None),
        // Padding counts.
        ([vec![1; LARGEST_PAYLOAD - 1], vec![APPLICATION_DATA, 0]].concat(), None),
        (
            [vec![1; LARGEST_PAYLOAD + 1], vec![APPLICATION_DATA]].concat(),
            Some(AlertDescription::RecordOverflow),
        ),
        (
            [vec![1; LARGEST_PAYLOAD], vec![APPLICATION_DATA, 0]].concat(),
            Some(AlertDescription::RecordOverflow),
        ),
        // The longest record that the header lets through.
        (vec![1; LARGEST_PAYLOAD + 256 - TAG], Some(AlertDescription::RecordOverflow)),
    ] {
        let mut talk = Talk::to_server(SUITES[0]).await;
        let alert = talk.hear(&inner).err().and_then(|error| error.alert_owed());
        assert_eq!(alert, expected, "{} bytes", inner.len());
    }
}

#[tokio::test]
async fn a_record_without_an_inner_type_is_refused() {
    for inner in [&[][..], &[0], &[0; 500]] {
        let mut talk = Talk::to_server(SUITES[0]).await;
        assert_eq!(alert_of(talk.hear(inner)), AlertDescription::UnexpectedMessage);
    }
}

#[tokio::test]
async fn inner_types_that_have_no_place_are_refused() {
    for kind in (1..=255).filter(|kind| ![ALERT, HANDSHAKE, APPLICATION_DATA].contains(kind)) {
        let mut talk = Talk::to_server(SUITES[0]).await;
        assert_eq!(alert_of(talk.hear(&[1, kind])), AlertDescription::UnexpectedMessage);
    }
}

#[tokio::test]
async fn records_without_data_may_come_but_not_for_ever() {
    let mut talk = Talk::to_server(SUITES[0]).await;
    for _ in 0..3 {
        for _ in 0..MOST_WITHOUT_DATA {
            assert_eq!(talk.hear(&[APPLICATION_DATA]), data(b""));
        }
        assert_eq!(talk.hear(&[b'x', APPLICATION_DATA, 0, 0]), data(b"x"));
    }
    for _ in 0..MOST_WITHOUT_DATA {
        assert_eq!(talk.hear(&[APPLICATION_DATA, 0]), data(b""));
    }
    assert_eq!(alert_of(talk.hear(&[APPLICATION_DATA])), AlertDescription::UnexpectedMessage);
}

#[tokio::test]
async fn key_updates_may_come_but_not_for_ever() {
    for (body, expected) in [(0, Opened::Nothing), (1, Opened::KeyUpdateRequested)] {
        let mut talk = Talk::to_client(SUITES[0]).await;
        for _ in 0..MOST_WITHOUT_DATA {
            assert_eq!(talk.hear_key_update(body), Ok(expected.clone()));
        }
        assert_eq!(alert_of(talk.hear_key_update(body)), AlertDescription::UnexpectedMessage);
    }
}

#[tokio::test]
async fn after_a_key_update_the_old_key_opens_nothing() {
    let mut talk = Talk::to_server(SUITES[1]).await;
    assert_eq!(talk.hear_message(&[KEY_UPDATE, 0, 0, 1, 0]), Ok(Opened::Nothing));
    // The peer goes on with the old key.
    assert_eq!(alert_of(talk.hear(&[b'x', APPLICATION_DATA])), AlertDescription::BadRecordMac);
}

#[tokio::test]
async fn a_key_update_that_is_none_is_refused() {
    for (message, expected) in [
        (&[KEY_UPDATE, 0, 0, 1, 2][..], AlertDescription::IllegalParameter),
        (&[KEY_UPDATE, 0, 0, 0], AlertDescription::DecodeError),
        (&[KEY_UPDATE, 0, 0, 2, 0, 0], AlertDescription::DecodeError),
        // With more behind it in the same record, under the wrong key.
        (&[KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE], AlertDescription::UnexpectedMessage),
        (&[KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE, 0, 0, 1, 0], AlertDescription::UnexpectedMessage),
    ] {
        let mut talk = Talk::to_server(SUITES[0]).await;
        assert_eq!(alert_of(talk.hear_message(message)), expected, "{message:?}");
    }
}

/// A NewSessionTicket: lifetime, age_add, nonce, ticket, no extensions (RFC 8446 §4.6.1).
fn ticket(length: u16) -> Vec<u8> {
    let fields =
        [&[0, 0, 1, 0, 1, 2, 3, 4, 1, 9][..], &length.to_be_bytes(), &vec![7; length.into()], &[0, 0]]
            .concat();
    [&[NEW_SESSION_TICKET], &(fields.len() as u32).to_be_bytes()[1..], &fields].concat()
}

#[tokio::test]
async fn tickets_share_records_and_are_spread_over_several() {
    let mut talk = Talk::to_client(SUITES[0]).await;
    let two = [ticket(10), ticket(20)].concat();
    assert_eq!(talk.hear_message(&two), Ok(Opened::Nothing));
    for part in two.chunks(9) {
        assert_eq!(talk.hear_message(part), Ok(Opened::Nothing));
    }
    assert!(talk.opener.message.is_empty());
    // The longest one that is taken.
    for part in ticket(0xffff - 14).chunks(LARGEST_PAYLOAD) {
        assert_eq!(talk.hear_message(part), Ok(Opened::Nothing));
    }
    assert!(talk.opener.message.is_empty());
    // A message that ends in a record of its own, with a KeyUpdate right behind it.
    let both = [ticket(10), vec![KEY_UPDATE, 0, 0, 1, 1]].concat();
    assert_eq!(talk.hear_message(&both[..7]), Ok(Opened::Nothing));
    assert_eq!(talk.hear_message(&both[7..]), Ok(Opened::KeyUpdateRequested));
    talk.sealer.follow();
    assert_eq!(talk.hear(&[b'x', APPLICATION_DATA]), data(b"x"));
}

#[tokio::test]
async fn messages_are_bounded_whole_and_not_interleaved() {
    let mut talk = Talk::to_client(SUITES[0]).await;
    assert_eq!(alert_of(talk.hear_message(&[NEW_SESSION_TICKET, 1, 0, 0])), AlertDescription::DecodeError);

    let mut talk = Talk::to_client(SUITES[0]).await;
    assert_eq!(alert_of(talk.hear_message(&[NEW_SESSION_TICKET, 0, 0, 1, 0])), AlertDescription::DecodeError);

    let mut talk = Talk::to_client(SUITES[0]).await;
    assert_eq!(alert_of(talk.hear_message(&[])), AlertDescription::UnexpectedMessage);

    for interloper in [&[b'x', APPLICATION_DATA][..], &[1, 0, ALERT]] {
        let mut talk = Talk::to_client(SUITES[0]).await;
        assert_eq!(talk.hear_message(&ticket(10)[..7]), Ok(Opened::Nothing));
        assert_eq!(alert_of(talk.hear(interloper)), AlertDescription::UnexpectedMessage);
    }

    let mut talk = Talk::to_client(SUITES[0]).await;
    let parts = ticket(100);
    let mut heard = parts.chunks(1).map(|part| talk.hear_message(part));
    assert!(heard.by_ref().take(MOST_WITHOUT_DATA.into()).all(|opened| opened == Ok(Opened::Nothing)));
    assert_eq!(alert_of(heard.next().unwrap()), AlertDescription::UnexpectedMessage);
}

#[tokio::test]
async fn messages_of_the_handshake_have_no_place_behind_it() {
    // ClientHello, CertificateRequest, Finished and one nobody knows.
    for kind in [1, 13, 20, 99] {
        let mut talk = Talk::to_client(SUITES[0]).await;
        assert_eq!(alert_of(talk.hear_message(&[kind, 0, 0, 0])), AlertDescription::UnexpectedMessage);
    }
    let mut talk = Talk::to_server(SUITES[0]).await;
    assert_eq!(alert_of(talk.hear_message(&ticket(10))), AlertDescription::UnexpectedMessage);
}

#[tokio::test]
async fn alerts_end_the_connection_unless_they_say_that_nothing_happened() {
    let close = u8::from(AlertDescription::CloseNotify);
    let canceled = u8::from(AlertDescription::UserCanceled);
    let mut talk = Talk::to_server(SUITES[0]).await;
    assert_eq!(talk.hear(&[1, canceled, ALERT]), Ok(Opened::Nothing));
    assert_eq!(talk.hear(&[1, close, ALERT, 0, 0]), Ok(Opened::Closed));
    // What follows is ignored, whatever it is.
    assert_eq!(talk.hear(&[b'x', APPLICATION_DATA]), Ok(Opened::Closed));
    assert_eq!(talk.opener.open(BytesMut::from(&b"noise"[..])), Ok(Opened::Closed));

    // Whatever level they claim.
    for level in [1, 2, 3] {
        let mut talk = Talk::to_server(SUITES[0]).await;
        let expired = AlertDescription::CertificateExpired;
        let heard = talk.hear(&[level, expired.into(), ALERT]);
        assert_eq!(heard, Err(RecordError::PeerAlert(expired)));
        assert_eq!(talk.hear(&[b'x', APPLICATION_DATA]), Err(RecordError::Closed));
    }

    for content in [&[][..], &[1], &[1, 0, 0], &[1, 0, 1, 0]] {
        let mut talk = Talk::to_server(SUITES[0]).await;
        let heard = talk.hear(&[content, &[ALERT]].concat());
        assert_eq!(alert_of(heard), AlertDescription::DecodeError);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_sealed_is_opened(
        suite in 0..SUITES.len(),
        payloads in prop::collection::vec((1..=LARGEST_PAYLOAD, any::<u8>()), 1..8),
        padding in 0..300_usize,
    ) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let mut talk = runtime.block_on(Talk::to_server(SUITES[suite]));
        for (length, first) in payloads {
            let payload: Vec<u8> = (0..length).map(|place| first.wrapping_add(place as u8)).collect();
            let mut sealed = record(&payload);
            talk.sealer.seal(&mut sealed).unwrap();
            prop_assert_eq!(talk.opener.open(BytesMut::from(&sealed[..])), data(&payload));
            let room = LARGEST_PAYLOAD - length;
            let padded = [&payload[..], &[APPLICATION_DATA], &vec![0; padding.min(room)]].concat();
            prop_assert_eq!(talk.hear(&padded), data(&payload));
        }
    }
}
