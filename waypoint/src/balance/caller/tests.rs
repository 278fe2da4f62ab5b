//! What of a caller is hashed, and the cookies it gets.

use std::time::Duration;

use http::Request;

use super::*;

fn head(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
    let mut request = Request::builder().uri(uri).body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    request.into_parts().0
}

fn cookie(ttl: Option<u64>) -> HashCookie {
    HashCookie { name: "user".into(), path: None, ttl: ttl.map(Duration::from_secs), attributes: Vec::new() }
}

fn caller(head: Option<&Parts>) -> Caller<'_> {
    Caller::new("::ffff:10.0.0.9".parse().unwrap(), head)
}

fn hash(key: &HashKey, head: Option<&Parts>) -> Option<u64> {
    caller(head).hash(&Key::compile(key).unwrap())
}

#[test]
fn lb_21_what_is_hashed() {
    let of = |text: &str| Some(xxh64(text.as_bytes(), 0));
    let header = |name: &str| HashKey::Header(name.into());
    let query = |name: &str| HashKey::QueryParameter(name.into());
    let head = head(
        "/a%20b?user=x%20y&user=z&empty=&flag",
        &[
            ("x-user", "anna"),
            ("x-two", "a"),
            ("x-two", "b"),
            ("host", "shop:80"),
            ("cookie", "a=1; user=\"u 1\""),
            ("cookie", "b=2;none="),
        ],
    );
    let named = |name: &str| HashKey::Cookie(HashCookie { name: name.into(), ..cookie(None) });
    for (key, expected) in [
        (header("x-user"), of("anna")),
        (header("x-two"), of("a,b")),
        (header("x-none"), None),
        (header(":authority"), of("shop:80")),
        (header(":path"), of("/a%20b?user=x%20y&user=z&empty=&flag")),
        (query("user"), of("x y")),
        (query("flag"), of("")),
        (query("none"), None),
        (named("user"), of("u 1")),
        (named("b"), of("2")),
        (named("none"), None),
        (named("other"), None),
        (HashKey::SourceIp, Some(xxh64(&[10, 0, 0, 9], 0))),
    ] {
        assert_eq!(hash(&key, Some(&head)), expected, "{key:?}");
    }
    assert_eq!(hash(&header("x-user"), None), None, "a connection has no headers");
    assert_eq!(hash(&HashKey::SourceIp, None), Some(xxh64(&[10, 0, 0, 9], 0)));
    assert!(Key::compile(&header("not a name")).is_err());
}

#[test]
fn lb_21_who_has_no_cookie_gets_one_and_keeps_its_hash() {
    let empty = head("/", &[]);
    let key = Key::compile(&HashKey::Cookie(cookie(Some(0)))).unwrap();
    let mut caller = caller(Some(&empty));
    let hash = caller.hash(&key).unwrap();
    assert_eq!(caller.hash(&key), Some(hash), "at the next attempt");
    let mut headers = HeaderMap::new();
    caller.give_cookie(&mut headers);
    let line = headers[SET_COOKIE].to_str().unwrap();
    let value = line.strip_prefix("user=\"").and_then(|rest| rest.strip_suffix("\"; HttpOnly")).unwrap();
    assert_eq!((value.len(), xxh64(value.as_bytes(), 0)), (16, hash), "{line}");
}

#[test]
fn lb_21_who_has_a_cookie_gets_none() {
    for (ttl, headers) in [(Some(60), &[("cookie", "user=u1")][..]), (None, &[])] {
        let head = head("/", headers);
        let mut caller = caller(Some(&head));
        caller.hash(&Key::compile(&HashKey::Cookie(cookie(ttl))).unwrap());
        let mut headers = HeaderMap::new();
        caller.give_cookie(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }
}

#[test]
fn lb_21_cookies_have_what_is_asked_for() {
    let full = HashCookie {
        path: Some("/shop".into()),
        attributes: vec![("SameSite".into(), "Strict".into()), ("Secure".into(), "".into())],
        ..cookie(Some(3600))
    };
    for (cookie, expected) in [
        (full, "user=\"1\"; Max-Age=3600; Path=/shop; SameSite=Strict; Secure; HttpOnly"),
        (cookie(Some(0)), "user=\"1\"; HttpOnly"),
    ] {
        assert_eq!(set_cookie(&cookie, "1"), expected);
    }
}
