//! Changes to headers, parsed once.

use http::header::{self, HOST, HeaderMap, HeaderName, HeaderValue};
use mesh_model::HeaderChange;

/// Changes in the order remove, set, add. Headers that say how a message is framed stay as they are.
#[derive(Debug, Default)]
pub(crate) struct HeaderEdit {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdit {
    /// The changes that can be made; why not, for each that cannot, goes to `problems`.
    pub(crate) fn compile(change: &HeaderChange, problems: &mut Vec<String>) -> HeaderEdit {
        let mut edit = HeaderEdit::default();
        for name in &change.remove {
            keep(&mut edit.remove, parse_name(name), problems);
        }
        for (name, value) in &change.set {
            keep(&mut edit.set, parse_pair(name, value), problems);
        }
        for (name, value) in &change.add {
            keep(&mut edit.add, parse_pair(name, value), problems);
        }
        // A request without a host is none; a second host is an attack.
        edit.remove.retain(|name| name != HOST);
        let (hosts, add) = edit.add.into_iter().partition(|(name, _)| name == HOST);
        edit.add = add;
        edit.set.extend::<Vec<_>>(hosts);
        edit
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

fn keep<T>(kept: &mut Vec<T>, parsed: Result<T, String>, problems: &mut Vec<String>) {
    match parsed {
        Ok(parsed) => kept.push(parsed),
        Err(problem) => problems.push(problem),
    }
}

fn parse_pair(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = value.parse().map_err(|_| format!("{value:?} is not a value for header {name}"))?;
    Ok((parse_name(name)?, parsed))
}

fn parse_name(name: &str) -> Result<HeaderName, String> {
    // The authority of a request is its Host header until it is sent (L7-03).
    let parsed = match name {
        ":authority" => HOST,
        name => name.parse().map_err(|_| format!("{name:?} is not a header name"))?,
    };
    if is_framing(&parsed) { Err(format!("header {name} cannot be changed")) } else { Ok(parsed) }
}

/// Headers that say how a message is framed, or concern one connection only.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    let of_connection = [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE];
    of_connection.contains(name)
        || [header::CONTENT_LENGTH.as_str(), "keep-alive", "proxy-connection"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(std::sync::Arc<str>, std::sync::Arc<str>)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn changed(change: HeaderChange, before: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let edit = HeaderEdit::compile(&change, &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        let mut headers: HeaderMap =
            before.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        edit.apply(&mut headers);
        let text = |(n, v): (&HeaderName, &HeaderValue)| (n.to_string(), v.to_str().unwrap().to_owned());
        let mut all: Vec<_> = headers.iter().map(text).collect();
        all.sort();
        all
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    #[test]
    fn gw_10_set_add_remove_whatever_the_case() {
        let change = HeaderChange {
            set: pairs(&[("X-Set", "new"), ("x-new", "1")]),
            add: pairs(&[("X-ADD", "second"), ("x-removed", "back")]),
            remove: vec!["X-Removed".into(), "x-absent".into()],
        };
        let after =
            changed(change, &[("x-set", "old"), ("x-add", "first"), ("x-removed", "gone"), ("x-kept", "k")]);
        let all = [
            ("x-add", "first"),
            ("x-add", "second"),
            ("x-kept", "k"),
            ("x-new", "1"),
            ("x-removed", "back"),
            ("x-set", "new"),
        ];
        assert_eq!(after, expected(&all));
    }

    #[test]
    fn l7_03_the_authority_is_set_like_a_header_and_stays_one() {
        for name in ["Host", ":authority"] {
            for change in [
                HeaderChange { set: pairs(&[(name, "other")]), ..HeaderChange::default() },
                HeaderChange { add: pairs(&[(name, "other")]), ..HeaderChange::default() },
            ] {
                assert_eq!(changed(change, &[("host", "mine")]), expected(&[("host", "other")]), "{name}");
            }
        }
        let removed = HeaderChange { remove: vec!["host".into()], ..HeaderChange::default() };
        assert_eq!(changed(removed, &[("host", "mine")]), expected(&[("host", "mine")]));
    }

    #[test]
    fn sec_framing_cannot_be_changed_and_bad_changes_are_named() {
        let change = HeaderChange {
            set: pairs(&[("Content-Length", "0"), ("a b", "x"), ("x-ok", "a\nb"), ("x-good", "1")]),
            add: pairs(&[("Transfer-Encoding", "chunked"), ("connection", "x-good")]),
            remove: vec!["content-length".into(), "".into()],
        };
        let mut problems = Vec::new();
        let edit = HeaderEdit::compile(&change, &mut problems);
        assert_eq!(problems.len(), 7, "{problems:?}");
        assert!(problems.contains(&"header Content-Length cannot be changed".to_owned()), "{problems:?}");
        let mut headers = HeaderMap::new();
        edit.apply(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
