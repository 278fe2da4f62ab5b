//! What is asked, and what answers mean.

use http::Request;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn option(
    key: &str,
    value: &str,
    append: Option<bool>,
    action: HeaderAppendAction,
) -> proto::HeaderValueOption {
    let header = proto::HeaderValue { key: key.into(), value: value.into(), raw_value: Vec::new() };
    proto::HeaderValueOption { header: Some(header), append, append_action: action.into() }
}

fn response(code: i32, http_response: Option<HttpResponse>) -> proto::CheckResponse {
    let status = mesh_proto::google::rpc::Status { code, ..Default::default() };
    proto::CheckResponse { status: Some(status), http_response }
}

#[test]
fn az_the_request_is_told_as_envoy_tells_it() {
    let request = Request::builder()
        .method("POST")
        .uri("/a?b=c")
        .header("host", "reviews:80")
        .header("x-request-id", "id")
        .header("x-two", "1")
        .header("x-two", "2")
        .header("content-length", "3")
        .body(())
        .unwrap();
    let (head, ()) = request.into_parts();
    let body = Beginning { bytes: Bytes::from_static(b"abc"), complete: true };
    let told = http_request(&head, Some(&body), false);
    assert_eq!(
        (told.method.as_str(), told.path.as_str(), told.host.as_str(), told.scheme.as_str()),
        ("POST", "/a?b=c", "reviews:80", "http")
    );
    assert_eq!((told.id.as_str(), told.size, told.protocol.as_str()), ("id", 3, "HTTP/1.1"));
    assert_eq!((told.body.as_str(), told.raw_body.len()), ("abc", 0));
    let find = |name: &str| told.headers.get(name).map(String::as_str);
    assert_eq!(find("x-two"), Some("1,2"));
    assert_eq!((find(":authority"), find("host")), (Some("reviews:80"), None));
    assert_eq!((find(":path"), find(":method")), (Some("/a?b=c"), Some("POST")));
    assert_eq!(find("x-envoy-auth-partial-body"), Some("false"));
    let packed = http_request(&head, Some(&body), true);
    assert_eq!((packed.body.as_str(), packed.raw_body.as_slice()), ("", &b"abc"[..]));
    assert_eq!(http_request(&head, None, false).headers.get("x-envoy-auth-partial-body"), None);
}

#[test]
fn sec_only_a_whole_message_with_a_good_status_is_an_answer() {
    let body = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let good = [0, 0, 0, 0, 2, 8, 1];
    let ok = headers(&[("grpc-status", "0")]);
    let none = HeaderMap::new();
    assert_eq!(message_of(StatusCode::OK, &none, Some(&ok), body(&good)).unwrap(), body(&[8, 1]));
    assert_eq!(message_of(StatusCode::OK, &ok, None, body(&good)).unwrap(), body(&[8, 1]));
    for (status, trailers, bytes) in [
        (StatusCode::NOT_FOUND, &ok, &good[..]),
        (StatusCode::OK, &none, &good),
        (StatusCode::OK, &headers(&[("grpc-status", "14")]), &good),
        (StatusCode::OK, &headers(&[("grpc-status", "x")]), &good),
        (StatusCode::OK, &ok, &[]),
        (StatusCode::OK, &ok, &good[..6]),
        (StatusCode::OK, &ok, &[0, 0, 0, 0, 1, 8, 1]),
        (StatusCode::OK, &ok, &[0, 255, 255, 255, 255, 8, 1]),
        (StatusCode::OK, &ok, &[1, 0, 0, 0, 2, 8, 1]),
    ] {
        assert!(
            message_of(status, &none, Some(trailers), body(bytes)).is_err(),
            "{status} {trailers:?} {bytes:?}"
        );
    }
}

#[test]
fn az_headers_are_written_as_the_answer_says() {
    use HeaderAppendAction::{AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists};
    let ok = proto::OkHttpResponse {
        headers: vec![
            option("x-replaced", "new", None, AppendIfExistsOrAdd),
            option("x-appended", "new", Some(true), AppendIfExistsOrAdd),
            option("x-there", "new", None, AddIfAbsent),
            option("x-absent", "new", None, OverwriteIfExists),
            option("host", "other", None, AppendIfExistsOrAdd),
        ],
        headers_to_remove: vec!["x-removed".into(), "host".into()],
        response_headers_to_add: vec![option("x-told", "new", None, AppendIfExistsOrAdd)],
    };
    let Ok(Opinion::Consent(changes)) = opinion(response(0, Some(HttpResponse::OkResponse(ok)))) else {
        panic!("it is a consent")
    };
    let mut after = headers(&[
        ("host", "mine"),
        ("x-replaced", "old"),
        ("x-appended", "old"),
        ("x-there", "old"),
        ("x-removed", "old"),
    ]);
    changes.request.apply(&mut after);
    let expected = headers(&[("host", "mine"), ("x-replaced", "new"), ("x-there", "old")]);
    let mut expected: HeaderMap = expected;
    expected.append("x-appended", HeaderValue::from_static("old"));
    expected.append("x-appended", HeaderValue::from_static("new"));
    assert_eq!(after, expected);
    let mut told = HeaderMap::new();
    changes.response.apply(&mut told);
    assert_eq!(told, headers(&[("x-told", "new")]));
}

#[test]
fn az_what_is_no_consent_is_a_denial() {
    let denial = |answer| match opinion(answer) {
        Ok(Opinion::Denial(denied)) => denied,
        other => panic!("{other:?}"),
    };
    assert_eq!(denial(response(7, None)).status, StatusCode::FORBIDDEN);
    let ok = HttpResponse::OkResponse(proto::OkHttpResponse::default());
    assert_eq!(denial(response(7, Some(ok))).status, StatusCode::FORBIDDEN, "the status decides");
    for (code, expected) in [(401, 401), (302, 302), (0, 403), (-5, 403), (70_000, 403), (101, 403)] {
        let denied = proto::DeniedHttpResponse {
            status: Some(proto::HttpStatus { code }),
            headers: vec![option("location", "/login", None, HeaderAppendAction::AppendIfExistsOrAdd)],
            body: "log in".into(),
        };
        let denied = denial(response(16, Some(HttpResponse::DeniedResponse(denied))));
        assert_eq!((denied.status.as_u16(), denied.body.as_ref()), (expected, &b"log in"[..]), "{code}");
        assert_eq!(denied.headers, headers(&[("location", "/login")]));
    }
    assert!(opinion(proto::CheckResponse::default()).is_err(), "it says nothing");
    assert!(matches!(opinion(response(0, None)), Ok(Opinion::Consent(_))));
}
