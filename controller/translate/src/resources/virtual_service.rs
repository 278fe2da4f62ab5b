//! VirtualServices: routes in the order they are written (api.md §3.3).

mod action;
mod claim;
mod delegate;
mod fault;
mod matches;
mod retry;
mod streams;

use std::sync::Arc;

use mesh_model::{Fault, Forward, HeaderChange, HttpMatch, HttpRule, Mirror, PerMillion, RuleAction};

use super::cors;
use super::problem::{Problem, find_pattern_error};
use crate::cluster::{Cluster, Name, VirtualService};
use crate::objects::{Delegate, HeaderOperations, Headers, HttpRouteEntry, MirrorPolicy, Port};
use delegate::Continuation;

pub(crate) use delegate::name_of as delegate_name;
pub(super) use streams::translate as translate_streams;
pub(crate) use streams::{find_problems as find_stream_problems, ports_named};

/// What becomes of a VirtualService.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Translation {
    pub(crate) rules: Vec<HttpRule>,
    pub(crate) problems: Vec<Problem>,
}

/// Where an entry stands: what its references mean depends on it.
#[derive(Clone, Copy)]
struct Context<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    /// The port requests or connections were made to; unknown when only the problems are asked for.
    port: Option<u16>,
}

impl Context<'_> {
    /// A match that names these gateways and this port, if it names any, can be one of a waypoint here.
    fn concerns(self, gateways: &[String], port: Option<Port>) -> bool {
        let for_mesh = gateways.is_empty() || gateways.iter().any(|it| it == "mesh");
        for_mesh && port.is_none_or(|port| self.port.is_none_or(|it| it == port.0))
    }
}

/// The rules for requests to one port of a bound service.
pub(crate) fn translate(
    cluster: &Cluster,
    name: &Name,
    virtual_service: &VirtualService,
    port: Option<u16>,
) -> Translation {
    let mut translation = Translation::default();
    let context = Context { cluster, namespace: &name.namespace, port };
    for (at, entry) in virtual_service.spec.http.iter().enumerate() {
        let path = format!("spec.http[{at}]");
        let rules = match &entry.delegate {
            Some(delegate) => {
                let from = (name, entry, delegate);
                translate_delegated(context, from, &format!("{path}.delegate"), &mut translation.problems)
            }
            None => {
                let rule_name = rule_name(name, at, entry);
                translate_entry(context, entry, rule_name, &path, &mut translation.problems)
            }
        };
        translation.rules.extend(rules);
    }
    translation
}

fn rule_name(name: &Name, at: usize, entry: &HttpRouteEntry) -> Arc<str> {
    match &entry.name {
        Some(rule) => format!("VirtualService/{name}/{rule}").into(),
        None => format!("VirtualService/{name}/{at}").into(),
    }
}

