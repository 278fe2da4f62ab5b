//! Tests of `dns::message`.

use std::net::Ipv4Addr;

use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::TXT;

use super::*;

fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn with_payload(mut query: Message, longest: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(longest);
    query.edns = Some(edns);
    query
}

fn asked(query: &Message) -> Asked {
    Asked::read(&encode(query)).unwrap()
}

fn parsed(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap()
}

fn refusal(bytes: &[u8]) -> Message {
    match Asked::read(bytes).unwrap_err() {
        Unanswerable::Refused(reply) => parsed(&reply),
        Unanswerable::Ignored => panic!("ignored"),
    }
}

fn addresses(count: u8) -> Vec<IpAddr> {
    (0..=count).skip(1).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect()
}

#[test]
fn dns_19_a_reply_echoes_id_question_and_recursion_and_proves_nothing() {
    for desired in [true, false] {
        let mut query = query("Web.Default.", RecordType::A);
        query.metadata.recursion_desired = desired;
        query.metadata.checking_disabled = true;
        query.metadata.authentic_data = true;
        let reply = parsed(&encode(&asked(&query).authoritative(None, &addresses(1))));
        let meta = reply.metadata;
        assert_eq!(
            (meta.id, meta.message_type, meta.op_code),
            (0x1234, MessageType::Response, OpCode::Query)
        );
        assert_eq!((meta.recursion_desired, meta.recursion_available), (desired, true));
        assert!(meta.authoritative && !meta.authentic_data && !meta.checking_disabled && !meta.truncation);
        assert_eq!(reply.queries, query.queries);
        assert!(reply.queries[0].name().eq_case(query.queries[0].name()), "to the letter");
        assert!(reply.edns.is_none(), "not offered");
    }
}

#[test]
fn dns_18_what_the_mesh_says_holds_for_thirty_seconds() {
    let reply = asked(&query("web.", RecordType::A)).authoritative(None, &addresses(2));
    assert_eq!(reply.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [30, 30]);
}

#[test]
fn dns_05_an_alias_comes_before_the_addresses_it_leads_to() {
    let name = "www.example.com.ns1.svc.cluster.local.";
    let reply = asked(&query(name, RecordType::A)).authoritative(Some("www.example.com"), &addresses(1));
    let lines: Vec<_> = parsed(&encode(&reply)).answers.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [format!("{name} 30 IN CNAME www.example.com."), "www.example.com. 30 IN A 10.0.0.1".to_owned()]
    );
}

#[test]
fn dns_08_no_address_is_no_error() {
    let reply = parsed(&encode(&asked(&query("web.", RecordType::AAAA)).authoritative(None, &[])));
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0));
    assert!(reply.metadata.authoritative);
}

#[test]
fn dns_17_a_datagram_is_as_long_as_the_client_takes_and_says_what_is_missing() {
    for (longest, expected) in [(None, 512), (Some(100), 512), (Some(1232), 1232), (Some(65535), 4096)] {
        let query = query("large.default.svc.cluster.local.", RecordType::A);
        let query = longest.map_or(query.clone(), |longest| with_payload(query, longest));
        let asked = asked(&query);
        assert_eq!(asked.longest_datagram(), expected);
        let whole = asked.authoritative(None, &addresses(255));
        let bytes = fit(whole.clone(), asked.longest_datagram());
        let reply = parsed(&bytes);
        assert!(bytes.len() <= expected);
        assert_eq!(reply.metadata.truncation, reply.answers.len() < 255);
        assert_eq!(reply.edns.is_some(), longest.is_some());
        if reply.metadata.truncation {
            assert!(bytes.len() + 64 > expected, "hardly another record fits: {} of {expected}", bytes.len());
        }
    }
}

#[test]
fn dns_17_over_tcp_256_addresses_are_whole() {
    let many: Vec<IpAddr> = (0..256).map(|n| Ipv4Addr::from(0x0a00_0000 + n).into()).collect();
    let reply = asked(&query("large.", RecordType::A)).authoritative(None, &many);
    let reply = parsed(&fit(reply, u16::MAX.into()));
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (256, false));
}

#[test]
fn no_amplification_what_is_no_query_is_not_answered() {
    let mut reply = query("web.", RecordType::A);
    reply.metadata.message_type = MessageType::Response;
    assert_eq!(Asked::read(&encode(&reply)).unwrap_err(), Unanswerable::Ignored);
    for short in [&b""[..], b"\x12", b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00"] {
        assert_eq!(Asked::read(short).unwrap_err(), Unanswerable::Ignored, "{short:?}");
    }
}

