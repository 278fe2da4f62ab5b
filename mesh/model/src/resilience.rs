//! How a waypoint finds out which endpoints of a service are well, and which requests it may send twice: what a
//! ResiliencePolicy asks for.

use std::sync::Arc;
use std::time::Duration;

use crate::RetryBudget;

/// The waypoint itself asks every endpoint how it is, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// From the end of one check to the beginning of the next, more or less.
    pub interval: Duration,
    /// An answer that takes longer is a bad one.
    pub timeout: Duration,
    /// So many good answers in a row make an endpoint well again.
    pub healthy_threshold: u32,
    /// So many bad answers in a row make an endpoint unwell.
    pub unhealthy_threshold: u32,
    /// Where fewer than this share are well, all are used; 0: never.
    pub panic_percent: u32,
    /// The service port at whose target endpoints are asked. The answer is about the endpoint, whatever the port.
    pub port: u16,
    /// What they are asked.
    pub probe: Probe,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A request.
    Http(HttpProbe),
    /// A connection, which only has to open.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service asked about; empty: the server as a whole.
        service: Arc<str>,
        /// The authority.
        host: Arc<str>,
    },
}

/// A request, and what is a good answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct HttpProbe {
    pub path: Arc<str>,
    pub host: Arc<str>,
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: Arc<str>,
    /// Alternatives.
    pub expected: Vec<StatusRange>,
}

/// Statuses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct StatusRange {
    pub first: u16,
    pub last: u16,
}

impl StatusRange {
    /// Whether a status is one of them.
    pub fn includes(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// Which requests may be sent twice.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgedRequests {
    /// Those taken by these rules, by name; none: all. The first entry that names a rule counts.
    pub rules: Vec<Arc<str>>,
    /// When, and how often.
    pub hedging: Hedging,
}

/// A request that only reads is sent to another endpoint too, where none has answered in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedging {
    /// How long the ones before have.
    pub delay: Duration,
    /// In all, the first one too.
    pub max_requests: u32,
    /// How many of the requests on their way may be such second ones.
    pub budget: RetryBudget,
}
