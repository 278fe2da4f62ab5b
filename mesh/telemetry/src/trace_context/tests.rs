//! What headers say of traces, and what is written of them.

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// Trace, span and decision.
fn read(pairs: &[(&'static str, &str)], preferred: TraceHeaders) -> (String, String, Option<bool>) {
    let context = TraceContext::of(&headers(pairs), preferred);
    let ids = context.parent.map(|it| (trace_text(it.trace()), span_text(it.span()))).unwrap_or_default();
    (ids.0, ids.1, context.sampled)
}

#[test]
fn tel_20_every_form_of_a_trace_is_understood() {
    let whole = |sampled| (TRACE.to_owned(), SPAN.to_owned(), sampled);
    let nothing = |sampled| (String::new(), String::new(), sampled);
    let w3c = |flags: &str| format!("00-{TRACE}-{SPAN}-{flags}");
    let single = |rest: &str| format!("{TRACE}-{SPAN}{rest}");
    let b3 = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    let with = |name, value| [b3[0], b3[1], (name, value)];
    for (pairs, expected) in [
        (vec![("traceparent", w3c("01").as_str())], whole(Some(true))),
        (vec![("traceparent", w3c("00").as_str())], whole(Some(false))),
        (vec![("b3", single("-1").as_str())], whole(Some(true))),
        (vec![("b3", single("-d").as_str())], whole(Some(true))),
        (vec![("b3", single("-0-00000000000000aa").as_str())], whole(Some(false))),
        (vec![("b3", single("").as_str())], whole(None)),
        (vec![("b3", "0")], nothing(Some(false))),
        (b3.to_vec(), whole(None)),
        (with("x-b3-sampled", "1").to_vec(), whole(Some(true))),
        (with("x-b3-sampled", "false").to_vec(), whole(Some(false))),
        (with("x-b3-flags", "1").to_vec(), whole(Some(true))),
        (vec![("x-b3-sampled", "0")], nothing(Some(false))),
        (vec![("x-b3-traceid", "zz"), ("x-b3-spanid", SPAN)], nothing(None)),
        (vec![("b3", "1-2-3")], nothing(None)),
        (vec![("traceparent", "nonsense")], nothing(None)),
        (vec![], nothing(None)),
    ] {
        assert_eq!(read(&pairs, TraceHeaders::W3c), expected, "{pairs:?}");
        assert_eq!(read(&pairs, TraceHeaders::B3), expected, "{pairs:?}");
    }
}

#[test]
fn where_two_forms_disagree_the_preferred_one_counts() {
    let w3c = format!("00-{TRACE}-{SPAN}-01");
    let both = [("traceparent", w3c.as_str()), ("x-b3-traceid", SPAN), ("x-b3-spanid", SPAN)];
    assert_eq!(read(&both, TraceHeaders::W3c).0, TRACE);
    assert_eq!(read(&both, TraceHeaders::B3AndW3c).0, SPAN);
}

#[test]
fn a_backend_is_told_in_the_form_of_the_client_and_of_the_provider() {
    let own = TraceParent::new(0xa, 0xb, true);
    let told = |before: &[(&'static str, &str)], how| {
        let mut headers = headers(before);
        TraceContext::of(&headers, how).tell(&mut headers, own, how);
        let mut all: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        all.sort();
        all
    };
    let w3c = "traceparent=00-0000000000000000000000000000000a-000000000000000b-01";
    let several = ["x-b3-sampled=1", "x-b3-spanid=000000000000000b", "x-b3-traceid=000000000000000a"];
    assert_eq!(told(&[], TraceHeaders::W3c), [w3c]);
    assert_eq!(told(&[], TraceHeaders::B3), several);
    assert_eq!(told(&[], TraceHeaders::B3AndW3c), [&[w3c][..], &several[..]].concat());
    let single = format!("{TRACE}-{SPAN}-1");
    let ours = format!("b3=000000000000000a-000000000000000b-1-{SPAN}");
    assert_eq!(told(&[("b3", &single)], TraceHeaders::W3c), [ours.as_str(), w3c]);
    assert_eq!(
        told(
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-parentspanid", "old")],
            TraceHeaders::B3
        ),
        [&[format!("x-b3-parentspanid={SPAN}").as_str()][..], &several[..]].concat()
    );
}
