//! Tests of `proxy_protocol`.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn hb_24_a_v4_header_byte_by_byte() {
    let header = header_v2(address("10.0.0.1:256"), address("10.0.0.2:80"), Some("spiffe://a"));
    let mut want = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x19".to_vec();
    want.extend([10, 0, 0, 1, 10, 0, 0, 2, 1, 0, 0, 80]);
    want.extend(b"\xD0\x00\x0aspiffe://a");
    assert_eq!(header, want);
}

#[test]
fn hb_24_mixed_families_are_written_as_v6() {
    let header = header_v2(address("10.0.0.1:1"), address("[fd00::2]:2"), None);
    assert_eq!(header.len(), 16 + 36);
    let (parsed, length) = parse(&header).unwrap();
    assert_eq!(length, header.len());
    assert_eq!(parsed.addresses, Some((address("[::ffff:10.0.0.1]:1"), address("[fd00::2]:2"))));
    assert_eq!(parsed.identity, None);
}

#[test]
fn hb_24_unknown_tlvs_and_what_follows_the_header_are_left_alone() {
    let mut header = header_v2(address("10.0.0.1:1"), address("10.0.0.2:2"), Some("spiffe://x/ns/y/sa/z"));
    header.extend(b"\x04\x00\x02ab");
    let length = header.len() - 16;
    header[14..16].copy_from_slice(&(length as u16).to_be_bytes());
    header.extend(b"GET / HTTP/1.1");
    let (parsed, used) = parse(&header).unwrap();
    assert_eq!(used, 16 + length);
    assert_eq!(parsed.identity.as_deref(), Some("spiffe://x/ns/y/sa/z"));
}

#[test]
fn a_proxy_that_speaks_for_itself_gives_no_addresses() {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20, 0, 0, 0]);
    assert_eq!(parse(&header).unwrap(), (Header { addresses: None, identity: None }, 16));
}

#[test]
fn refuses_what_is_no_header() {
    let good = header_v2(address("10.0.0.1:1"), address("10.0.0.2:2"), Some("a"));
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        parse(&bytes)
    };
    let invalid = |reason| Err(ParseError::Invalid(reason));
    assert_eq!(parse(b"GET /"), invalid("wrong signature"));
    assert_eq!(with(&|b| b[12] = 0x11), invalid("unknown version or command"));
    assert_eq!(with(&|b| b[13] = 0x12), invalid("not a TCP connection over IP"));
    assert_eq!(with(&|b| b[14] = 0xff), invalid("longer than 4096 bytes"));
    assert_eq!(with(&|b| b[15] = 4), invalid("shorter than its addresses"));
    assert_eq!(with(&|b| b[30] = 9), invalid("a TLV is longer than the header"));
    assert_eq!(with(&|b| b[31] = 0xff), invalid("identity is not text"));
    let twice = with(&|b| {
        b.extend(b"\xD0\x00\x01b");
        b[15] += 4;
    });
    assert_eq!(twice, invalid("two identities"));
}

#[test]
fn an_impossible_identity_is_left_out() {
    let long = "x".repeat(LONGEST_IDENTITY + 1);
    let header = header_v2(address("10.0.0.1:1"), address("10.0.0.2:2"), Some(&long));
    assert_eq!(parse(&header).unwrap().0.identity, None);
}

proptest! {
    #[test]
    fn hb_24_headers_survive_the_round_trip(
        v4 in any::<bool>(), a in any::<[u8; 16]>(), b in any::<[u8; 16]>(),
        ports in any::<(u16, u16)>(), identity in proptest::option::of("[a-z/:.]{0,200}"),
    ) {
        let ip = |octets: [u8; 16]| match v4 {
            true => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
            false => IpAddr::from(octets),
        };
        let (source, destination) = (SocketAddr::new(ip(a), ports.0), SocketAddr::new(ip(b), ports.1));
        let header = header_v2(source, destination, identity.as_deref());
        for cut in 0..header.len() {
            let ParseError::Incomplete(needed) = parse(&header[..cut]).unwrap_err() else {
                panic!("a part of a header is incomplete, not invalid")
            };
            prop_assert!(needed > cut && needed <= header.len());
        }
        let want = Header { addresses: Some((source, destination)), identity };
        prop_assert_eq!(parse(&header).unwrap(), (want, header.len()));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(body);
        if let Ok((_, used)) = parse(&bytes) {
            prop_assert!(used <= bytes.len());
        }
    }
}

#[test]
fn l7_21_version_1_is_a_line_of_text() {
    let text = |source, destination| String::from_utf8(header_v1(address(source), address(destination)));
    assert_eq!(text("10.0.0.1:4000", "10.96.0.1:80").unwrap(), "PROXY TCP4 10.0.0.1 10.96.0.1 4000 80\r\n");
    assert_eq!(text("[fd00::1]:4000", "[fd00::2]:80").unwrap(), "PROXY TCP6 fd00::1 fd00::2 4000 80\r\n");
    assert_eq!(
        text("10.0.0.1:1", "[fd00::2]:2").unwrap(),
        "PROXY TCP6 ::ffff:10.0.0.1 fd00::2 1 2\r\n",
        "one family for both"
    );
}
