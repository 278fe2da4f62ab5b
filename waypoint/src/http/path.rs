//! Changes to a path. The query stays, unless the new path brings its own.

use std::sync::Arc;

use http::uri::PathAndQuery;
use mesh_model::PathChange;
use regex::Regex;

use crate::routes::{PathMatched, compile_regex};

/// A compiled change.
#[derive(Debug)]
pub(crate) enum PathEdit {
    Full(Arc<str>),
    /// Stands for what the rule's condition matched.
    Prefix(Arc<str>),
    Regex(Box<Regex>, String),
}

impl PathEdit {
    pub(crate) fn compile(change: &PathChange) -> Result<PathEdit, String> {
        Ok(match change {
            PathChange::Full(path) => PathEdit::Full(path.clone()),
            PathChange::Prefix(prefix) => PathEdit::Prefix(prefix.clone()),
            PathChange::Regex { pattern, substitution } => {
                let regex = compile_regex(pattern).map_err(|error| format!("path rewrite: {error}"))?;
                PathEdit::Regex(Box::new(regex), substitution_of(substitution))
            }
        })
    }

    /// The changed path; none when the result is no path.
    pub(crate) fn apply(&self, old: &PathAndQuery, matched: PathMatched) -> Option<PathAndQuery> {
        let path = match self {
            PathEdit::Full(path) => path.to_string(),
            PathEdit::Prefix(prefix) => replace_prefix(old.path(), prefix, matched),
            PathEdit::Regex(regex, substitution) => regex.replace_all(old.path(), substitution).into_owned(),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let new = match old.query().filter(|_| !path.contains('?')) {
            Some(query) => format!("{slash}{path}?{query}"),
            None => format!("{slash}{path}"),
        };
        PathAndQuery::try_from(new).ok()
    }
}

fn replace_prefix(path: &str, prefix: &str, matched: PathMatched) -> String {
    let rest = match matched {
        PathMatched::Whole => return prefix.to_owned(),
        PathMatched::Prefix(length) | PathMatched::Segments(length) => &path[length..],
    };
    // Where both sides have a slash at the seam, one of them is enough.
    let prefix = if rest.starts_with('/') { prefix.trim_end_matches('/') } else { prefix };
    format!("{prefix}{rest}")
}

/// From RE2's notation, `\1`, to ours, `${1}`.
fn substitution_of(re2: &str) -> String {
    let mut ours = String::with_capacity(re2.len());
    let mut characters = re2.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                ours.extend(["${", digit.encode_utf8(&mut [0; 4]), "}"]);
                characters.next();
            }
            ('\\', Some('\\')) => {
                ours.push('\\');
                characters.next();
            }
            ('$', _) => ours.push_str("$$"),
            (other, _) => ours.push(other),
        }
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(change: PathChange, old: &str, matched: PathMatched) -> Option<String> {
        let old: PathAndQuery = old.parse().unwrap();
        PathEdit::compile(&change).unwrap().apply(&old, matched).map(|new| new.to_string())
    }

    #[test]
    fn gw_20_prefix_is_replaced_by_segment() {
        use PathMatched::Segments;
        for (path, matched, prefix, expected) in [
            ("/foo/bar", Segments(4), "/xyz", "/xyz/bar"),
            ("/foo/bar", Segments(4), "/xyz/", "/xyz/bar"),
            ("/foo/", Segments(4), "/xyz", "/xyz/"),
            ("/foo", Segments(4), "/xyz", "/xyz"),
            ("/foo/bar", Segments(4), "/", "/bar"),
            ("/foo", Segments(4), "/", "/"),
            ("/foo", Segments(4), "", "/"),
            ("/foo?a=/b", Segments(4), "/x", "/x?a=/b"),
            ("/foo", Segments(0), "/x", "/x/foo"),
            ("/", Segments(0), "/x", "/x/"),
        ] {
            assert_eq!(
                applied(PathChange::Prefix(prefix.into()), path, matched).as_deref(),
                Some(expected),
                "{path} {prefix}"
            );
        }
    }

    #[test]
    fn l7_08_what_follows_a_plain_prefix_stays() {
        use PathMatched::{Prefix, Whole};
        for (path, matched, prefix, expected) in [
            ("/old/path/more?q", Prefix(9), "/new", "/new/more?q"),
            ("/v1x", Prefix(3), "/v2", "/v2x"),
            ("/ratings/1", Prefix(8), "/", "/1"),
            ("/exactly", Whole, "/other", "/other"),
        ] {
            assert_eq!(
                applied(PathChange::Prefix(prefix.into()), path, matched).as_deref(),
                Some(expected),
                "{path} {prefix}"
            );
        }
    }

    #[test]
    fn l7_11_a_full_path_keeps_the_query() {
        let full = |path: &str| PathChange::Full(path.into());
        assert_eq!(applied(full("/new"), "/old?a=b", PathMatched::Whole).as_deref(), Some("/new?a=b"));
        assert_eq!(applied(full("new"), "/old", PathMatched::Whole).as_deref(), Some("/new"));
        assert_eq!(
            applied(full("/new?own=1"), "/old?a=b", PathMatched::Whole).as_deref(),
            Some("/new?own=1")
        );
        assert_eq!(applied(full("/a b"), "/old", PathMatched::Whole), None);
    }

    #[test]
    fn rewriting_by_expression_in_the_notation_of_re2() {
        for (pattern, substitution, path, expected) in [
            ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api", "/v1/api/instance/foo"),
            ("one", "two", "/xxx/one/yyy/one/zzz?one", "/xxx/two/yyy/two/zzz?one"),
            ("(?i)/aaa/", "/bbb/", "/AAA/x", "/bbb/x"),
            ("x", r"$1\\", "/x", r"/$1\"),
        ] {
            let change = PathChange::Regex { pattern: pattern.into(), substitution: substitution.into() };
            assert_eq!(applied(change, path, PathMatched::Whole).as_deref(), Some(expected), "{pattern}");
        }
        let bad = PathChange::Regex { pattern: "(".into(), substitution: "".into() };
        assert!(PathEdit::compile(&bad).unwrap_err().starts_with("path rewrite: "));
    }
}
