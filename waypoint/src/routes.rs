//! What governs the requests and connections to a service, compiled once per change of its configuration.

mod cache;
mod condition;
mod index;
mod pattern;
mod rule;
mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_model::{NamespacedHostname, PortConfig, ServiceConfig, SmallMap};

use crate::hedging::Hedges;
use crate::rate_limits::{Counters, Limit, compile_all};
use crate::reporting::Reporting;
use crate::security::Guard;
use crate::upstream::Ledger;
pub(crate) use cache::RouteCache;
pub(crate) use condition::{Condition, Field, SCHEME, Subject, authority_of, find_query_param};
use index::{Index, Place};
pub(crate) use pattern::{PathMatched, Pattern, compile_regex};
pub(crate) use rule::{Action, Backend, Destination, Rule};
pub(crate) use stream::{Asked, Stream, StreamRule, StreamVerdict};

/// The routes of one service.
#[derive(Debug)]
pub(crate) struct ServiceRoutes {
    ports: SmallMap<u16, PortRoutes>,
    /// What may be asked of the service.
    pub(crate) guard: Guard,
    /// What is told of its requests, if that is different from what holds for the waypoint.
    pub(crate) reporting: Option<Reporting>,
    /// How many requests it takes.
    pub(crate) limits: Vec<Limit>,
    /// Where requests may come as gRPC-web.
    pub(crate) grpc_web_ports: BTreeSet<u16>,
    /// Which requests may be sent twice.
    pub(crate) hedges: Hedges,
}

/// The routes of one service port.
#[derive(Debug)]
struct PortRoutes {
    rules: Vec<Arc<Rule>>,
    index: Index,
    governed: bool,
    streams: Vec<Arc<StreamRule>>,
}

/// What the routes say of a request.
#[derive(Debug)]
pub(crate) enum Verdict<'r> {
    /// A rule takes it, for so much of its path. Borrowed: all workers have the same rules, and to count who
    /// holds one would make them wait for each other.
    Rule(&'r Arc<Rule>, PathMatched),
    /// It goes where it was sent.
    Ungoverned,
    /// There are rules, and it is for none of them.
    NoMatch,
}

impl ServiceRoutes {
    pub(crate) fn compile(config: &ServiceConfig) -> ServiceRoutes {
        let compile = |port: &PortConfig| PortRoutes::compile(port, &config.key);
        ServiceRoutes {
            ports: config.ports.iter().map(|(number, port)| (*number, compile(port))).collect(),
            guard: Guard::compile(&config.security),
            reporting: config.telemetry.as_ref().map(Reporting::compile),
            limits: Vec::new(),
            grpc_web_ports: config.grpc_web_ports.clone(),
            hedges: Hedges::default(),
        }
    }

    /// The same with its limits and budgets, which go on counting where others of the process are.
    fn with_limits(config: &ServiceConfig, counters: &Counters, ledger: &Ledger) -> ServiceRoutes {
        let limits = compile_all(&config.rate_limits, counters);
        let hedges = Hedges::compile(config, ledger);
        ServiceRoutes { limits, hedges, ..ServiceRoutes::compile(config) }
    }

    /// Port 0 speaks for ports without an entry of their own.
    fn find_port(&self, service_port: u16) -> Option<&PortRoutes> {
        self.ports.get(&service_port).or_else(|| self.ports.get(&0))
    }

    /// The first rule for connections that matches.
    pub(crate) fn judge_stream(&self, stream: Stream<'_>) -> StreamVerdict {
        match self.find_port(stream.service_port) {
            Some(port) => stream::judge(&port.streams, stream),
            None => StreamVerdict::Ungoverned,
        }
    }

    /// The first rule for requests that matches.
    pub(crate) fn judge(&self, subject: Subject<'_>) -> Verdict<'_> {
        let Some(port) = self.find_port(subject.service_port) else { return Verdict::Ungoverned };
        let first = port.index.find(subject, |place| port.matches(place, subject));
        port.verdict(first)
    }

    /// The same by looking at one rule after the other: slow, and obviously right.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn judge_one_by_one(&self, subject: Subject<'_>) -> Verdict<'_> {
        let Some(port) = self.find_port(subject.service_port) else { return Verdict::Ungoverned };
        let first = port.places().find_map(|(place, _)| Some((place, port.matches(place, subject)?)));
        port.verdict(first)
    }
}

impl PortRoutes {
    fn compile(port: &PortConfig, service: &NamespacedHostname) -> PortRoutes {
        let streams = port.stream_rules.iter().map(|rule| Arc::new(StreamRule::compile(rule, service)));
        let mut routes = PortRoutes {
            rules: port.http_rules.iter().map(|rule| Arc::new(Rule::compile(rule, service))).collect(),
            index: Index::default(),
            governed: port.governed,
            streams: streams.collect(),
        };
        routes.index = Index::new(routes.places());
        routes
    }

    /// What the rules ask for, in their order.
    fn places(&self) -> impl Iterator<Item = (Place, Option<&Condition>)> + Clone {
        (0..).zip(&self.rules).flat_map(|(rule, compiled)| {
            (0..)
                .zip(compiled.alternatives())
                .map(move |(alternative, condition)| ((rule, alternative), condition))
        })
    }

    fn matches(&self, (rule, alternative): Place, subject: Subject<'_>) -> Option<PathMatched> {
        self.rules.get(rule as usize)?.matches(alternative, subject)
    }

    fn verdict(&self, first: Option<(Place, PathMatched)>) -> Verdict<'_> {
        let taken = first.and_then(|((rule, _), path)| Some((self.rules.get(rule as usize)?, path)));
        match taken {
            Some((rule, path)) => Verdict::Rule(rule, path),
            None if self.governed => Verdict::NoMatch,
            None => Verdict::Ungoverned,
        }
    }
}

#[cfg(test)]
mod tests;
