//! Requests before and after.

use super::*;

fn head(version: Version, request: &str, headers: &[(&str, &str)]) -> Parts {
    let (method, uri) = request.split_once(' ').unwrap();
    let mut builder = http::Request::builder().version(version).method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn normalised(request: &str, headers: &[(&str, &str)]) -> Result<Parts, u16> {
    let mut head = head(Version::HTTP_11, request, headers);
    let kind = Kind::of(&head);
    normalise(&mut head, kind).map(|()| head).map_err(|reply| reply.status.as_u16())
}

fn text<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn cap_28_http_1_0_has_to_upgrade() {
    for (version, expected) in [
        (Version::HTTP_09, Some(426)),
        (Version::HTTP_10, Some(426)),
        (Version::HTTP_11, None),
        (Version::HTTP_2, None),
    ] {
        let mut head = head(version, "GET /", &[("host", "a")]);
        let kind = Kind::of(&head);
        let status = normalise(&mut head, kind).err().map(|reply| reply.status.as_u16());
        assert_eq!(status, expected, "{version:?}");
    }
}

#[test]
fn sec_a_request_has_one_host() {
    for (request, headers, expected) in [
        ("GET /x", &[("host", "a:80")][..], Ok("a:80")),
        ("GET /x", &[("host", "[::1]:80")], Ok("[::1]:80")),
        ("GET http://b/x", &[("host", "a")], Ok("b")),
        ("GET /x", &[], Err(400)),
        ("GET /x", &[("host", "")], Err(400)),
        ("GET /x", &[("host", "a"), ("host", "b")], Err(400)),
        ("GET /x", &[("host", "a b")], Err(400)),
        ("GET /x", &[("host", "a/b")], Err(400)),
        ("GET http://u@b/x", &[], Err(400)),
        ("CONNECT a:80", &[("host", "a:80")], Err(403)),
    ] {
        let host = normalised(request, headers).map(|head| text(&head, "host").unwrap().to_owned());
        assert_eq!(host, expected.map(str::to_owned), "{request} {headers:?}");
    }
}

#[test]
fn sec_paths_have_no_detours() {
    for (path, expected) in [
        ("/", Some("/")),
        ("/a/b?c=/../d", Some("/a/b?c=/../d")),
        ("/a/./b", Some("/a/b")),
        ("/a/../b", Some("/b")),
        ("/a/%2e%2E/b", Some("/b")),
        ("/a/.%2e", Some("/")),
        ("/a/b/..", Some("/a/")),
        ("/a/.", Some("/a/")),
        ("/a/..b/.c", Some("/a/..b/.c")),
        ("/a%20b/x", Some("/a%20b/x")),
        ("/a//b", Some("/a//b")),
        ("/%61dmin/%7Euser/%2D%5F%30", Some("/admin/~user/-_0")),
        ("/%2561dmin", Some("/%2561dmin")),
        ("/a%2Fb", Some("/a%2Fb")),
        ("/a%", Some("/a%")),
        ("/a%2", Some("/a%2")),
        ("/a%+1b", Some("/a%+1b")),
        ("/%%36%31dmin", Some("/admin")),
        ("/a/%%32e./b", Some("/b")),
        ("/a%zz/..", Some("/")),
        ("/a/..%2fadmin", None),
        ("/a/%2e%2e%2Fadmin", None),
        ("/a%5c..%5cadmin", None),
        ("/a%2f.%2fb", None),
        ("/a%00", None),
        ("/a%00/../b", None),
        ("/..", None),
        ("/a/../../b", None),
    ] {
        let normalised = normalised(&format!("GET {path}"), &[("host", "a")]);
        assert_eq!(normalised.as_ref().map(|head| head.uri.to_string()).ok().as_deref(), expected, "{path}");
        if expected.is_none() {
            assert_eq!(normalised.err(), Some(400));
        }
    }
    for bare in ["http://b", "http://b/", "http://b#x", "http://b/#x"] {
        assert_eq!(normalised(&format!("GET {bare}"), &[]).unwrap().uri.to_string(), "/", "{bare}");
    }
    assert_eq!(normalised("OPTIONS *", &[("host", "a")]).unwrap().uri.path(), "*");
}

#[test]
fn sec_headers_of_one_connection_end_here() {
    let headers = [
        ("host", "a"),
        ("connection", "keep-alive, X-Mine, host"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip, trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQ"),
        ("expect", "100-continue"),
        ("x-forwarded-client-cert", "URI=spiffe://forged"),
        ("x-envoy-peer-metadata", "forged"),
        ("x-kept", "2"),
    ];
    let head = normalised("POST /", &headers).unwrap();
    let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["host", "te", "x-forwarded-proto", "x-kept"]);
    assert_eq!(text(&head, "te"), Some("trailers"));
}

#[test]
fn gw_35_a_websocket_handshake_is_kept() {
    let headers =
        [("host", "a"), ("connection", "Upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-key", "k")];
    let head = normalised("GET /", &headers).unwrap();
    assert_eq!((text(&head, "upgrade"), text(&head, "connection")), (Some("WebSocket"), Some("upgrade")));
    assert_eq!(text(&head, "sec-websocket-key"), Some("k"));
}

#[test]
fn what_is_grpc() {
    for (kind, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;x=y", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        assert_eq!(
            Kind::of(&head(Version::HTTP_2, "POST /", &[("content-type", kind)])).grpc,
            expected,
            "{kind}"
        );
    }
}

#[test]
fn cookies_of_http2_become_one() {
    let head = normalised("GET /", &[("host", "a"), ("cookie", "a=1"), ("cookie", "b=2")]).unwrap();
    assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
}
