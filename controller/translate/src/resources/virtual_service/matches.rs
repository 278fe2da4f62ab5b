//! What a request has to be like for a route of a VirtualService.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::{ClaimMatch, HttpMatch, NamedMatch, ValueMatch};

use super::{Context, claim};
use crate::objects::{HttpMatchRequest, HttpRouteEntry, StringMatch};
use crate::resources::problem::{Problem, find_pattern_error};

/// The alternatives that can match at a waypoint, for requests to this port. What cannot be judged
/// takes its alternative with it: a route must not catch more than it was written for.
pub(super) fn translate(
    context: Context<'_>,
    entry: &HttpRouteEntry,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<HttpMatch> {
    if entry.matches.is_empty() {
        return vec![HttpMatch::default()];
    }
    let mut matches = Vec::new();
    for (at, written) in entry.matches.iter().enumerate() {
        if !context.concerns(&written.gateways, written.port) {
            continue;
        }
        match translate_one(written) {
            Ok(matched) => matches.push(matched),
            Err((field, message)) => {
                let message = format!("{message}; this match is left out");
                problems.push(Problem::unsupported(format!("{path}.match[{at}].{field}"), message));
            }
        }
    }
    matches
}

type Refused = (String, String);

fn translate_one(written: &HttpMatchRequest) -> Result<HttpMatch, Refused> {
    if !written.source_labels.is_empty() {
        return Err(("sourceLabels".into(), "a waypoint does not know the labels of callers".into()));
    }
    let optional = |it: &Option<StringMatch>, field: &str| it.as_ref().map(|it| value(it, field)).transpose();
    let mut matched = HttpMatch {
        path: optional(&written.uri, "uri")?,
        ignore_path_case: written.ignore_uri_case,
        method: optional(&written.method, "method")?,
        authority: optional(&written.authority, "authority")?,
        scheme: optional(&written.scheme, "scheme")?,
        headers: Vec::new(),
        without_headers: without_headers(&headers_of(&written.without_headers))?,
        query_params: named(&written.query_params, "queryParams", str::to_owned)?,
        source_namespace: written.source_namespace.as_deref().map(Arc::from),
        port: None,
        claims: claims(&written.headers, "headers")?,
        without_claims: claims(&written.without_headers, "withoutHeaders")?,
    };
    for header in named(&headers_of(&written.headers), "headers", str::to_ascii_lowercase)? {
        // L7-10: parts of a request may be named as the headers they travel in.
        match header.name.as_ref() {
            ":method" => matched.method = Some(header.value),
            ":authority" | "host" => matched.authority = Some(header.value),
            ":scheme" => matched.scheme = Some(header.value),
            name if name.starts_with([':', '@']) => {
                return Err((format!("headers.{name}"), "this header cannot be matched".into()));
            }
            _ => matched.headers.push(header),
        }
    }
    Ok(matched)
}

/// L7-28: claims of the end user's token, written as headers that cannot be sent.
fn claims(written: &BTreeMap<String, StringMatch>, field: &str) -> Result<Vec<ClaimMatch>, Refused> {
    let asked = written.iter().filter_map(|(name, it)| Some((name, claim::read(name)?, it)));
    let all = asked.map(|(name, path, it)| {
        let field = format!("{field}.{name}");
        let path = path.map_err(|reason| (field.clone(), reason))?;
        Ok(ClaimMatch { path, value: value(it, &field)? })
    });
    all.collect()
}

/// Those that are no claims.
fn headers_of(written: &BTreeMap<String, StringMatch>) -> BTreeMap<String, StringMatch> {
    let headers = written.iter().filter(|(name, _)| claim::read(name).is_none());
    headers.map(|(name, it)| (name.clone(), it.clone())).collect()
}

fn named(
    written: &BTreeMap<String, StringMatch>,
    field: &str,
    name: impl Fn(&str) -> String,
) -> Result<Vec<NamedMatch>, Refused> {
    let all = written.iter().map(|(key, it)| {
        Ok(NamedMatch { name: name(key).into(), value: value(it, &format!("{field}.{key}"))? })
    });
    all.collect()
}

/// L7-15: as the peer has it, the pattern `.*` excludes nothing here.
fn without_headers(written: &BTreeMap<String, StringMatch>) -> Result<Vec<NamedMatch>, Refused> {
    let anything = StringMatch::Regex(".*".to_owned());
    let excluding = written.iter().filter(|(_, it)| **it != anything);
    let excluding = excluding.map(|(name, it)| (name.clone(), it.clone())).collect();
    named(&excluding, "withoutHeaders", str::to_ascii_lowercase)
}

fn value(written: &StringMatch, field: &str) -> Result<ValueMatch, Refused> {
    match written {
        StringMatch::Exact(text) => Ok(ValueMatch::Exact(text.as_str().into())),
        StringMatch::Prefix(text) => Ok(ValueMatch::Prefix(text.as_str().into())),
        StringMatch::Presence {} => Ok(ValueMatch::Presence),
        // No pattern, but the usual way to write "is there".
        StringMatch::Regex(text) if text == "*" => Ok(ValueMatch::Presence),
        StringMatch::Regex(text) => match find_pattern_error(text) {
            None => Ok(ValueMatch::Regex(text.as_str().into())),
            Some(message) => Err((field.to_owned(), message)),
        },
    }
}