#[test]
fn no_amplification_what_is_wrong_is_said_in_no_more_bytes_than_were_asked() {
    let mut notify = query("web.", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    let mut two = query("web.", RecordType::A);
    two.queries.push(two.queries[0].clone());
    let mut none = two.clone();
    none.queries.clear();
    let whole = encode(&query("web.example.com.", RecordType::A));
    for (bytes, code) in [
        (encode(&notify), ResponseCode::NotImp),
        (encode(&two), ResponseCode::FormErr),
        (encode(&none), ResponseCode::FormErr),
        (whole[..whole.len() - 3].to_vec(), ResponseCode::FormErr),
    ] {
        let Err(Unanswerable::Refused(reply)) = Asked::read(&bytes) else { panic!("{bytes:?}") };
        assert!(reply.len() <= bytes.len());
        let reply = parsed(&reply).metadata;
        assert_eq!((reply.id, reply.response_code), (0x1234, code));
        assert_eq!(reply.message_type, MessageType::Response);
    }
}

#[test]
fn a_later_version_of_edns_is_refused_with_ours() {
    let mut query = with_payload(query("web.", RecordType::A), 1232);
    query.edns.as_mut().unwrap().set_version(1);
    let reply = refusal(&encode(&query));
    assert_eq!(u16::from(reply.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!(reply.version(), 0);
}

#[test]
fn dns_06_what_another_server_says_stays_but_for_id_and_flags() {
    let query = query("nobody.example.com.", RecordType::A);
    let mut reply = query.clone().into_response();
    reply.metadata.id = 0x4321;
    reply.metadata.response_code = ResponseCode::NXDomain;
    reply.metadata.authoritative = true;
    reply.metadata.authentic_data = true;
    let extra = RData::TXT(TXT::new(vec!["kept".to_owned()]));
    reply.additionals.push(Record::from_rdata(Name::from_ascii("extra.").unwrap(), 7, extra));
    let forwarded = parsed(&asked(&query).forwarded(encode(&reply), 512));
    let meta = forwarded.metadata;
    assert_eq!((meta.id, meta.response_code), (0x1234, ResponseCode::NXDomain));
    assert!(meta.recursion_available && meta.recursion_desired);
    assert!(!meta.authoritative && !meta.authentic_data);
    assert_eq!(forwarded.additionals, reply.additionals);
}

#[test]
fn dns_06_records_of_unknown_types_pass_unread() {
    let query = query("odd.example.com.", RecordType::Unknown(65280));
    let mut bytes = encode(&query.clone().into_response());
    // One answer of the private type 65280 and one of SVCB with a value that means nothing.
    bytes[7] = 2;
    for kind in [65280_u16, 64] {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 9, 0, 3, 0xff, 0xff, 0xff]);
    }
    let forwarded = asked(&query).forwarded(bytes.clone(), 512);
    assert_eq!(forwarded[4..], bytes[4..]);
    // And what can neither be read nor fit is asked for again over TCP.
    let truncated = parsed(&asked(&query).forwarded(bytes, 40));
    assert!(truncated.metadata.truncation && truncated.answers.is_empty());
}

#[test]
fn what_is_sent_on_is_the_question_and_nothing_else() {
    let mut query = with_payload(query("Www.Example.com.", RecordType::MX), 65000);
    query.metadata.checking_disabled = true;
    query.metadata.truncation = true;
    query.edns.as_mut().unwrap().set_dnssec_ok(true);
    let extra = RData::A(A(Ipv4Addr::LOCALHOST));
    query.answers.push(Record::from_rdata(Name::root(), 1, extra));
    let onward = parsed(&encode(&asked(&query).onward()));
    assert!(onward.queries[0].name().eq_case(query.queries[0].name()));
    assert!(onward.metadata.checking_disabled && onward.metadata.recursion_desired);
    assert!(!onward.metadata.truncation && onward.answers.is_empty());
    let edns = onward.edns.unwrap();
    assert!(edns.flags().dnssec_ok);
    assert_eq!(edns.max_payload(), LONGEST_DATAGRAM);
}

#[test]
fn sec_01_no_byte_of_a_question_or_a_reply_brings_it_down() {
    let query = with_payload(query("www.example.com.", RecordType::A), 1232);
    let whole = encode(&query);
    let reply = encode(&asked(&query).authoritative(Some("www.example.com"), &addresses(9)));
    for place in 0..reply.len() {
        for value in [0, 1, 0x3f, 0xc0, 0xff] {
            let mut wrong = whole.clone();
            if let Some(byte) = wrong.get_mut(place) {
                *byte = value;
            }
            match Asked::read(&wrong) {
                Ok(read) => drop(encode(&read.onward())),
                Err(Unanswerable::Refused(refusal)) => assert!(refusal.len() <= wrong.len()),
                Err(Unanswerable::Ignored) => {}
            }
            let mut wrong = reply.clone();
            wrong[place] = value;
            for longest in [12, 100, 512] {
                asked(&query).forwarded(wrong.clone(), longest);
            }
            asked(&query).forwarded(wrong[..place].to_vec(), 12);
        }
    }
}
