//! Conditions against requests.

use http::Request;

use super::*;

fn head(request: &str, headers: &[(&str, &str)]) -> Parts {
    let (method, uri) = request.split_once(' ').unwrap();
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn matches(asked: &HttpMatch, request: &str, headers: &[(&str, &str)]) -> bool {
    let head = head(request, headers);
    let subject = Subject { head: &head, source_namespace: Some("shop"), service_port: 80, token: None };
    Condition::compile(asked).unwrap().matches(subject).is_some()
}

fn named(name: &str, value: ValueMatch) -> Vec<NamedMatch> {
    vec![NamedMatch { name: name.into(), value }]
}

fn exact(text: &str) -> ValueMatch {
    ValueMatch::Exact(text.into())
}

#[test]
fn l7_05_header_match() {
    let asked = HttpMatch { headers: named("user", exact("istio-custom-user")), ..HttpMatch::default() };
    for (headers, expected) in [
        (&[("user", "istio-custom-user")][..], true),
        (&[("User", "istio-custom-user")], true),
        (&[("user", "someone")], false),
        (&[("user", "istio-custom-user"), ("user", "someone")], false),
        (&[], false),
    ] {
        assert_eq!(matches(&asked, "GET /", headers), expected, "{headers:?}");
    }
}

#[test]
fn l7_09_every_token_character_in_a_header_name() {
    let name = "!#$%&'*+-.^_`|~0aZ";
    let asked = HttpMatch { headers: named(name, exact("x")), ..HttpMatch::default() };
    assert!(matches(&asked, "GET /", &[(name, "x")]));
    assert!(!matches(&asked, "GET /", &[("other", "x")]));
}

#[test]
fn l7_10_pseudo_headers_match_like_headers() {
    for (name, value, expected) in [
        (":method", "GET", true),
        (":method", "POST", false),
        (":path", "/a?b=c", true),
        (":authority", "shop:80", true),
        ("host", "shop:80", true),
        (":scheme", "http", true),
        (":scheme", "https", false),
    ] {
        let asked = HttpMatch { headers: named(name, exact(value)), ..HttpMatch::default() };
        assert_eq!(matches(&asked, "GET /a?b=c", &[("host", "shop:80")]), expected, "{name} {value}");
    }
    assert!(
        Condition::compile(&HttpMatch { headers: named("a b", exact("")), ..HttpMatch::default() }).is_err()
    );
}

#[test]
fn l7_15_without_headers() {
    let regex = |text: &str| ValueMatch::Regex(text.into());
    for (value, header, expected) in [
        (exact("blocked"), Some("blocked"), false),
        (exact("blocked"), Some("other"), true),
        (exact("blocked"), None, true),
        (regex("*"), Some("anything"), false),
        (regex("*"), None, true),
        (regex(".*"), Some("anything"), true),
        (regex(".*"), None, true),
        (ValueMatch::Presence, Some(""), false),
    ] {
        let asked = HttpMatch { without_headers: named("x-a", value.clone()), ..HttpMatch::default() };
        let headers: Vec<_> = header.iter().map(|value| ("x-a", *value)).collect();
        assert_eq!(matches(&asked, "GET /", &headers), expected, "{value:?} {header:?}");
    }
}

#[test]
fn gw_12_query_parameters_match_decoded_and_the_first_counts() {
    let asked = HttpMatch { query_params: named("animal", exact("a whale")), ..HttpMatch::default() };
    for (uri, expected) in [
        ("GET /?animal=a%20whale", true),
        ("GET /?x=1&%61nimal=a%20whale&animal=dog", true),
        ("GET /?animal=dog&animal=a%20whale", false),
        ("GET /?animals=a%20whale", false),
        ("GET /?animal", false),
        ("GET /", false),
    ] {
        assert_eq!(matches(&asked, uri, &[]), expected, "{uri}");
    }
    let present = HttpMatch { query_params: named("flag", ValueMatch::Presence), ..HttpMatch::default() };
    assert!(matches(&present, "GET /?flag", &[]));
}

#[test]
fn gw_37_all_parts_of_a_condition_have_to_match() {
    let asked = HttpMatch {
        path: Some(ValueMatch::PathPrefix("/api".into())),
        method: Some(exact("POST")),
        authority: Some(ValueMatch::Prefix("shop".into())),
        source_namespace: Some("shop".into()),
        port: Some(80),
        ..HttpMatch::default()
    };
    let host = [("host", "shop.prod")];
    assert!(matches(&asked, "POST /api/x?y", &host));
    assert!(!matches(&asked, "GET /api/x", &host));
    assert!(!matches(&asked, "POST /apix", &host));
    assert!(!matches(&asked, "POST /api", &[("host", "other")]));
    assert!(!matches(&HttpMatch { source_namespace: Some("b".into()), ..asked.clone() }, "POST /api", &host));
    assert!(!matches(&HttpMatch { port: Some(81), ..asked }, "POST /api", &host));
}
