//! The names that a wildcard stands for.

use std::iter::once;
use std::sync::Arc;

use crate::upstream::host_of;

const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The host of an authority, in lower case and without the dot that may end it, if a wildcard stands for it.
pub(super) fn host_under(wildcard: &str, authority: &str) -> Option<Arc<str>> {
    let suffix = wildcard.strip_prefix('*')?;
    let host = host_of(authority).to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let own = host.strip_suffix(suffix)?;
    let is_name = host.len() <= LONGEST_NAME && host.split('.').all(is_label);
    (!own.is_empty() && is_name).then(|| host.into())
}

/// Nothing that a resolver could take for anything but a part of a name.
fn is_label(label: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(is_part)
}

/// The host itself and the wildcards that stand for it, the closest first.
pub(super) fn broader_names(host: &str) -> impl Iterator<Item = String> {
    let parents = host.match_indices('.').map(|(dot, _)| format!("*{}", &host[dot..]));
    once(host.to_owned()).chain(parents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eg_16_only_what_the_wildcard_stands_for() {
        for (authority, expected) in [
            ("api.example.com", Some("api.example.com")),
            ("API.Example.COM:8443", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("a.b.example.com", Some("a.b.example.com")),
            ("_dns.example.com", Some("_dns.example.com")),
            ("example.com", None),
            (".example.com", None),
            ("a..example.com", None),
            ("api.example.com..", None),
            ("badexample.com", None),
            ("api.example.com.evil.org", None),
            ("127.0.0.1", None),
            ("[::1]:80", None),
            ("a b.example.com", None),
            ("169.254.169.254/.example.com", None),
            ("user@api.example.com", None),
            ("*.example.com", None),
            ("", None),
        ] {
            assert_eq!(host_under("*.example.com", authority).as_deref(), expected, "{authority:?}");
        }
        let long = format!("{}.example.com", "a".repeat(64));
        assert_eq!(host_under("*.example.com", &long), None);
        let longest = format!("{}example.com", "a.".repeat(122));
        assert_eq!(host_under("*.example.com", &longest), None);
    }

    #[test]
    fn closer_names_come_first() {
        let names: Vec<_> = broader_names("a.b.example.com").collect();
        assert_eq!(names, ["a.b.example.com", "*.b.example.com", "*.example.com", "*.com"]);
    }
}
