//! HTTPRoutes and GRPCRoutes whose parent is a Service or a ServiceEntry (api.md §4.5).

mod backend;
mod filters;
mod matches;
mod session;

use std::time::Duration;

use gateway_api::experimental::httproutes::{HttpRouteRules, HttpRouteRulesRetry, HttpRouteRulesTimeouts};
use mesh_model::{
    Backend, BackendTarget, Fault, Forward, HeaderChange, HttpMatch, HttpRule, Retry, RuleAction,
};

use super::precedence::{Entry, Rank};
use super::problem::Problem;
use crate::cluster::{Cluster, Name, Route};
use crate::objects::ObjectKey;
use filters::Filters;

pub(super) use backend::Reference;

/// What becomes of a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Translation {
    pub(super) entries: Vec<Entry>,
    pub(crate) problems: Vec<Problem>,
}

/// Translates every rule of a route, once per match.
pub(crate) fn translate(cluster: &Cluster, name: &Name, route: &Route) -> Translation {
    let mut translation = Translation::default();
    // The API's default for a route without rules: one that matches everything.
    let everything = [HttpRouteRules::default()];
    let rules = route.spec.rules.as_deref().unwrap_or(&everything);
    for (at, rule) in rules.iter().enumerate() {
        let path = format!("spec.rules[{at}]");
        let translated = translate_rule(cluster, name, rule, &path, &mut translation.problems);
        let translated = HttpRule {
            name: match &rule.name {
                Some(rule) => format!("{}/{name}/{rule}", route.kind).into(),
                None => format!("{}/{name}/{at}", route.kind).into(),
            },
            ..translated
        };
        for matched in matches::translate(rule, &path, &mut translation.problems) {
            let rank = Rank::new(route.kind, &matched, route.facts.created, name.clone(), at);
            let everything = matched == HttpMatch::default();
            let matches = if everything { Vec::new() } else { vec![matched] };
            translation.entries.push(Entry { rank, rule: HttpRule { matches, ..translated.clone() } });
        }
    }
    translation
}

/// Whether some backend of a route is this Service or ServiceEntry.
pub(crate) fn leads_to(name: &Name, route: &Route, object: &ObjectKey) -> bool {
    let mut rules = route.spec.rules.iter().flatten();
    rules.any(|rule| backend::references(rule).any(|it| it.object(&name.namespace).as_ref() == Some(object)))
}

/// Whether some backend of a route is this host, by its name.
pub(crate) fn leads_to_host(route: &Route, hostname: &str) -> bool {
    let mut rules = route.spec.rules.iter().flatten();
    rules.any(|rule| backend::references(rule).any(|it| it.hostname() == Some(hostname)))
}

/// The rule without its name and its matches.
fn translate_rule(
    cluster: &Cluster,
    name: &Name,
    rule: &HttpRouteRules,
    path: &str,
    problems: &mut Vec<Problem>,
) -> HttpRule {
    let listed = rule.filters.as_deref().unwrap_or_default();
    let filters = Filters::translate(cluster, &name.namespace, listed, path, problems);
    let action = match filters.redirect {
        // Requests must not pass as if a filter were not there.
        _ if filters.unusable => RuleAction::Forward(Forward { backends: vec![unusable()] }),
        Some(redirect) => RuleAction::Redirect(redirect),
        None => RuleAction::Forward(Forward { backends: backend::all(cluster, name, rule, path, problems) }),
    };
    let session = rule.session_persistence.as_ref().map(|it| session::translate(it, path, problems));
    let (request_timeout, attempt_timeout) = timeouts(rule.timeouts.as_ref(), path, problems);
    HttpRule {
        name: "".into(),
        matches: Vec::new(),
        request_headers: filters.request_headers,
        response_headers: filters.response_headers,
        action,
        rewrite: filters.rewrite,
        request_timeout,
        attempt_timeout,
        retry: rule.retry.as_ref().map_or_else(Retry::default, |it| retry(it, path, problems)),
        fault: Fault::default(),
        mirrors: filters.mirrors,
        cors: filters.cors,
        session,
    }
}

/// A backend that answers 500 (WP-28).
fn unusable() -> Backend {
    Backend {
        target: BackendTarget::Invalid { status: 500 },
        weight: 1,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
    }
}

/// Of the request and of an attempt; `0s` means none (RES-06).
fn timeouts(
    timeouts: Option<&HttpRouteRulesTimeouts>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> (Option<Duration>, Option<Duration>) {
    let mut read = |text: Option<&String>, field: &str| {
        duration(text?, &format!("{path}.timeouts.{field}"), problems).filter(|it| !it.is_zero())
    };
    let request = read(timeouts.and_then(|it| it.request.as_ref()), "request");
    let attempt = read(timeouts.and_then(|it| it.backend_request.as_ref()), "backendRequest");
    (request, attempt)
}

/// What a rule says about retries. Beside the statuses it lists, attempts are made after failures of the
/// connection, and after attempts that were reset or timed out, which the API's conformance tests expect
/// of a rule without any status (RES-10, RES-12).
fn retry(written: &HttpRouteRulesRetry, path: &str, problems: &mut Vec<Problem>) -> Retry {
    let mut retry = Retry::default();
    retry.conditions.push("reset".into());
    if let Some(attempts) = written.attempts {
        retry.attempts = u32::try_from(attempts).unwrap_or(0);
    }
    let codes = written.codes.iter().flatten();
    retry.codes = codes.filter_map(|code| u16::try_from(*code).ok()).collect();
    if let Some(text) = &written.backoff {
        let backoff = duration(text, &format!("{path}.retry.backoff"), problems);
        retry.backoff = backoff.unwrap_or(retry.backoff);
    }
    retry
}

fn duration(text: &str, field: &str, problems: &mut Vec<Problem>) -> Option<Duration> {
    match text.parse::<gateway_api::Duration>() {
        Ok(duration) => Some(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))),
        Err(_) => {
            let message = format!("{text:?} is not a duration; write for instance 500ms or 1m30s");
            problems.push(Problem::unsupported(field, message));
            None
        }
    }
}
