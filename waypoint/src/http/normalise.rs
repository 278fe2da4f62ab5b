//! Requests as the steps after this one expect them: HTTP/1.1 or 2, one host, a
//! path without detours, nothing in the headers that concerns only one
//! connection or pretends to come from a proxy.

use http::header::{self, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::grpc_web::Form;
use super::headers::is_framing;
use super::reply::Reply;

/// What only proxies may say; a client's claim is worth nothing (CAP-14, SEC-12).
static SAID_BY_PROXIES: [HeaderName; 4] = [
    HeaderName::from_static("x-envoy-peer-metadata"),
    HeaderName::from_static("x-envoy-peer-metadata-id"),
    HeaderName::from_static("x-forwarded-client-cert"),
    HeaderName::from_static("x-envoy-original-path"),
];
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What concerns one connection alone, whatever `Connection` lists.
static OF_CONNECTIONS: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    HeaderName::from_static("http2-settings"),
];

/// What is known of a request before anything is done with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) grpc: bool,
    /// It wants to speak WebSocket afterwards.
    pub(crate) websocket: bool,
    /// It has come as gRPC-web, and is to be answered so.
    pub(crate) grpc_web: Option<Form>,
}

impl Kind {
    pub(crate) fn of(head: &Parts) -> Kind {
        let websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
        let upgrade = head.headers.get(header::UPGRADE).is_some_and(websocket);
        let asked =
            tokens(&head.headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
        let websocket = upgrade && asked && head.version == Version::HTTP_11;
        Kind { grpc: is_grpc(&head.headers), websocket, grpc_web: None }
    }

    /// The same for a request that has been made one of gRPC, if it was.
    pub(crate) fn or_grpc_web(self, form: Option<Form>) -> Kind {
        Kind { grpc: self.grpc || form.is_some(), grpc_web: form, ..self }
    }
}

/// Whether a message is one of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Normalises a request, or says why it is none.
pub(crate) fn normalise(head: &mut Parts, kind: Kind) -> Result<(), Reply> {
    if head.version < Version::HTTP_11 {
        // CAP-28.
        return Err(Reply::new(StatusCode::UPGRADE_REQUIRED, "low_version")
            .with_header(header::UPGRADE, HeaderValue::from_static("HTTP/1.1")));
    }
    if head.method == Method::CONNECT {
        return Err(Reply::new(StatusCode::FORBIDDEN, "upgrade_failed"));
    }
    if !is_understood(&head.headers) {
        return Err(Reply::new(StatusCode::BAD_REQUEST, "unknown_transfer_encoding"));
    }
    let host = find_host(head).ok_or_else(|| Reply::new(StatusCode::BAD_REQUEST, "missing_host_header"))?;
    let path = find_path(&head.uri)
        .ok_or_else(|| Reply::new(StatusCode::BAD_REQUEST, "path_normalization_failed"))?;
    strip_connection_headers(&mut head.headers, kind.websocket);
    head.headers.insert(HOST, host);
    head.uri = Uri::from(path);
    // Of `http://host#fragment` a path is left that is there and empty.
    if head.uri.path().is_empty() {
        head.uri = Uri::from_static("/");
    }
    join_cookies(&mut head.headers);
    // Whoever reads the body has answered the expectation.
    head.headers.remove(header::EXPECT);
    for name in &SAID_BY_PROXIES {
        head.headers.remove(name);
    }
    if !head.headers.contains_key(FORWARDED_PROTO) {
        head.headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    Ok(())
}

/// Whether the body has come in no encoding but the one that is taken off here. What came in more would reach
/// a backend that does not hear of it.
fn is_understood(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// The one host a request names. The request line counts before the header (RFC 9112 §3.2.2).
fn find_host(head: &Parts) -> Option<HeaderValue> {
    let mut named = head.headers.get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return None;
    }
    let host = match head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok()?,
        None => first?.clone(),
    };
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte);
    host.as_bytes().iter().all(allowed).then_some(host).filter(|host| !host.is_empty())
}

/// The path without `.` and `..`, and without escapes of what needs none, however they are spelled, so that no rule
/// can be walked around. None if what is behind an escaped slash would walk around one, or ends texts of others.
fn find_path(uri: &Uri) -> Option<PathAndQuery> {
    let Some(given) = uri.path_and_query() else { return Some(PathAndQuery::from_static("/")) };
    let path = given.path();
    if path == "*" || !(path.contains("/.") || path.contains('%') || path.contains('\\')) {
        return Some(given.clone());
    }
    let unescaped = unescape(path).replace('\\', "/");
    if unescaped.contains("%00") || hides_detours(&unescaped) {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = unescaped.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop()?;
                }
                if last {
                    segments.push("");
                }
            }
            other => segments.push(other),
        }
    }
    let query = given.query().map(|query| format!("?{query}")).unwrap_or_default();
    PathAndQuery::try_from(format!("/{}{query}", segments.join("/"))).ok()
}

/// Without the escapes of letters, digits, `-`, `.`, `_` and `~`, which mean the same as what they stand for
/// (RFC 3986 §6.2.2.2), those that come about by it included.
fn unescape(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    for character in path.chars() {
        plain.push(character);
        while let Some(unreserved) = ending_escape(&plain) {
            plain.truncate(plain.len() - 3);
            plain.push(unreserved);
        }
    }
    plain
}

/// What the escape stands for that a text ends with, if it needs none.
fn ending_escape(text: &str) -> Option<char> {
    let digits = text.as_bytes().last_chunk::<3>()?.strip_prefix(b"%")?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
    (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).then(|| char::from(byte))
}

/// A server that takes escaped slashes for slashes would find `.` or `..` between them.
fn hides_detours(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    if !lower.contains("%2f") && !lower.contains("%5c") {
        return false;
    }
    let decoded = lower.replace("%2f", "/").replace("%5c", "/");
    // Detours between plain slashes are taken out later, and hide nothing.
    let count = |path: &str| path.split('/').filter(|part| matches!(*part, "." | "..")).count();
    count(&decoded) > count(path)
}

/// Removes what concerns one connection alone (RFC 9110 §7.6.1). A WebSocket handshake keeps its own.
pub(crate) fn strip_connection_headers(headers: &mut HeaderMap, websocket: bool) {
    // Most messages have none of them.
    if !headers.keys().any(|name| OF_CONNECTIONS.contains(name)) {
        return;
    }
    let upgrade = headers.get(header::UPGRADE).cloned().filter(|_| websocket);
    let trailers = tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let listed: Vec<HeaderName> =
        tokens(headers, &header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in listed.iter().filter(|name| *name != HOST && *name != header::CONTENT_LENGTH) {
        headers.remove(name);
    }
    for name in &OF_CONNECTIONS {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::UPGRADE, upgrade);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    debug_assert!(headers.keys().all(|name| websocket || !is_framing(name) || is_kept(name)));
}

fn is_kept(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TE].contains(name)
}

/// The elements of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// HTTP/2 may split cookies into lines, HTTP/1 may not.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests;
