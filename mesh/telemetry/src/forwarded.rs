//! `forwarded`: for whom a tunnel was opened, and which service they asked for (HB-03, HB-28).

use std::net::SocketAddr;

/// The header's value.
pub fn encode(client: SocketAddr, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("for=\"{client}\";host={host}"),
        None => format!("for=\"{client}\""),
    }
}

/// The `host` a header names, with or without quotes.
pub fn find_host(header: &str) -> Option<&str> {
    let mut parameters = header.split([';', ',']).filter_map(|parameter| parameter.trim().split_once('='));
    let (_, host) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
    let host = host.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')).unwrap_or(host);
    (!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hb_03_addresses_are_in_quotes_and_hosts_are_not() {
        let client = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(encode(client("10.0.0.1:80"), None), "for=\"10.0.0.1:80\"");
        assert_eq!(encode(client("[::1]:80"), Some("a.b")), "for=\"[::1]:80\";host=a.b");
    }

    #[test]
    fn hb_28_a_host_may_be_quoted() {
        for (header, host) in [
            ("for=\"10.0.0.1:80\";host=a.b", Some("a.b")),
            ("for=\"[::1]:80\";host=\"a.b\"", Some("a.b")),
            ("host=a.b;for=x", Some("a.b")),
            ("for=x; Host=a.b", Some("a.b")),
            ("for=x", None),
            ("for=x;host=", None),
            ("for=x;host=\"\"", None),
            ("for=x;host=\"a", None),
            ("for=x;host=bücher", None),
            ("", None),
        ] {
            assert_eq!(find_host(header), host, "{header}");
        }
    }
}
