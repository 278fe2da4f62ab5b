//! A request is made uniform: one host, no detours in its path however they are spelled, as
//! RFC 3986 has it, nothing of one connection; and done twice it is done once.
#![no_main]

use adit_fuzz::head;
use http::request::Parts;
use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::normalise;

/// No further than this connection, or said by proxies alone.
const GONE: [&str; 8] = [
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "http2-settings",
    "expect",
    "x-forwarded-client-cert",
    "x-envoy-peer-metadata",
    "x-envoy-original-path",
];

fuzz_target!(|data: &[u8]| {
    let Some(mut head) = head::read(data) else { return };
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().map(str::to_owned));
    let websocket = match normalise(&mut head) {
        Ok(websocket) => websocket,
        Err(status) => return assert!(status.is_client_error()),
    };
    check_path(&path, head.uri.path());
    assert_eq!(head.uri.query(), query.as_deref());
    assert!(head.uri.authority().is_none() && head.uri.scheme().is_none());
    assert_eq!(head.headers.get_all("host").iter().count(), 1);
    assert!(head.headers.get_all("cookie").iter().count() <= 1);
    for name in GONE {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    for name in ["connection", "upgrade"] {
        assert_eq!(head.headers.contains_key(name), websocket, "{name}");
    }
    let mut again = copy(&head);
    assert_eq!(normalise(&mut again), Ok(websocket));
    assert_eq!((again.uri, again.headers), (head.uri, head.headers));
});

fn check_path(before: &str, after: &str) {
    if after == "*" {
        return assert_eq!(before, "*");
    }
    assert!(after.starts_with('/'), "{before:?} became {after:?}");
    assert_eq!(after, without_dots(&plain(before)), "{before:?}");
    for segment in plain(after).split('/') {
        assert!(segment != "." && segment != "..", "{before:?} became {after:?}");
    }
}

fn plain(path: &str) -> String {
    let path = if path.is_empty() { "/" } else { path };
    let mut plain = path.replace('\\', "/");
    loop {
        let before = plain.clone();
        for byte in (0..=u8::MAX).filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            let character = char::from(byte).to_string();
            for escape in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
                plain = plain.replace(&escape, &character);
            }
        }
        if plain == before {
            return plain;
        }
    }
}

/// RFC 3986 §5.2.4, to the letter.
fn without_dots(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if input.starts_with("/./") {
            input.replace_range(..2, "");
        } else if input == "/." {
            input = "/".to_owned();
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |place| place + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}

fn copy(head: &Parts) -> Parts {
    let mut copy = http::Request::new(()).into_parts().0;
    (copy.method, copy.uri, copy.version) = (head.method.clone(), head.uri.clone(), head.version);
    copy.headers = head.headers.clone();
    copy
}
