//! Delegation: an entry of a VirtualService that another one continues (api.md §3.3), one level deep. What the other
//! asks of requests has to be within what the entry asks of them, and what it does not say is as the entry says.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Name};
use crate::objects::{Delegate, HttpMatchRequest, HttpRouteEntry, StringMatch};

/// More matches than one entry can become.
const MOST_MATCHES: usize = 2048;

/// What continues an entry.
#[derive(Debug, PartialEq)]
pub(super) struct Continuation {
    /// The VirtualService; what its entries name is meant from its namespace.
    pub(super) name: Name,
    /// Its entries that can take requests of the entry, each with its place.
    pub(super) entries: Vec<(usize, HttpRouteEntry)>,
    /// The places of those that ask for other requests.
    pub(super) outside: Vec<usize>,
}

/// The VirtualService that an entry names.
pub(crate) fn name_of(delegate: &Delegate, from: &Name) -> Name {
    let namespace = match delegate.namespace.as_str() {
        "" => from.namespace.clone(),
        namespace => namespace.into(),
    };
    Name::new(namespace, delegate.name.as_str())
}

/// What continues an entry that delegates; or why nothing does.
pub(super) fn expand(
    cluster: &Cluster,
    from: &Name,
    entry: &HttpRouteEntry,
    delegate: &Delegate,
) -> Result<Continuation, String> {
    let name = name_of(delegate, from);
    let object = cluster.virtual_services.get(&name);
    let spec = &object.ok_or_else(|| format!("there is no VirtualService {name}"))?.spec;
    if !spec.hosts.is_empty() || !spec.gateways.is_empty() {
        return Err(format!("VirtualService {name} has hosts or gateways, so it cannot continue another"));
    }
    if spec.http.iter().any(|it| it.delegate.is_some()) {
        return Err(format!("VirtualService {name} delegates itself, which is possible once only"));
    }
    let matches = spec.http.iter().map(|it| it.matches.len().max(1) * entry.matches.len().max(1));
    if matches.sum::<usize>() > MOST_MATCHES {
        let message = format!("its matches and those of VirtualService {name} make more than {MOST_MATCHES}");
        return Err(message);
    }
    let mut continuation = Continuation { name, entries: Vec::new(), outside: Vec::new() };
    for (at, continued) in spec.http.iter().enumerate() {
        match merge(entry, continued) {
            Some(merged) => continuation.entries.push((at, merged)),
            None => continuation.outside.push(at),
        }
    }
    Ok(continuation)
}

fn merge(entry: &HttpRouteEntry, continued: &HttpRouteEntry) -> Option<HttpRouteEntry> {
    let mut merged = continued.clone();
    merged.matches = merge_matches(&entry.matches, &continued.matches)?;
    merged.rewrite = merged.rewrite.or_else(|| entry.rewrite.clone());
    merged.timeout = merged.timeout.or(entry.timeout);
    merged.retries = merged.retries.or_else(|| entry.retries.clone());
    merged.fault = merged.fault.or_else(|| entry.fault.clone());
    merged.cors_policy = merged.cors_policy.or_else(|| entry.cors_policy.clone());
    merged.headers = merged.headers.or_else(|| entry.headers.clone());
    if merged.mirror.is_none() && merged.mirrors.is_empty() {
        merged.mirror = entry.mirror.clone();
        merged.mirrors = entry.mirrors.clone();
        merged.mirror_percent = entry.mirror_percent;
        merged.mirror_percentage = entry.mirror_percentage;
    }
    Some(merged)
}

/// Every pair of which the second is within the first; none if there is no such pair.
fn merge_matches(outer: &[HttpMatchRequest], inner: &[HttpMatchRequest]) -> Option<Vec<HttpMatchRequest>> {
    if outer.is_empty() || inner.is_empty() {
        return Some(if outer.is_empty() { inner } else { outer }.to_vec());
    }
    let pairs = outer.iter().flat_map(|outer| inner.iter().map(move |inner| (outer, inner)));
    let merged: Vec<_> = pairs.filter_map(|(outer, inner)| merge_match(outer, inner)).collect();
    (!merged.is_empty()).then_some(merged)
}

fn merge_match(outer: &HttpMatchRequest, inner: &HttpMatchRequest) -> Option<HttpMatchRequest> {
    let uris = outer.uri.is_some() && inner.uri.is_some();
    if uris && outer.ignore_uri_case != inner.ignore_uri_case {
        return None;
    }
    let namespaces = (&outer.source_namespace, &inner.source_namespace);
    if matches!(namespaces, (Some(outer), Some(inner)) if outer != inner) {
        return None;
    }
    if matches!((outer.port, inner.port), (Some(outer), Some(inner)) if outer != inner) {
        return None;
    }
    let elsewhere = |gateway: &String| !outer.gateways.contains(gateway);
    if !outer.gateways.is_empty() && inner.gateways.iter().any(elsewhere) {
        return None;
    }
    let labels = outer.source_labels.iter().chain(&inner.source_labels);
    let labels: BTreeMap<String, String> =
        labels.map(|(name, value)| (name.clone(), value.clone())).collect();
    let keeps = outer.source_labels.iter().all(|(name, value)| labels.get(name) == Some(value));
    Some(HttpMatchRequest {
        name: inner.name.clone().or_else(|| outer.name.clone()),
        uri: narrower(&outer.uri, &inner.uri)?,
        ignore_uri_case: if inner.uri.is_some() { inner.ignore_uri_case } else { outer.ignore_uri_case },
        scheme: narrower(&outer.scheme, &inner.scheme)?,
        method: narrower(&outer.method, &inner.method)?,
        authority: narrower(&outer.authority, &inner.authority)?,
        headers: merge_named(&outer.headers, &inner.headers)?,
        without_headers: merge_named(&outer.without_headers, &inner.without_headers)?,
        query_params: merge_named(&outer.query_params, &inner.query_params)?,
        port: inner.port.or(outer.port),
        source_labels: Some(labels).filter(|_| keeps)?,
        source_namespace: inner.source_namespace.clone().or_else(|| outer.source_namespace.clone()),
        gateways: if inner.gateways.is_empty() { outer.gateways.clone() } else { inner.gateways.clone() },
        stat_prefix: inner.stat_prefix.clone().or_else(|| outer.stat_prefix.clone()),
    })
}

