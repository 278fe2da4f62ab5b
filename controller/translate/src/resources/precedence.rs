//! Which of several matching rules of HTTPRoutes wins: the most specific one, whichever route it is in
//! (api.md §4.5, GW-36, GW-38, GW-42). The same for GRPCRoutes, whose order counts the characters of the
//! service and the method that a rule names.

use std::cmp::Reverse;

use mesh_model::{HttpMatch, HttpRule, ValueMatch};

use crate::cluster::Name;
use crate::objects::{Kind, grpc_method_lengths};

/// A rule with exactly one match, and its place among others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) rule: HttpRule,
}

/// Smaller wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    path: PathRank,
    without_method: bool,
    headers: Reverse<usize>,
    query_params: Reverse<usize>,
    created: Option<i64>,
    route: Name,
    rule: usize,
}

/// A pattern ranks below every prefix that says something, since how much it
/// says cannot be told, but above the prefix `/`, which says nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Method(Reverse<(usize, usize)>),
    Exact,
    Prefix(Reverse<usize>),
    Pattern,
    Anything,
}

impl Rank {
    pub(super) fn new(
        kind: Kind,
        matched: &HttpMatch,
        created: Option<i64>,
        route: Name,
        rule: usize,
    ) -> Self {
        Rank {
            path: match &matched.path {
                path if kind == Kind::GrpcRoute => PathRank::Method(Reverse(method_lengths(path.as_ref()))),
                Some(ValueMatch::Exact(_)) => PathRank::Exact,
                Some(ValueMatch::Prefix(prefix) | ValueMatch::PathPrefix(prefix)) if prefix.len() > 1 => {
                    PathRank::Prefix(Reverse(prefix.len()))
                }
                Some(ValueMatch::Regex(_)) => PathRank::Pattern,
                _ => PathRank::Anything,
            },
            without_method: matched.method.is_none(),
            headers: Reverse(matched.headers.len()),
            query_params: Reverse(matched.query_params.len()),
            created,
            route,
            rule,
        }
    }
}

fn method_lengths(path: Option<&ValueMatch>) -> (usize, usize) {
    match path {
        Some(ValueMatch::Exact(path) | ValueMatch::PathPrefix(path) | ValueMatch::Regex(path)) => {
            grpc_method_lengths(path)
        }
        _ => (0, 0),
    }
}

/// The rules in order of precedence.
pub(super) fn sort(mut entries: Vec<Entry>) -> Vec<HttpRule> {
    // Stable: what nothing else decides, the order in the rule does.
    entries.sort_by(|a, b| a.rank.cmp(&b.rank));
    entries.into_iter().map(|entry| entry.rule).collect()
}
