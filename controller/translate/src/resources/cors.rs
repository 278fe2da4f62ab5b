//! What pages of other origins may do: the CORS filter of an HTTPRoute, and the policy of a VirtualService.

use std::sync::Arc;
use std::time::Duration;

use gateway_api::experimental::httproutes::HttpRouteRulesFiltersCors;
use mesh_model::{Cors, ValueMatch};

use super::problem::{Problem, find_pattern_error};
use crate::objects::{CorsPolicy, StringMatch, UnmatchedPreflights, is_token};

/// The API's default for `maxAge`.
const MAX_AGE: i32 = 5;

/// Of the Gateway API (GW-29, GW-30): a preflight request of another origin is answered by the waypoint.
pub(super) fn of_filter(written: &HttpRouteRulesFiltersCors) -> Cors {
    let texts = |texts: &Option<Vec<String>>| texts.iter().flatten().filter_map(|text| token(text)).collect();
    let age = u64::try_from(written.max_age.unwrap_or(MAX_AGE)).unwrap_or(0);
    Cors {
        origins: written.allow_origins.iter().flatten().map(|origin| origin_of(origin)).collect(),
        methods: texts(&written.allow_methods),
        headers: texts(&written.allow_headers),
        exposed_headers: texts(&written.expose_headers),
        max_age: Some(Duration::from_secs(age)),
        credentials: written.allow_credentials.unwrap_or_default(),
        forwards_unmatched_preflights: false,
    }
}

/// Of Istio (api.md §3.3); what of it means nothing is left out, and said.
pub(super) fn of_policy(written: &CorsPolicy, path: &str, problems: &mut Vec<Problem>) -> Cors {
    let mut texts = |texts: &[String], field: &str| {
        let mut kept = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match token(text) {
                Some(token) => kept.push(token),
                None => {
                    let message = format!("{text:?} is not the name of a method or a header; it is left out");
                    problems.push(Problem::unsupported(format!("{path}.{field}[{at}]"), message));
                }
            }
        }
        kept
    };
    let methods = texts(&written.allow_methods, "allowMethods");
    let headers = texts(&written.allow_headers, "allowHeaders");
    let exposed_headers = texts(&written.expose_headers, "exposeHeaders");
    let older = written.allow_origin.iter().map(|origin| exact(origin));
    let mut origins: Vec<ValueMatch> = older.collect();
    for (at, origin) in written.allow_origins.iter().enumerate() {
        match pattern(origin) {
            Ok(pattern) => origins.push(pattern),
            Err(message) => {
                let field = format!("{path}.allowOrigins[{at}]");
                problems.push(Problem::unsupported(field, format!("{message}; it is left out")));
            }
        }
    }
    Cors {
        origins,
        methods,
        headers,
        exposed_headers,
        max_age: written.max_age.map(|age| age.0),
        credentials: written.allow_credentials.unwrap_or_default(),
        forwards_unmatched_preflights: written.unmatched_preflights != UnmatchedPreflights::Ignore,
    }
}

/// `*`, an origin, or one with `*` for the first labels of its host, however many.
fn origin_of(text: &str) -> ValueMatch {
    match text {
        "*" => ValueMatch::Presence,
        _ if text.contains('*') => {
            let parts: Vec<String> = text.split('*').map(regex::escape).collect();
            ValueMatch::Regex(parts.join("[^/]+").into())
        }
        _ => ValueMatch::Exact(text.into()),
    }
}

fn exact(text: &str) -> ValueMatch {
    if text == "*" { ValueMatch::Presence } else { ValueMatch::Exact(text.into()) }
}

fn pattern(written: &StringMatch) -> Result<ValueMatch, String> {
    match written {
        StringMatch::Exact(text) => Ok(exact(text)),
        StringMatch::Prefix(text) => Ok(ValueMatch::Prefix(text.as_str().into())),
        StringMatch::Presence {} => Ok(ValueMatch::Presence),
        StringMatch::Regex(text) => match find_pattern_error(text) {
            // Both allow everybody, and so may be told without the origin.
            None if text == ".*" => Ok(ValueMatch::Presence),
            None => Ok(ValueMatch::Regex(text.as_str().into())),
            Some(message) => Err(message),
        },
    }
}

/// The name of a method or of a header.
fn token(text: &str) -> Option<Arc<str>> {
    is_token(text).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gw_29_a_star_stands_for_labels_and_for_nothing_else() {
        assert_eq!(origin_of("*"), ValueMatch::Presence);
        assert_eq!(origin_of("https://foo.com"), ValueMatch::Exact("https://foo.com".into()));
        assert_eq!(origin_of("https://*.bar.com"), ValueMatch::Regex(r"https://[^/]+\.bar\.com".into()));
    }
}
