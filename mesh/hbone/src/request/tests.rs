//! Tests of `request`.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn full() -> ConnectRequest {
    ConnectRequest {
        target: "10.0.0.1:80".parse().unwrap(),
        baggage: vec!["k8s.namespace.name=default,service.name=web".to_owned()],
        forwarded: Some("for=\"10.0.0.2:4711\";host=reviews.prod.svc.cluster.local".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".to_owned()),
        forwarded_network: Some("network-1".to_owned()),
        source_kind: Some("waypoint".to_owned()),
    }
}

/// The fields of a block in order, and those that are no pseudo-header as a map.
fn fields(request: &ConnectRequest) -> (Vec<(String, String)>, HeaderMap) {
    let (mut all, mut headers) = (Vec::new(), HeaderMap::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let add = |name: &[u8], value: &[u8]| {
        all.push((text(name), text(value)));
        if !name.starts_with(b":") {
            headers.append(HeaderName::from_bytes(name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
    };
    mesh_frames::Decoder::default().decode(&request.to_block(), add).unwrap();
    (all, headers)
}

#[test]
fn hb_03_a_request_is_written_and_read() {
    let (all, headers) = fields(&full());
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["forwarded", "traceparent", "x-forwarded-network", "x-istio-source"];
    assert_eq!(names[..2], [":method", ":authority"]);
    assert_eq!(names[names.len() - 4..], expected);
    assert!(names[2..names.len() - 4].iter().all(|name| *name == "baggage"));
    assert_eq!((all[0].1.as_str(), all[1].1.as_str()), ("CONNECT", "10.0.0.1:80"));
    assert_eq!(ConnectRequest::read(&Method::CONNECT, Some("10.0.0.1:80"), &headers), Ok(full()));
}

#[test]
fn hb_03_baggage_is_sent_even_when_nothing_is_known() {
    let (all, headers) = fields(&ConnectRequest::new("[::1]:80".parse().unwrap()));
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[BAGGAGE], "");
    assert_eq!(all[1].1, "[::1]:80");
}

#[test]
fn hb_27_baggage_may_be_split_over_lines_up_to_a_bound() {
    let mut headers = HeaderMap::new();
    for n in 0..MOST_BAGGAGE + 5 {
        headers.append(BAGGAGE, HeaderValue::from_str(&format!("key{n}=1")).unwrap());
    }
    let read = ConnectRequest::read(&Method::CONNECT, Some("a:1"), &headers).unwrap();
    assert_eq!(read.baggage.len(), MOST_BAGGAGE);
    assert_eq!(read.baggage[1], "key1=1");
}

#[test]
fn hb_04_only_connect_with_a_target_is_read() {
    let headers = HeaderMap::new();
    let read =
        |method, authority| ConnectRequest::read(&method, authority, &headers).unwrap_err().to_string();
    assert_eq!(read(Method::GET, Some("a:1")), "the method is GET; only CONNECT is served");
    assert_eq!(
        read(Method::CONNECT, None),
        "cannot connect to \"\": the authority has no port from 1 to 65535"
    );
    let long = "x".repeat(10_000);
    assert!(read(Method::CONNECT, Some(&long)).len() < 400);
}

#[test]
fn values_that_are_no_text_are_left_out_on_both_sides() {
    let mut odd = full();
    odd.forwarded = Some("a\nb".to_owned());
    odd.baggage.push("c\0".to_owned());
    let (_, mut headers) = fields(&odd);
    headers.insert(TRACEPARENT, HeaderValue::from_bytes(b"\xff").unwrap());
    let read = ConnectRequest::read(&Method::CONNECT, Some("a:1"), &headers).unwrap();
    assert_eq!((read.forwarded, read.traceparent, read.baggage.len()), (None, None, 1));
}

proptest! {
    #[test]
    fn reading_takes_whatever_a_peer_sends(
        authority in prop::option::of(".{0,300}"),
        values in prop::collection::vec((0usize..6, prop::collection::vec(any::<u8>(), 0..200)), 0..60),
    ) {
        let names = [BAGGAGE, FORWARDED, TRACEPARENT, FORWARDED_NETWORK, SOURCE_KIND, HeaderName::from_static("x")];
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(names[name].clone(), value);
            }
        }
        let target = authority.as_deref().and_then(|text| text.parse::<Target>().ok());
        match ConnectRequest::read(&Method::CONNECT, authority.as_deref(), &headers) {
            Ok(read) => {
                prop_assert_eq!(Some(read.target), target);
                prop_assert!(read.baggage.len() <= MOST_BAGGAGE);
            }
            Err(_) => prop_assert_eq!(target, None),
        }
    }
}