fn merge_named(
    outer: &BTreeMap<String, StringMatch>,
    inner: &BTreeMap<String, StringMatch>,
) -> Option<BTreeMap<String, StringMatch>> {
    let mut merged = inner.clone();
    for (name, pattern) in outer {
        match inner.get(name) {
            Some(inner) if !is_within(inner, pattern) => return None,
            Some(_) => {}
            None => drop(merged.insert(name.clone(), pattern.clone())),
        }
    }
    Some(merged)
}

/// The inner pattern where there is one; none if it is not within the outer.
#[allow(clippy::option_option, reason = "that there is no pattern is a good answer, too")]
fn narrower(outer: &Option<StringMatch>, inner: &Option<StringMatch>) -> Option<Option<StringMatch>> {
    match (outer, inner) {
        (Some(outer), Some(inner)) => is_within(inner, outer).then(|| Some(inner.clone())),
        (outer, inner) => Some(inner.clone().or_else(|| outer.clone())),
    }
}

/// Whether everything that a pattern matches another one does. Nobody can tell that of two expressions, unless they
/// are the same.
fn is_within(inner: &StringMatch, outer: &StringMatch) -> bool {
    match (outer, inner) {
        (StringMatch::Presence {}, _) => true,
        (StringMatch::Prefix(outer), StringMatch::Exact(inner) | StringMatch::Prefix(inner)) => {
            inner.starts_with(outer.as_str())
        }
        (outer, inner) => outer == inner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> StringMatch {
        StringMatch::Prefix(text.into())
    }

    fn exact(text: &str) -> StringMatch {
        StringMatch::Exact(text.into())
    }

    fn uri(pattern: StringMatch) -> HttpMatchRequest {
        HttpMatchRequest { uri: Some(pattern), ..HttpMatchRequest::default() }
    }

    fn header(name: &str, pattern: StringMatch) -> HttpMatchRequest {
        HttpMatchRequest { headers: [(name.to_owned(), pattern)].into(), ..HttpMatchRequest::default() }
    }

    #[test]
    fn patterns_within_others() {
        let regex = |text: &str| StringMatch::Regex(text.into());
        for (inner, outer, expected) in [
            (exact("/a/b"), prefix("/a"), true),
            (prefix("/a/b"), prefix("/a"), true),
            (prefix("/a"), prefix("/a/b"), false),
            (prefix("/a"), exact("/a"), false),
            (exact("/a"), exact("/a"), true),
            (exact("/a"), exact("/b"), false),
            (regex("/a.*"), prefix("/a"), false),
            (regex("/a.*"), regex("/a.*"), true),
            (regex("/a.*"), StringMatch::Presence {}, true),
            (StringMatch::Presence {}, exact("/a"), false),
        ] {
            assert_eq!(is_within(&inner, &outer), expected, "{inner:?} in {outer:?}");
        }
    }

    #[test]
    fn l7_matches_narrow_each_other_pair_by_pair() {
        let outer = [uri(prefix("/a")), header("x-user", prefix("j"))];
        let inner = [uri(prefix("/a/b")), uri(prefix("/c"))];
        let merged = merge_matches(&outer, &inner).unwrap();
        let both = |at: &str| HttpMatchRequest { uri: Some(prefix(at)), ..header("x-user", prefix("j")) };
        assert_eq!(merged, [uri(prefix("/a/b")), both("/a/b"), both("/c")]);
        assert_eq!(merge_matches(&outer[..1], &inner[1..]), None);
        assert_eq!(merge_matches(&[], &inner), Some(inner.to_vec()));
        assert_eq!(merge_matches(&outer, &[]), Some(outer.to_vec()));
    }

    #[test]
    fn l7_what_contradicts_takes_nothing() {
        let with = |change: fn(&mut HttpMatchRequest)| {
            let mut request = HttpMatchRequest::default();
            change(&mut request);
            request
        };
        for (outer, inner) in [
            (header("x-user", exact("jason")), header("x-user", exact("other"))),
            (with(|it| it.method = Some(exact("GET"))), with(|it| it.method = Some(exact("PUT")))),
            (
                with(|it| it.source_namespace = Some("a".into())),
                with(|it| it.source_namespace = Some("b".into())),
            ),
            (
                with(|it| it.source_labels = [("app".to_owned(), "a".to_owned())].into()),
                with(|it| it.source_labels = [("app".to_owned(), "b".to_owned())].into()),
            ),
            (with(|it| it.gateways = vec!["mesh".into()]), with(|it| it.gateways = vec!["other".into()])),
        ] {
            assert_eq!(merge_match(&outer, &inner), None, "{outer:?} {inner:?}");
        }
        let cases = HttpMatchRequest { ignore_uri_case: true, ..uri(prefix("/a")) };
        assert_eq!(merge_match(&cases, &uri(prefix("/a"))), None);
    }
}