/// The rules of the VirtualService that continues an entry. What is wrong with these is told there.
fn translate_delegated(
    context: Context<'_>,
    (name, entry, delegate): (&Name, &HttpRouteEntry, &Delegate),
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<HttpRule> {
    let continuation = match delegate::expand(context.cluster, name, entry, delegate) {
        Ok(continuation) => continuation,
        Err(message) => {
            problems.push(Problem::unsupported(path, format!("{message}; the route is left out")));
            return Vec::new();
        }
    };
    let Continuation { name, entries, outside } = continuation;
    for at in outside {
        let message = format!("spec.http[{at}] of VirtualService {name} matches no request that comes here");
        problems.push(Problem::unsupported(path, message));
    }
    let context = Context { namespace: &name.namespace, ..context };
    let rules = entries.iter().flat_map(|(at, entry)| {
        let field = format!("spec.http[{at}]");
        translate_entry(context, entry, rule_name(&name, *at, entry), &field, &mut Vec::new())
    });
    rules.collect()
}

/// One rule for each alternative, since what a rewrite replaces depends on what matched.
fn translate_entry(
    context: Context<'_>,
    entry: &HttpRouteEntry,
    name: Arc<str>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<HttpRule> {
    let (request_headers, response_headers) = headers(entry.headers.as_ref());
    let (retry, attempt_timeout) =
        retry::translate(entry.retries.as_ref(), &format!("{path}.retries"), problems);
    let rule = HttpRule {
        name,
        matches: Vec::new(),
        request_headers,
        response_headers,
        action: match check_rewrite(entry, path, problems) {
            Ok(()) => action::translate(context, entry, path, problems),
            // A request must not arrive under a path it should not have.
            Err(()) => RuleAction::Forward(Forward { backends: Vec::new() }),
        },
        rewrite: None,
        request_timeout: entry.timeout.map(|it| it.0).filter(|it| !it.is_zero()),
        attempt_timeout,
        retry,
        fault: match &entry.fault {
            Some(written) => fault::translate(written, &format!("{path}.fault"), problems),
            None => Fault::default(),
        },
        mirrors: mirrors(context, entry, path, problems),
        session: None,
        cors: entry
            .cors_policy
            .as_ref()
            .map(|it| cors::of_policy(it, &format!("{path}.corsPolicy"), problems)),
    };
    let matches = matches::translate(context, entry, path, problems).into_iter();
    matches.map(|matched| finish(&rule, entry, matched)).collect()
}

/// Whether the pattern of a rewrite is one.
fn check_rewrite(entry: &HttpRouteEntry, path: &str, problems: &mut Vec<Problem>) -> Result<(), ()> {
    let written = entry.rewrite.as_ref().and_then(|it| it.uri_regex_rewrite.as_ref());
    let Some(message) = written.and_then(|it| find_pattern_error(&it.pattern)) else { return Ok(()) };
    let message = format!("{message}; its requests get status 500");
    problems.push(Problem::unsupported(format!("{path}.rewrite.uriRegexRewrite"), message));
    Err(())
}

/// The rule for one alternative.
fn finish(rule: &HttpRule, entry: &HttpRouteEntry, mut matched: HttpMatch) -> HttpRule {
    let mut rule = rule.clone();
    let rewrite = entry.rewrite.as_ref().filter(|_| is_forwarded(&rule.action));
    rule.rewrite = rewrite.map(|written| action::rewrite(written, &mut matched));
    if let (RuleAction::Redirect(redirect), Some(written)) = (&mut rule.action, &entry.redirect)
        && let Some(prefix) = &written.prefix_rewrite
    {
        redirect.path = Some(action::replace_matched(prefix, &mut matched));
    }
    if matched != HttpMatch::default() {
        rule.matches.push(matched);
    }
    rule
}

/// Only what goes to a backend is rewritten.
fn is_forwarded(action: &RuleAction) -> bool {
    matches!(action, RuleAction::Forward(forward) if !forward.backends.is_empty())
}

/// Changes to requests and to responses.
fn headers(written: Option<&Headers>) -> (HeaderChange, HeaderChange) {
    let change = |operations: &HeaderOperations| {
        let lower = |name: &str| Arc::<str>::from(name.to_ascii_lowercase());
        let pairs = |map: &std::collections::BTreeMap<String, String>| {
            map.iter().map(|(name, value)| (lower(name), value.as_str().into())).collect()
        };
        HeaderChange {
            set: pairs(&operations.set),
            add: pairs(&operations.add),
            remove: operations.remove.iter().map(|name| lower(name)).collect(),
        }
    };
    written.map(|it| (change(&it.request), change(&it.response))).unwrap_or_default()
}

fn mirrors(
    context: Context<'_>,
    entry: &HttpRouteEntry,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Mirror> {
    let whole = entry.mirror_percent.map(|percent| PerMillion(percent.min(100) * 10_000));
    let share = entry.mirror_percentage.map(fault::per_million).or(whole).unwrap_or(PerMillion::ALL);
    let one = entry.mirror.iter().map(|it| (format!("{path}.mirror"), it, share));
    let many = entry.mirrors.iter().enumerate().map(|(at, MirrorPolicy { destination, percentage })| {
        let share = percentage.map_or(PerMillion::ALL, fault::per_million);
        (format!("{path}.mirrors[{at}].destination"), destination, share)
    });
    let mut mirrors = Vec::new();
    for (path, destination, share) in one.chain(many) {
        match action::resolve(context, destination) {
            Ok(target) => mirrors.push(Mirror { backend: action::backend(target, 1, None), share }),
            Err((reason, message)) => {
                problems.push(Problem::new(path, reason, format!("{message}; nothing is mirrored")));
            }
        }
    }
    mirrors
}
