//! What shapes the requests to one service at its waypoint: rules, backends,
//! retries, timeouts, faults, mirrors. Rules arrive in order of precedence, so
//! the first that matches is the right one whatever API they were written in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    HealthCheck, HedgedRequests, NamespacedHostname, PortTraffic, RateLimit, Security, SessionPersistence,
    SmallMap, StreamRule, Telemetry, TrafficPolicy,
};

/// Everything a waypoint needs of one bound service beyond the workload API.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// The service.
    pub key: NamespacedHostname,
    /// By service port; port 0 speaks for the ports without an entry of their own.
    pub ports: SmallMap<u16, PortConfig>,
    /// Named parts of the service's endpoints.
    pub subsets: Vec<Subset>,
    /// What may be asked of it, beside what holds for its whole waypoint.
    pub security: Security,
    /// How its endpoints are chosen and spoken to.
    pub traffic: PortTraffic,
    /// What is told of its requests; none: what holds for its whole waypoint.
    pub telemetry: Option<Telemetry>,
    /// How many requests it takes, beside what holds for its whole waypoint.
    pub rate_limits: Vec<RateLimit>,
    /// Of several addresses that the name of an endpoint has, that one is used which takes a connection first.
    pub race_connections: bool,
    /// Service ports whose requests may come as gRPC-web; their endpoints get gRPC.
    pub grpc_web_ports: BTreeSet<u16>,
    /// How the waypoint finds out which endpoints are well, if it does.
    pub health_check: Option<HealthCheck>,
    /// Which requests may be sent twice.
    pub hedging: Vec<HedgedRequests>,
}

impl ServiceConfig {
    /// What governs a port, if anything does.
    pub fn find_port(&self, service_port: u16) -> Option<&PortConfig> {
        self.ports.get(&service_port).or_else(|| self.ports.get(&0))
    }

    /// How endpoints behind a port are chosen and spoken to, those of a subset if one is named; none: as
    /// without any policy.
    pub fn find_traffic<'c>(
        &'c self,
        service_port: u16,
        subset: Option<&'c Subset>,
    ) -> Option<&'c TrafficPolicy> {
        let both = [subset.map(|subset| &subset.traffic), Some(&self.traffic)];
        let mut policies = both.into_iter().flatten();
        policies.find_map(|traffic| traffic.get(&service_port).or_else(|| traffic.get(&0)))
    }
}

/// What happens on one service port.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PortConfig {
    /// In order of precedence.
    pub http_rules: Vec<HttpRule>,
    /// A request that no rule matches gets 404; otherwise it goes to the service itself.
    pub governed: bool,
    /// For connections that carry no HTTP, in order of precedence. Where there are any, a connection that
    /// none of them takes is closed.
    pub stream_rules: Vec<StreamRule>,
}

/// A named part of a service's endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    /// The name.
    pub name: Arc<str>,
    /// What an endpoint's labels have to include.
    pub labels: SmallMap<Arc<str>, Arc<str>>,
    /// Where there is an entry for a port, nothing of the service's holds there.
    pub traffic: PortTraffic,
}

/// One routing rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    /// `kind/namespace/name/rule`, for logs.
    pub name: Arc<str>,
    /// Alternatives; none at all matches everything.
    pub matches: Vec<HttpMatch>,
    /// Changes to the request.
    pub request_headers: HeaderChange,
    /// Changes to the response.
    pub response_headers: HeaderChange,
    /// Where the request goes.
    pub action: RuleAction,
    /// Changes to path and authority on the way to the backend.
    pub rewrite: Option<Rewrite>,
    /// Of the whole request, retries and back-off included.
    pub request_timeout: Option<Duration>,
    /// Of one attempt.
    pub attempt_timeout: Option<Duration>,
    /// When to try again.
    pub retry: Retry,
    /// Injected faults.
    pub fault: Fault,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
    /// What pages of other origins may do, if they are told anything.
    pub cors: Option<Cors>,
    /// How sessions are kept, if they are.
    pub session: Option<SessionPersistence>,
}

/// Cross-origin resource sharing. Where `*` is among the methods or headers, all are allowed.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the names say it
pub struct Cors {
    pub origins: Vec<ValueMatch>,
    pub methods: Vec<Arc<str>>,
    pub headers: Vec<Arc<str>>,
    pub exposed_headers: Vec<Arc<str>>,
    pub max_age: Option<Duration>,
    pub credentials: bool,
    /// A preflight request of another origin goes to the backend; otherwise it is answered here.
    pub forwards_unmatched_preflights: bool,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleAction {
    /// To a backend.
    Forward(Forward),
    /// Elsewhere: the client is told.
    Redirect(Redirect),
    /// Nowhere: answered here.
    DirectResponse(DirectResponse),
}

/// A pattern for a value of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// The value itself.
    Exact(Arc<str>),
    /// Its beginning.
    Prefix(Arc<str>),
    /// All of it has to match.
    Regex(Arc<str>),
    /// By path segment: `/v2` matches `/v2` and `/v2/x`, not `/v2x` (GW-03).
    PathPrefix(Arc<str>),
    /// It is there.
    Presence,
}

