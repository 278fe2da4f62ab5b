//! One routing rule, compiled: its conditions, and the filters it puts into a request's path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use mesh_model::{
    BackendTarget, DirectResponse, Fault, Forward, HttpRule, Mirror, NamespacedHostname, PerMillion, Retry,
    RuleAction, Workload,
};
use rand::RngExt;

use super::condition::{Condition, Subject};
use super::pattern::PathMatched;
use crate::http::{Cors, HeaderEdit, PathEdit, Redirection, RetryPolicy};
use crate::session::Sessions;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    conditions: Conditions,
    pub(crate) fault: Fault,
    pub(crate) request_headers: HeaderEdit,
    pub(crate) response_headers: HeaderEdit,
    pub(crate) action: Action,
    pub(crate) new_authority: Option<HeaderValue>,
    pub(crate) new_path: Option<PathEdit>,
    pub(crate) mirrors: Vec<(Backend, PerMillion)>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) retry: RetryPolicy,
    pub(crate) cors: Option<Cors>,
    pub(crate) sessions: Option<Sessions>,
}

#[derive(Debug)]
enum Conditions {
    Everything,
    /// Alternatives. None are left when none could be compiled: such a rule takes nothing.
    AnyOf(Vec<Condition>),
}

/// What a rule does with a request.
#[derive(Debug)]
pub(crate) enum Action {
    Forward(Vec<Backend>),
    Redirect(Redirection),
    Direct(DirectResponse),
    /// It cannot do what it says, so it answers 500; the log has the reason.
    Broken,
}

/// One of the places a request may go.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) destination: Destination,
    weight: u32,
    pub(crate) request_headers: HeaderEdit,
    pub(crate) response_headers: HeaderEdit,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Destination {
    /// One of a service's endpoints.
    Service { service: NamespacedHostname, port: u16, subset: Option<Arc<str>> },
    /// Exactly this workload.
    Workload(Arc<Workload>, SocketAddr),
    /// Nowhere: its share is answered with this status (WP-28).
    Invalid(StatusCode),
}

impl Rule {
    /// Compiles a rule of a service. What cannot be compiled is logged and never widens the rule.
    pub(crate) fn compile(rule: &HttpRule, service: &NamespacedHostname) -> Rule {
        let mut problems = Vec::new();
        let compiled = Rule::compile_parts(rule, &mut problems);
        for problem in problems {
            tracing::warn!(%service, rule = %rule.name, %problem, "part of a route cannot be used");
        }
        compiled
    }

    fn compile_parts(rule: &HttpRule, problems: &mut Vec<String>) -> Rule {
        let conditions = match rule.matches.as_slice() {
            [] => Conditions::Everything,
            asked => Conditions::AnyOf(
                asked.iter().filter_map(|m| kept(Condition::compile(m), problems)).collect(),
            ),
        };
        let mut action = match &rule.action {
            RuleAction::Forward(forward) => Action::Forward(Backend::compile_all(forward, problems)),
            RuleAction::Redirect(redirect) => {
                kept(Redirection::compile(redirect), problems).map_or(Action::Broken, Action::Redirect)
            }
            RuleAction::DirectResponse(direct) => Action::Direct(direct.clone()),
        };
        let rewrite = rule.rewrite.clone().unwrap_or_default();
        let new_path = rewrite.path.as_ref().map(PathEdit::compile).transpose();
        let new_authority = rewrite
            .authority
            .as_deref()
            .map(|authority| authority.parse().map_err(|_| format!("{authority:?} is not an authority")));
        if new_path.is_err() || matches!(new_authority, Some(Err(_))) {
            action = Action::Broken;
        }
        let mirror = |mirror: &Mirror, problems: &mut Vec<String>| {
            (Backend::compile(&mirror.backend, problems), mirror.share)
        };
        Rule {
            name: rule.name.clone(),
            conditions,
            fault: rule.fault.clone(),
            request_headers: HeaderEdit::compile(&rule.request_headers, problems),
            response_headers: HeaderEdit::compile(&rule.response_headers, problems),
            action,
            new_authority: new_authority.and_then(|authority| kept(authority, problems)),
            new_path: kept(new_path, problems).flatten(),
            mirrors: rule.mirrors.iter().map(|m| mirror(m, problems)).collect(),
            request_timeout: rule.request_timeout.filter(|timeout| !timeout.is_zero()),
            attempt_timeout: rule.attempt_timeout.filter(|timeout| !timeout.is_zero()),
            retry: RetryPolicy::compile(&rule.retry),
            cors: rule.cors.as_ref().map(|cors| Cors::compile(cors, problems)),
            sessions: rule
                .session
                .as_ref()
                .and_then(|session| kept(Sessions::compile(session, &rule.name), problems)),
        }
    }

