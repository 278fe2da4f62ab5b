//! Patterns for values of a request, compiled once.

use std::sync::Arc;

use mesh_model::ValueMatch;
use regex::{Regex, RegexBuilder};

/// What one compiled expression may take, so that no route can eat the proxy's memory.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum Pattern {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    /// By path segment; without the slash at the end, so empty for `/`.
    Segments(Arc<str>),
    Regex(Box<Regex>),
    Presence,
}

/// How much of a path matched; what stands for it replaces that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathMatched {
    /// All of it.
    Whole,
    /// So many bytes.
    Prefix(usize),
    /// So many bytes, of whole segments.
    Segments(usize),
}

/// An expression, compiled within limits. It follows RE2 as far as routes go.
pub(crate) fn compile_regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(LARGEST_EXPRESSION).dfa_size_limit(LARGEST_EXPRESSION).build()
}

impl Pattern {
    pub(crate) fn compile(value: &ValueMatch) -> Result<Pattern, regex::Error> {
        Ok(match value {
            ValueMatch::Exact(text) => Pattern::Exact(text.clone()),
            ValueMatch::Prefix(text) => Pattern::Prefix(text.clone()),
            ValueMatch::PathPrefix(text) => Pattern::Segments(text.trim_end_matches('/').into()),
            // No expression at all, but the usual way to write "whatever it is" (L7-15).
            ValueMatch::Regex(text) if &**text == "*" => Pattern::Presence,
            ValueMatch::Regex(text) => Pattern::Regex(Box::new(compile_regex(&format!(r"\A(?:{text})\z"))?)),
            ValueMatch::Presence => Pattern::Presence,
        })
    }

    /// The one text that matches, if there is just one.
    pub(super) fn exact(&self) -> Option<&str> {
        match self {
            Pattern::Exact(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        self.match_path(value, false).is_some()
    }

    /// Whether a path matches, and how much of it. Case can be ignored for all but expressions.
    pub(crate) fn match_path(&self, path: &str, ignore_case: bool) -> Option<PathMatched> {
        let starts_with = |prefix: &str| match path.as_bytes().get(..prefix.len()) {
            Some(start) if ignore_case => start.eq_ignore_ascii_case(prefix.as_bytes()),
            Some(start) => start == prefix.as_bytes(),
            None => false,
        };
        match self {
            Pattern::Exact(text) => {
                (path.len() == text.len() && starts_with(text)).then_some(PathMatched::Whole)
            }
            Pattern::Prefix(text) => starts_with(text).then_some(PathMatched::Prefix(text.len())),
            Pattern::Segments(text) => {
                let ends_there = matches!(path.as_bytes().get(text.len()), None | Some(b'/'));
                (starts_with(text) && ends_there).then_some(PathMatched::Segments(text.len()))
            }
            Pattern::Regex(regex) => regex.is_match(path).then_some(PathMatched::Whole),
            Pattern::Presence => Some(PathMatched::Whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(value: ValueMatch) -> Pattern {
        Pattern::compile(&value).unwrap()
    }

    #[test]
    fn gw_03_path_prefix_goes_by_segment() {
        for (prefix, path, expected) in [
            ("/v2", "/v2", Some(3)),
            ("/v2", "/v2/", Some(3)),
            ("/v2", "/v2/x", Some(3)),
            ("/v2/", "/v2/x", Some(3)),
            ("/v2/", "/v2", Some(3)),
            ("/v2", "/v2example", None),
            ("/v2", "/v", None),
            ("/", "/anything", Some(0)),
            ("/", "/", Some(0)),
            ("/V2", "/v2/x", None),
        ] {
            let matched = pattern(ValueMatch::PathPrefix(prefix.into())).match_path(path, false);
            assert_eq!(matched, expected.map(PathMatched::Segments), "{prefix} {path}");
        }
    }

    #[test]
    fn l7_14_expressions_match_all_of_it() {
        for (regex, value, expected) in [
            (".*", "", true),
            ("/a|/b", "/b", true),
            ("/a|/b", "/bc", false),
            ("v[0-9]+", "xv1", false),
            ("(?i)ABC", "abc", true),
            (r"\d+", "42", true),
            ("a$", "a\n", false),
        ] {
            let pattern = pattern(ValueMatch::Regex(regex.into()));
            assert_eq!(pattern.matches(value), expected, "{regex} {value:?}");
        }
    }

    #[test]
    fn case_is_ignored_where_asked_for() {
        let exact = pattern(ValueMatch::Exact("/Info".into()));
        assert_eq!(exact.match_path("/iNFO", true), Some(PathMatched::Whole));
        assert_eq!(exact.match_path("/iNFO", false), None);
        let prefix = pattern(ValueMatch::Prefix("/Info".into()));
        assert_eq!(prefix.match_path("/infox", true), Some(PathMatched::Prefix(5)));
        assert_eq!(prefix.match_path("/inf", true), None);
    }

    #[test]
    fn sec_an_expression_cannot_grow_without_limit() {
        for regex in ["(((a{100}){100}){100}){100}", "(", r"(?P<x>a)\1"] {
            assert!(Pattern::compile(&ValueMatch::Regex(regex.into())).is_err(), "{regex}");
        }
        // What takes other engines exponential time takes this one linear time.
        let hostile = pattern(ValueMatch::Regex("(a+)+b".into()));
        assert!(!hostile.matches(&"a".repeat(50_000)));
    }
}