/// What a request has to be like; all populated parts have to match.
#[derive(Clone, Debug, PartialEq, Default)]
#[allow(missing_docs)] // the names say it
pub struct HttpMatch {
    pub path: Option<ValueMatch>,
    pub ignore_path_case: bool,
    pub method: Option<ValueMatch>,
    pub authority: Option<ValueMatch>,
    pub scheme: Option<ValueMatch>,
    pub headers: Vec<NamedMatch>,
    pub without_headers: Vec<NamedMatch>,
    pub query_params: Vec<NamedMatch>,
    pub source_namespace: Option<Arc<str>>,
    pub port: Option<u16>,
    pub claims: Vec<ClaimMatch>,
    pub without_claims: Vec<ClaimMatch>,
}

/// A pattern for a claim of the end user's token; of a list, one of its values has to match.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimMatch {
    /// The way to it through nested objects; never empty.
    pub path: Vec<Arc<str>>,
    /// The pattern for its value.
    pub value: ValueMatch,
}

/// A pattern for a header (name in lower case) or a query parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedMatch {
    /// The name.
    pub name: Arc<str>,
    /// The pattern for its value.
    pub value: ValueMatch,
}

/// Changes to headers, in the order remove, set, add.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HeaderChange {
    /// Replaced or added.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Added to what is there.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Removed.
    pub remove: Vec<Arc<str>>,
}

impl HeaderChange {
    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// Backends and their shares. No backends, or none with a weight, answer 500.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Forward {
    /// The backends.
    pub backends: Vec<Backend>,
}

/// One of the places a request may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// The place.
    pub target: BackendTarget,
    /// Relative; 0 takes nothing.
    pub weight: u32,
    /// Changes to the request, before the rule's: those win (L7-03).
    pub request_headers: HeaderChange,
    /// Changes to the response, before the rule's.
    pub response_headers: HeaderChange,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendTarget {
    /// A service.
    Service {
        /// The service.
        service: NamespacedHostname,
        /// The service port.
        port: u16,
        /// Only this subset of its endpoints.
        subset: Option<Arc<str>>,
    },
    /// It could not be resolved: its share of requests is answered with this status (WP-28).
    Invalid {
        /// The status.
        status: u16,
    },
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Kept when absent.
    pub scheme: Option<Arc<str>>,
    /// Kept when absent.
    pub host: Option<Arc<str>>,
    /// Derived when absent.
    pub port: Option<u16>,
    /// How, when `port` is absent.
    pub port_derivation: PortDerivation,
    /// Kept when absent.
    pub path: Option<PathChange>,
}

/// Where a redirect's port comes from when none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PortDerivation {
    /// The well-known port of the scheme if one is given, else the port the request was made to.
    #[default]
    FromListener,
    /// The well-known port of the scheme.
    FromProtocolDefault,
    /// The port the request was made to.
    FromRequestPort,
}

/// A change to a path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// All of it.
    Full(Arc<str>),
    /// The prefix that matched.
    Prefix(Arc<str>),
    /// What a pattern finds.
    Regex {
        /// The pattern.
        pattern: Arc<str>,
        /// What stands for it, `\1` for the first group.
        substitution: Arc<str>,
    },
}

/// Changes on the way to the backend.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// The new authority.
    pub authority: Option<Arc<str>>,
    /// The new path.
    pub path: Option<PathChange>,
}

/// An answer without a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Arc<[u8]>,
}

/// When to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts beyond the first; 0 switches retrying off.
    pub attempts: u32,
    /// Statuses worth another attempt.
    pub codes: Vec<u16>,
    /// Conditions worth another attempt, by their usual names (`connect-failure`, …).
    pub conditions: Vec<Arc<str>>,
    /// The first pause; it doubles, with jitter, up to ten times itself.
    pub backoff: Duration,
    /// An attempt avoids the endpoints that failed before.
    pub avoid_previous_hosts: bool,
}

impl Default for Retry {
    /// What holds where nothing is said (api.md §3.3): two more attempts where
    /// nothing can have reached the application.
    fn default() -> Self {
        let conditions = ["connect-failure", "refused-stream", "unavailable", "cancelled"];
        Retry {
            attempts: 2,
            codes: Vec::new(),
            conditions: conditions.map(Arc::from).to_vec(),
            backoff: Duration::from_millis(25),
            avoid_previous_hosts: true,
        }
    }
}

/// A share in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMillion(pub u32);

impl PerMillion {
    /// All.
    pub const ALL: PerMillion = PerMillion(1_000_000);
}

/// Injected faults.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fault {
    /// A pause before anything else.
    pub delay: Option<Delay>,
    /// An answer instead of the backend's.
    pub abort: Option<Abort>,
}

/// An injected pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub fixed: Duration,
    /// How often.
    pub share: PerMillion,
}

/// An injected answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Which.
    pub error: AbortError,
    /// How often.
    pub share: PerMillion,
}

/// The injected answers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortError {
    /// A status of HTTP.
    Http(u16),
    /// A status of gRPC, 0–16.
    Grpc(u32),
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The backend; its weight has no meaning.
    pub backend: Backend,
    /// How many.
    pub share: PerMillion,
}
