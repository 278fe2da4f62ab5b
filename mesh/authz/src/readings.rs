//! The values of an attribute: as they are written, and as somebody behind the waypoint may read them.
//!
//! A server may take `/admin%2Fx;a=b` for `/admin/x`, or `example.com:80` for `example.com`. What denies has to
//! hold for those readings as well, what allows only for the literal one: so neither can be walked around.

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;
use mesh_model::{Attribute, Identity};
use percent_encoding::percent_decode_str;

use crate::Call;

/// How far a condition reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Values as they are written.
    Literal,
    /// These, and the others that they may be read as.
    Wide,
}

/// One value of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    /// A text of which case means nothing.
    Name(&'a str),
    Ip(IpAddr),
    Port(u16),
    Account(&'a Identity),
    /// It is there, but nobody can tell what it is; only found by those that reach wide.
    Unreadable,
}

/// Whether the test holds for one of an attribute's values.
pub(crate) fn any(
    attribute: &Attribute,
    call: &Call<'_>,
    reach: Reach,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> bool {
    let identity = call.connection.source_identity;
    match attribute {
        Attribute::SourcePrincipal => identity.is_some_and(|it| test(Value::Text(&it.principal()))),
        Attribute::SourceNamespace => identity.is_some_and(|it| test(Value::Text(&it.namespace))),
        Attribute::SourceTrustDomain => identity.is_some_and(|it| test(Value::Text(&it.trust_domain))),
        Attribute::SourceServiceAccount => identity.is_some_and(|it| test(Value::Account(it))),
        Attribute::SourceIp => test(Value::Ip(call.connection.source)),
        Attribute::RemoteIp => match call.remote {
            Some(ip) => test(Value::Ip(ip)),
            None => reach == Reach::Wide && test(Value::Unreadable),
        },
        Attribute::DestinationIp => test(Value::Ip(call.connection.destination.ip())),
        Attribute::DestinationPort => test(Value::Port(call.connection.destination.port())),
        Attribute::ConnectionSni => call.sni.is_some_and(|name| test(Value::Name(name))),
        of_request => any_of_request(of_request, call, reach, test),
    }
}

fn any_of_request(
    attribute: &Attribute,
    call: &Call<'_>,
    reach: Reach,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> bool {
    let Some(request) = call.request else { return false };
    let wide = reach == Reach::Wide;
    let token = request.token;
    match attribute {
        Attribute::Method => test(Value::Text(request.method)),
        Attribute::Host => {
            test(Value::Name(request.host)) || (wide && test(Value::Name(without_port(request.host))))
        }
        Attribute::Path => {
            test(Value::Text(request.path)) || (wide && test(Value::Text(&as_servers_read(request.path))))
        }
        Attribute::Header(name) => any_header(request.headers, name, wide, test),
        Attribute::TokenPrincipal => {
            token.and_then(|it| it.principal()).is_some_and(|it| test(Value::Text(&it)))
        }
        Attribute::TokenPresenter => {
            token.and_then(|it| it.presenter()).is_some_and(|it| test(Value::Text(it)))
        }
        Attribute::TokenAudience => {
            token.is_some_and(|it| it.any_audience(&mut |text| test(Value::Text(text))))
        }
        Attribute::TokenClaim(path) => {
            token.is_some_and(|it| it.any_claim(path, &mut |text| test(Value::Text(text))))
        }
        // The others are of connections.
        _ => false,
    }
}

/// Several lines are one, joined by commas; a server may look at one of them alone.
fn any_header(headers: &HeaderMap, name: &str, wide: bool, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let mut lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let Some(first) = lines.next() else { return false };
    let rest: Vec<Cow<'_, str>> = lines.collect();
    if rest.is_empty() {
        return test(Value::Text(&first));
    }
    let joined = rest.iter().fold(first.to_string(), |joined, line| joined + "," + line);
    test(Value::Text(&joined))
        || (wide && (test(Value::Text(&first)) || rest.iter().any(|line| test(Value::Text(line)))))
}

/// A host without its port, and without the dot that ends a complete name.
fn without_port(host: &str) -> &str {
    let end = match host.rfind(':') {
        Some(at)
            if host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()) && !host[..at].ends_with(':') =>
        {
            at
        }
        _ => host.len(),
    };
    host[..end].trim_end_matches('.')
}

/// The path as servers may read it that decode slashes, merge them, and know parameters of segments.
fn as_servers_read(path: &str) -> String {
    let mut segments: Vec<String> = Vec::new();
    let decoded = percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
    let ends_with_slash = decoded.ends_with('/');
    for part in decoded.split('/') {
        match part.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment.to_owned()),
        }
    }
    let end = if ends_with_slash && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_how_servers_may_read_a_path() {
        for (path, expected) in [
            ("/", "/"),
            ("/admin", "/admin"),
            ("/admin/", "/admin/"),
            ("/admin%2Fx", "/admin/x"),
            ("//admin///x", "/admin/x"),
            ("/admin;a=b/x;c", "/admin/x"),
            ("/a/..%2fadmin", "/admin"),
            ("/a%5C..%5cadmin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/../admin", "/admin"),
            ("/.;x/admin", "/admin"),
            ("*", "/*"),
        ] {
            assert_eq!(as_servers_read(path), expected, "{path}");
        }
    }

    #[test]
    fn sec_how_servers_may_read_a_host() {
        for (host, expected) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:443", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), expected, "{host}");
        }
    }
}