    /// The rule of what no rule governs: on to where it was sent.
    pub(crate) fn straight_to(destination: Destination) -> Rule {
        let backend = Backend {
            destination,
            weight: 1,
            request_headers: HeaderEdit::default(),
            response_headers: HeaderEdit::default(),
        };
        Rule {
            name: "default".into(),
            conditions: Conditions::Everything,
            fault: Fault::default(),
            request_headers: HeaderEdit::default(),
            response_headers: HeaderEdit::default(),
            action: Action::Forward(vec![backend]),
            new_authority: None,
            new_path: None,
            mirrors: Vec::new(),
            request_timeout: None,
            attempt_timeout: None,
            retry: RetryPolicy::compile(&Retry::default()),
            cors: None,
            sessions: None,
        }
    }

    /// The alternatives it has; none stands for one that takes every request.
    pub(super) fn alternatives(&self) -> impl Iterator<Item = Option<&Condition>> + Clone {
        let (everything, conditions) = match &self.conditions {
            Conditions::Everything => (Some(None), [].as_slice()),
            Conditions::AnyOf(conditions) => (None, conditions.as_slice()),
        };
        everything.into_iter().chain(conditions.iter().map(Some))
    }

    /// Whether one of its alternatives takes a request; and for how much of its path.
    pub(super) fn matches(&self, alternative: u32, subject: Subject<'_>) -> Option<PathMatched> {
        match &self.conditions {
            Conditions::Everything => Some(PathMatched::Segments(0)),
            Conditions::AnyOf(conditions) => conditions.get(alternative as usize)?.matches(subject),
        }
    }
}

impl Backend {
    pub(super) fn compile_all(forward: &Forward, problems: &mut Vec<String>) -> Vec<Backend> {
        forward.backends.iter().map(|backend| Backend::compile(backend, problems)).collect()
    }

    fn compile(backend: &mesh_model::Backend, problems: &mut Vec<String>) -> Backend {
        Backend {
            destination: match &backend.target {
                BackendTarget::Service { service, port, subset } => {
                    Destination::Service { service: service.clone(), port: *port, subset: subset.clone() }
                }
                BackendTarget::Invalid { status } => Destination::Invalid(
                    StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                ),
            },
            weight: backend.weight,
            request_headers: HeaderEdit::compile(&backend.request_headers, problems),
            response_headers: HeaderEdit::compile(&backend.response_headers, problems),
        }
    }

    /// Whether it has a share.
    pub(crate) fn takes_requests(&self) -> bool {
        self.weight > 0
    }

    /// One of the backends, by weight; none when none has any.
    pub(crate) fn choose(backends: &[Backend]) -> Option<&Backend> {
        let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
        match backends {
            _ if total == 0 => None,
            [only] => Some(only),
            several => {
                let mut ticket = rand::rng().random_range(0..total);
                several.iter().find(|backend| {
                    let weight = u64::from(backend.weight);
                    let here = ticket < weight;
                    ticket = ticket.saturating_sub(weight);
                    here
                })
            }
        }
    }
}

fn kept<T>(compiled: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    compiled.map_err(|problem| problems.push(problem)).ok()
}
