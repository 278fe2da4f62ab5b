use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

#[test]
fn hb_02_addresses_and_host_names_are_read() {
    for (text, expected) in [
        ("10.0.0.1:80", Target::Address("10.0.0.1:80".parse().unwrap())),
        ("[2001:db8::1]:15008", Target::Address("[2001:db8::1]:15008".parse().unwrap())),
        (
            "reviews.prod.svc.cluster.local:9080",
            Target::Hostname("reviews.prod.svc.cluster.local".into(), 9080),
        ),
        ("a:65535", Target::Hostname("a".into(), 65535)),
        ("my_host-1.example:1", Target::Hostname("my_host-1.example".into(), 1)),
    ] {
        assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
        assert_eq!(expected.to_string(), text);
    }
}

#[test]
fn sec_06_one_place_has_one_spelling() {
    let mapped: Target = "[::ffff:10.0.0.1]:80".parse().unwrap();
    assert_eq!(mapped, "10.0.0.1:80".parse().unwrap());
    assert_eq!(Target::from("[::ffff:10.0.0.1]:80".parse::<SocketAddr>().unwrap()), mapped);
    assert_eq!("Reviews.Prod:80".parse::<Target>(), "reviews.prod:80".parse());
}

#[test]
fn hb_04_what_is_no_target_is_refused() {
    for text in [
        "",
        ":",
        "10.0.0.1",
        "host",
        "10.0.0.1:",
        "10.0.0.1:0",
        "host:0",
        "host:65536",
        "host:+80",
        "host: 80",
        "host:80 ",
        "host:080808",
        "host:-1",
        "host:http",
        ":80",
    ] {
        let expected = if text == ":80" { InvalidTarget::Host } else { InvalidTarget::Port };
        assert_eq!(text.parse::<Target>(), Err(expected), "{text:?}");
    }
    let (long_label, long_name) = ("a".repeat(64), "a.".repeat(126) + "aa");
    for host in [
        "::1",
        "2001:db8::1",
        "[::1",
        "::1]",
        "[]",
        "[10.0.0.1]",
        "[fe80::1%1]",
        "[fe80::1%eth0]",
        "010.0.0.1",
        "1.2.3",
        "256.0.0.1",
        "1",
        "0x7f.1.2.3.4",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "a b",
        "user@host",
        "host/path",
        "hö",
        "*.a",
        "a\0",
        "http://a",
        &long_label,
        &long_name,
    ] {
        let text = format!("{host}:80");
        assert_eq!(text.parse::<Target>(), Err(InvalidTarget::Host), "{text:?}");
    }
}

fn targets() -> impl Strategy<Value = Target> {
    let label = "[a-z_]([a-z0-9_-]{0,20}[a-z0-9_])?";
    let hostname = prop::collection::vec(label, 1..6).prop_map(|labels| labels.join("."));
    prop_oneof![
        (any::<IpAddr>(), 1u16..).prop_map(|(ip, port)| Target::from(SocketAddr::new(ip, port))),
        (hostname, 1u16..).prop_map(|(name, port)| Target::Hostname(name.into(), port)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(target in targets()) {
        prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
    }

    #[test]
    fn whatever_is_read_is_bounded_and_stable(text in ".{0,300}") {
        if let Ok(target) = text.parse::<Target>() {
            let written = target.to_string();
            prop_assert!(written.len() <= LONGEST_HOSTNAME + 6);
            prop_assert!(target.port() > 0);
            prop_assert_eq!(written.parse::<Target>(), Ok(target));
        }
    }

    #[test]
    fn near_misses_do_not_panic(text in "[0-9a-fA-F:.\\[\\]%_-]{0,60}:[0-9+]{0,6}") {
        if let Ok(target) = text.parse::<Target>() {
            prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
        }
    }
}
