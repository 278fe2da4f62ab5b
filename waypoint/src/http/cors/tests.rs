//! What pages are told, by the behaviours' IDs.

use std::time::Duration;

use http::{HeaderMap, Request};
use mesh_model::ValueMatch;

use super::*;

fn policy() -> mesh_model::Cors {
    mesh_model::Cors {
        origins: vec![
            ValueMatch::Exact("https://www.foo.com".into()),
            ValueMatch::Regex(r"https://[^/]+\.bar\.com".into()),
        ],
        methods: vec!["POST".into(), "GET".into()],
        headers: vec!["x-header".into(), "content-type".into()],
        exposed_headers: vec!["x-exposed".into()],
        max_age: Some(Duration::from_secs(86_400)),
        credentials: false,
        forwards_unmatched_preflights: true,
    }
}

fn everything(credentials: bool) -> mesh_model::Cors {
    mesh_model::Cors {
        origins: vec![ValueMatch::Presence],
        methods: vec!["*".into()],
        headers: vec!["*".into()],
        credentials,
        ..mesh_model::Cors::default()
    }
}

/// The answer to a preflight request, if it is answered here.
fn preflight(cors: &mesh_model::Cors, origin: &str) -> Option<(StatusCode, HeaderMap)> {
    let request = Request::options("/")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-asked")
        .body(())
        .unwrap();
    let mut edits = Edits::default();
    let shared = compiled(cors).share(&request.into_parts().0, &mut edits);
    assert_eq!(edits, Edits::default());
    let response = shared.err()?.into_response(false);
    Some((response.status(), response.headers().clone()))
}

/// What the answer to another request says.
fn simple(cors: &mesh_model::Cors, method: &str, origin: Option<&str>) -> HeaderMap {
    let mut request = Request::builder().method(method).uri("/");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let mut edits = Edits::default();
    assert!(compiled(cors).share(&request.body(()).unwrap().into_parts().0, &mut edits).is_ok());
    let mut headers =
        HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("backend's"))]);
    edits.apply(&mut headers);
    headers
}

fn compiled(cors: &mesh_model::Cors) -> Cors {
    let mut problems = Vec::new();
    let compiled = Cors::compile(cors, &mut problems);
    assert_eq!(problems, Vec::<String>::new());
    compiled
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn l7_13_gw_29_a_preflight_request_is_answered_for_origins_that_match() {
    for origin in ["https://www.foo.com", "https://a.bar.com", "https://a.b.bar.com"] {
        let (status, headers) = preflight(&policy(), origin).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_ORIGIN), Some(origin));
        assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_METHODS), Some("POST,GET"));
        assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_HEADERS), Some("x-header,content-type"));
        assert_eq!(text(&headers, ACCESS_CONTROL_MAX_AGE), Some("86400"));
        assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
    }
    let others =
        ["https://foo.com", "http://www.foo.com", "https://bar.com", "https://a.bar.com.evil.org", ""];
    for origin in others {
        assert!(preflight(&policy(), origin).is_none(), "{origin} goes to the backend");
        let here = mesh_model::Cors { forwards_unmatched_preflights: false, ..policy() };
        let (status, headers) = preflight(&here, origin).unwrap();
        assert_eq!((status, headers.len()), (StatusCode::OK, 0), "{origin}");
    }
}

#[test]
fn l7_13_other_requests_are_told_whether_their_origin_matches() {
    let told = simple(&policy(), "GET", Some("https://www.foo.com"));
    assert_eq!(text(&told, ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://www.foo.com"));
    assert_eq!(text(&told, ACCESS_CONTROL_EXPOSE_HEADERS), Some("x-exposed"));
    assert_eq!(told.len(), 2);
    for origin in [None, Some("https://foo.com")] {
        let told = simple(&policy(), "GET", origin);
        assert_eq!(text(&told, ACCESS_CONTROL_ALLOW_ORIGIN), Some("backend's"), "{origin:?}");
        assert_eq!(told.len(), 1);
    }
    // No preflight request: it asks for no method.
    let told = simple(&policy(), "OPTIONS", Some("https://www.foo.com"));
    assert_eq!(text(&told, ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://www.foo.com"));
}

#[test]
fn gw_30_wildcards_with_and_without_credentials() {
    let (_, headers) = preflight(&everything(false), "https://any.org").unwrap();
    for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_HEADERS] {
        assert_eq!(text(&headers, name), Some("*"));
    }
    assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
    let (_, headers) = preflight(&everything(true), "https://any.org").unwrap();
    assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://any.org"));
    assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_METHODS), Some("PUT"));
    assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_HEADERS), Some("x-asked"));
    assert_eq!(text(&headers, ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));
    let told = simple(&everything(true), "POST", Some("https://any.org"));
    assert_eq!(text(&told, ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));
}

#[test]
fn sec_what_is_no_pattern_allows_nobody() {
    let broken = mesh_model::Cors { origins: vec![ValueMatch::Regex("(".into())], ..policy() };
    let mut problems = Vec::new();
    let compiled = Cors::compile(&broken, &mut problems);
    assert_eq!((compiled.origins.len(), problems.len()), (0, 1));
}
