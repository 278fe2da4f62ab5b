//! What is wrong with a route, found while translating it and told in its status.

use regex::RegexBuilder;

/// Patterns that compile to more than this are refused; the waypoint has the same limit.
const PATTERN_LIMIT: usize = 1 << 20;

/// One thing that is not done as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, for instance `spec.rules[0].backendRefs[1]`.
    pub(crate) field: String,
    /// One word, as conditions have it.
    pub(crate) reason: Reason,
    /// What, and what happens instead.
    pub(crate) message: String,
}

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// A backend that does not exist.
    BackendNotFound,
    /// A backend of a kind that cannot be one.
    InvalidKind,
    /// A filter that cannot be applied.
    InvalidFilter,
    /// A value or a field that is not honoured.
    UnsupportedValue,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::BackendNotFound => "BackendNotFound",
            Reason::InvalidKind => "InvalidKind",
            Reason::InvalidFilter => "InvalidFilter",
            Reason::UnsupportedValue => "UnsupportedValue",
        }
    }
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, reason: Reason, message: impl Into<String>) -> Self {
        Problem { field: field.into(), reason, message: message.into() }
    }

    /// It is about something that is referred to.
    pub(crate) fn is_reference(&self) -> bool {
        self.reason != Reason::UnsupportedValue
    }

    pub(crate) fn unsupported(field: impl Into<String>, message: impl Into<String>) -> Self {
        Problem::new(field, Reason::UnsupportedValue, message)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Why a pattern cannot be used, if it cannot.
pub(crate) fn find_pattern_error(pattern: &str) -> Option<String> {
    let built = RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(PATTERN_LIMIT).build();
    let error = built.err()?.to_string();
    let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Some(format!("{pattern:?} is not a usable regular expression: {last}"))
}
