//! Templates for paths, as policies write them: `{*}` stands for one segment, `{**}` for any number of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// As long as a template may be.
const LONGEST: usize = 4096;
const SEGMENT: &str = "{*}";
const REST: &str = "{**}";

/// A template that has been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// Literal text before, between and after the single segments; one more than there are of these.
    literals: Vec<Arc<str>>,
    /// What stands behind `{**}`, if there is one; nothing else may follow it.
    after_rest: Option<Arc<str>>,
}

/// Why a text is no template.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidTemplate {
    /// It does not begin like a path.
    #[error("a template has to begin with `/`")]
    NoPath,
    /// It is too long.
    #[error("a template may have {LONGEST} bytes at most")]
    TooLong,
    /// Braces or stars that stand for nothing.
    #[error("`{{`, `}}` and `*` are only possible as {SEGMENT} and {REST}")]
    StrayOperator,
    /// An operator shares its segment with other text.
    #[error("{SEGMENT} and {REST} have to be whole segments")]
    HalfSegment,
    /// Something variable follows what takes everything.
    #[error("{REST} has to be the last operator")]
    RestNotLast,
}

impl PathTemplate {
    /// Whether a text of a policy is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.contains(SEGMENT) || text.contains(REST)
    }

    /// Whether a path, without its query, is one of those meant. Takes time in proportion to both.
    pub fn matches(&self, path: &str) -> bool {
        let Some((first, others)) = self.literals.split_first() else { return false };
        let Some(mut rest) = path.strip_prefix(&**first) else { return false };
        for literal in others {
            let end = rest.find('/').unwrap_or(rest.len());
            if end == 0 {
                return false;
            }
            match rest[end..].strip_prefix(&**literal) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        match &self.after_rest {
            None => rest.is_empty(),
            Some(last) => rest.ends_with(&**last),
        }
    }
}

impl FromStr for PathTemplate {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        if text.len() > LONGEST {
            return Err(InvalidTemplate::TooLong);
        }
        let segments = text.strip_prefix('/').ok_or(InvalidTemplate::NoPath)?.split('/');
        let (mut literals, mut literal, mut rest_seen) = (Vec::new(), String::new(), false);
        for segment in segments {
            literal.push('/');
            match segment {
                SEGMENT | REST if rest_seen => return Err(InvalidTemplate::RestNotLast),
                SEGMENT => literals.push(std::mem::take(&mut literal).into()),
                REST => {
                    literals.push(std::mem::take(&mut literal).into());
                    rest_seen = true;
                }
                half if PathTemplate::is_meant(half) => return Err(InvalidTemplate::HalfSegment),
                stray if stray.contains(['{', '}', '*']) => return Err(InvalidTemplate::StrayOperator),
                plain => literal.push_str(plain),
            }
        }
        let after_rest = match rest_seen {
            true => Some(literal.into()),
            false => {
                literals.push(literal.into());
                None
            }
        };
        Ok(PathTemplate { literals, after_rest })
    }
}

/// As it was written.
impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, literal) in self.literals.iter().enumerate() {
            if at > 0 {
                f.write_str(SEGMENT)?;
            }
            f.write_str(literal)?;
        }
        match &self.after_rest {
            Some(last) => write!(f, "{REST}{last}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn az_08_templates_match_by_segment() {
        for (template, path, expected) in [
            ("/foo/{*}", "/foo/bar", true),
            ("/foo/{*}", "/foo/bar/baz", false),
            ("/foo/{*}", "/foo/", false),
            ("/foo/{*}", "/foo", false),
            ("/foo/{*}/", "/foo/bar/", true),
            ("/{*}/bar/{*}", "/a/bar/b", true),
            ("/{*}/bar/{*}", "/a/baz/b", false),
            ("/{*}/bar/{*}", "//bar/b", false),
            ("/foo/{**}/", "/foo/bar/", true),
            ("/foo/{**}/", "/foo/bar/baz/", true),
            ("/foo/{**}/", "/foo//", true),
            ("/foo/{**}/", "/foo/bar", false),
            ("/foo/{**}", "/foo/", true),
            ("/foo/{**}", "/foo", false),
            ("/foo/{*}/bar/{**}", "/foo/buzz/bar/", true),
            ("/foo/{*}/bar/{**}", "/foo/buzz/bar/baz/x", true),
            ("/foo/{*}/bar/{**}", "/foo/buzz/else/bar/baz", false),
            ("/{**}/end", "/a/b/end", true),
            ("/{**}/end", "/end", false),
            ("/{**}/end", "/a/b/ends", false),
        ] {
            let parsed: PathTemplate = template.parse().unwrap();
            assert_eq!(parsed.matches(path), expected, "{template} {path}");
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (text, expected) in [
            ("foo/{*}", InvalidTemplate::NoPath),
            ("", InvalidTemplate::NoPath),
            ("/*/baz/{*}", InvalidTemplate::StrayOperator),
            ("/**/baz/{*}", InvalidTemplate::StrayOperator),
            ("/a{b/{*}", InvalidTemplate::StrayOperator),
            ("/foo/{*}.txt", InvalidTemplate::HalfSegment),
            ("/foo/a{**}", InvalidTemplate::HalfSegment),
            ("/{**}/foo/{*}", InvalidTemplate::RestNotLast),
            ("/{**}/foo/{**}", InvalidTemplate::RestNotLast),
        ] {
            assert_eq!(text.parse::<PathTemplate>(), Err(expected), "{text}");
        }
        assert_eq!(
            format!("/{}{{*}}", "a/".repeat(2100)).parse::<PathTemplate>(),
            Err(InvalidTemplate::TooLong)
        );
    }
}
