//! Tests of `dns::cache`, on a clock of their own.

use hickory_proto::op::{MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, Record, RecordType};

use super::*;
use crate::dns::message::encode;

fn reply(code: ResponseCode, ttls: &[u32], owner: Option<(u32, u32)>) -> Message {
    let name = Name::from_ascii("www.example.com.").unwrap();
    let mut reply = Message::new(7, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.queries.push(Query::query(name.clone(), RecordType::A));
    let address = |ttl: &u32| Record::from_rdata(name.clone(), *ttl, RData::A(A([10, 0, 0, 1].into())));
    reply.answers.extend(ttls.iter().map(address));
    reply.authorities.extend(owner.map(|(ttl, minimum)| {
        let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, minimum);
        Record::from_rdata(name.clone(), ttl, RData::SOA(soa))
    }));
    reply
}

fn key(number: usize) -> Key {
    number.to_be_bytes().as_slice().into()
}

/// Seconds for which a reply is kept.
fn kept_for(reply: &Message) -> u64 {
    let (mut cache, now) = (Cache::default(), Instant::now());
    cache.keep(key(1), &encode(reply), now);
    (0..1000).find(|after| cache.find(&key(1), now + Duration::from_secs(*after)).is_none()).unwrap()
}

#[test]
fn a_reply_holds_as_long_as_its_shortest_record_and_no_longer_than_five_minutes() {
    for (ttls, expected) in [(&[30_u32, 20, 90][..], 20), (&[3600], 300), (&[0], 0), (&[5, 0], 0)] {
        assert_eq!(kept_for(&reply(ResponseCode::NoError, ttls, None)), expected, "{ttls:?}");
    }
}

#[test]
fn that_there_is_nothing_holds_as_long_as_the_owner_of_the_zone_says() {
    let nobody = ResponseCode::NXDomain;
    for (code, ttls, owner, expected) in [
        (nobody, &[][..], Some((25, 10)), 10),
        (nobody, &[], Some((5, 10)), 5),
        (nobody, &[], Some((86400, 86400)), 30),
        (nobody, &[], None, 0),
        (nobody, &[3], Some((25, 10)), 3),
        (ResponseCode::NoError, &[], Some((25, 10)), 10),
        (ResponseCode::NoError, &[], None, 0),
        (ResponseCode::ServFail, &[30], Some((25, 10)), 0),
        (ResponseCode::Refused, &[], Some((25, 10)), 0),
    ] {
        assert_eq!(kept_for(&reply(code, ttls, owner)), expected, "{code:?} {ttls:?} {owner:?}");
    }
}

#[test]
fn what_is_cut_or_long_or_unreadable_is_not_kept() {
    let mut cut = reply(ResponseCode::NoError, &[30], None);
    cut.metadata.truncation = true;
    assert_eq!(kept_for(&cut), 0);
    assert_eq!(kept_for(&reply(ResponseCode::NoError, &[30; 200], None)), 0);
    let (mut cache, now) = (Cache::default(), Instant::now());
    cache.keep(key(1), b"no message", now);
    assert!(cache.find(&key(1), now).is_none() && cache.order.is_empty());
}

#[test]
fn the_time_left_is_told() {
    let (mut cache, now) = (Cache::default(), Instant::now());
    cache.keep(key(1), &encode(&reply(ResponseCode::NoError, &[30, 40], None)), now);
    let later = cache.find(&key(1), now + Duration::from_millis(12_900)).unwrap();
    assert_eq!(later.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [18, 28]);
}

#[test]
fn the_cache_is_bounded_and_the_oldest_go_first() {
    let (mut cache, now) = (Cache::default(), Instant::now());
    let bytes = encode(&reply(ResponseCode::NoError, &[300], None));
    for number in 0..MOST + 10 {
        cache.keep(key(number), &bytes, now);
    }
    assert_eq!((cache.entries.len(), cache.order.len()), (MOST, MOST));
    assert!(cache.find(&key(9), now).is_none() && cache.find(&key(10), now).is_some());
}

#[test]
fn what_is_kept_anew_does_not_go_with_its_old_time() {
    let (mut cache, now) = (Cache::default(), Instant::now());
    let second = Duration::from_secs(1);
    cache.keep(key(1), &encode(&reply(ResponseCode::NoError, &[2], None)), now);
    cache.keep(key(1), &encode(&reply(ResponseCode::NoError, &[300], None)), now + second);
    for number in 2..20 {
        cache.keep(key(number), &encode(&reply(ResponseCode::NoError, &[1], None)), now + 3 * second);
    }
    assert!(cache.find(&key(1), now + 4 * second).is_some());
    // Those whose time is over go, whenever there is something new.
    cache.keep(key(99), &encode(&reply(ResponseCode::NoError, &[1], None)), now + 400 * second);
    assert_eq!((cache.entries.len(), cache.order.len()), (1, 1));
}
