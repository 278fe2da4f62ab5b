//! What a request has to be like for a rule of an HTTPRoute.

use std::sync::Arc;

use gateway_api::experimental::httproutes::{
    HttpRouteRules, HttpRouteRulesMatches, HttpRouteRulesMatchesHeadersType as HeaderType,
    HttpRouteRulesMatchesMethod as Method, HttpRouteRulesMatchesPath,
    HttpRouteRulesMatchesPathType as PathType, HttpRouteRulesMatchesQueryParamsType as QueryType,
};
use mesh_model::{HttpMatch, NamedMatch, ValueMatch};

use crate::resources::problem::{Problem, find_pattern_error};

/// The alternatives of a rule; a pattern that is none takes its alternative with it.
pub(super) fn translate(rule: &HttpRouteRules, path: &str, problems: &mut Vec<Problem>) -> Vec<HttpMatch> {
    let written = rule.matches.as_deref().unwrap_or_default();
    if written.is_empty() {
        return vec![HttpMatch::default()];
    }
    let mut matches = Vec::with_capacity(written.len());
    for (at, one) in written.iter().enumerate() {
        let matched = translate_one(one);
        let error = patterns(&matched).find_map(find_pattern_error);
        match error {
            None => matches.push(matched),
            Some(message) => problems.push(Problem::unsupported(format!("{path}.matches[{at}]"), message)),
        }
    }
    matches
}

fn translate_one(written: &HttpRouteRulesMatches) -> HttpMatch {
    let headers = written.headers.iter().flatten().map(|header| {
        let is_pattern = matches!(header.r#type, Some(HeaderType::RegularExpression));
        NamedMatch { name: header.name.to_ascii_lowercase().into(), value: value(&header.value, is_pattern) }
    });
    let params = written.query_params.iter().flatten().map(|param| {
        let is_pattern = matches!(param.r#type, Some(QueryType::RegularExpression));
        NamedMatch { name: param.name.as_str().into(), value: value(&param.value, is_pattern) }
    });
    HttpMatch {
        path: written.path.as_ref().and_then(path_match),
        method: written.method.as_ref().map(|it| ValueMatch::Exact(method(it).into())),
        headers: first_of_each_name(headers),
        query_params: first_of_each_name(params),
        ..HttpMatch::default()
    }
}

/// GW-03: prefixes go by segment. Every path begins with `/`, so that prefix is no restriction.
fn path_match(written: &HttpRouteRulesMatchesPath) -> Option<ValueMatch> {
    let text: Arc<str> = written.value.as_deref().unwrap_or("/").into();
    match written.r#type {
        Some(PathType::Exact) => Some(ValueMatch::Exact(text)),
        Some(PathType::RegularExpression) => Some(ValueMatch::Regex(text)),
        Some(PathType::PathPrefix) | None => match text.trim_end_matches('/') {
            "" => None,
            trimmed => Some(ValueMatch::PathPrefix(trimmed.into())),
        },
    }
}

fn value(text: &str, is_pattern: bool) -> ValueMatch {
    if is_pattern { ValueMatch::Regex(text.into()) } else { ValueMatch::Exact(text.into()) }
}

/// The API lets only the first of several matches with one name count.
fn first_of_each_name(all: impl Iterator<Item = NamedMatch>) -> Vec<NamedMatch> {
    let mut kept: Vec<NamedMatch> = Vec::new();
    for one in all {
        if kept.iter().all(|it| it.name != one.name) {
            kept.push(one);
        }
    }
    kept
}

fn patterns(matched: &HttpMatch) -> impl Iterator<Item = &str> {
    let named = matched.headers.iter().chain(&matched.query_params).map(|it| &it.value);
    matched.path.iter().chain(named).filter_map(|it| match it {
        ValueMatch::Regex(pattern) => Some(pattern.as_ref()),
        _ => None,
    })
}

fn method(method: &Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
    }
}
