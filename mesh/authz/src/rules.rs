//! Does a policy match? Groups of alternatives and conjunctions, four deep (wire.md §5.5).

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_model::{Clause, Match, Policy, Rule, ServiceAccountMatch, StringMatch};

use crate::connection::Attributes;

/// One rule has to match; a policy without rules never does (L4-08).
pub(crate) fn policy_matches(policy: &Policy, source: &Attributes<'_>) -> bool {
    policy.rules.iter().any(|rule| rule_matches(rule, source))
}

fn rule_matches(rule: &Rule, source: &Attributes<'_>) -> bool {
    rule.clauses.iter().all(|clause| clause_matches(clause, source))
}

/// A clause without alternatives asks for nothing.
fn clause_matches(clause: &Clause, source: &Attributes<'_>) -> bool {
    clause.matches.is_empty() || clause.matches.iter().any(|wanted| match_matches(wanted, source))
}

/// Every populated field has to match; if none is, this is no match at all.
fn match_matches(wanted: &Match, source: &Attributes<'_>) -> bool {
    *wanted != Match::default()
        && field(&wanted.namespaces, &wanted.not_namespaces, |w| text(w, source.namespace()))
        && field(&wanted.service_accounts, &wanted.not_service_accounts, |w| account(w, source))
        && field(&wanted.principals, &wanted.not_principals, |w| text(w, source.principal()))
        && field(&wanted.source_ips, &wanted.not_source_ips, |w| inside(w, source.connection.source))
        && field(&wanted.destination_ips, &wanted.not_destination_ips, |w| {
            inside(w, source.connection.destination.ip())
        })
        && field(&wanted.destination_ports, &wanted.not_destination_ports, |w| {
            *w == source.connection.destination.port()
        })
}

/// One of the wanted values matches, if there are any, and none of the unwanted ones.
fn field<W>(wanted: &[W], unwanted: &[W], matches: impl Fn(&W) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&matches)) && !unwanted.iter().any(&matches)
}

/// Nothing is matched by nothing, not even by an empty pattern (L4-09, L4-10).
fn text(wanted: &StringMatch, actual: Option<&str>) -> bool {
    let Some(actual) = actual.filter(|actual| !actual.is_empty()) else {
        return false;
    };
    match wanted {
        StringMatch::Exact(text) => actual == &**text,
        StringMatch::Prefix(text) => actual.starts_with(&**text),
        StringMatch::Suffix(text) => actual.ends_with(&**text),
        StringMatch::Presence => true,
    }
}

/// Whatever the trust domain (L4-12).
fn account(wanted: &ServiceAccountMatch, source: &Attributes<'_>) -> bool {
    source.connection.source_identity.is_some_and(|identity| {
        identity.namespace == wanted.namespace && identity.service_account == wanted.service_account
    })
}

fn inside(wanted: &IpNet, actual: IpAddr) -> bool {
    wanted.contains(&actual)
}
