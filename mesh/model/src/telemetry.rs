//! What a waypoint tells of the requests it serves: traces, access log, metrics. The controller has merged it from
//! the mesh's configuration and all Telemetry objects (telemetry.md §2.2), so nothing is inherited here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{NamespacedHostname, PerMillion};

/// What is told of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// None: requests are not traced, and what their headers say of traces is passed on.
    pub tracing: Option<Tracing>,
    /// None: requests are not logged.
    pub access_log: Option<AccessLog>,
    /// What is different about metrics.
    pub metrics: BTreeMap<RequestMetric, MetricSettings>,
}

impl Telemetry {
    /// Nothing is traced or logged, and metrics are as they always are.
    pub fn is_usual(&self) -> bool {
        self.tracing.is_none() && self.access_log.is_none() && self.metrics.is_empty()
    }
}

/// How requests are traced.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Where spans are sent.
    pub collector: TraceCollector,
    /// Of the requests about which nobody has decided yet.
    pub sampled: PerMillion,
    /// Spans are sent.
    pub reported: bool,
    /// Backends are told the trace.
    pub propagated: bool,
    /// Spans say whose waypoint it is.
    pub own_tags: bool,
    /// What spans say beside what all of them do.
    pub tags: BTreeMap<Arc<str>, TagSource>,
    /// How backends are told.
    pub headers: TraceHeaders,
}

/// By which headers a trace goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceHeaders {
    /// `traceparent`, and B3 beside it where the client sent that.
    #[default]
    W3c,
    /// B3 alone.
    B3,
    /// Both.
    B3AndW3c,
}

/// A service that takes spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceCollector {
    /// The service.
    pub service: NamespacedHostname,
    /// Its port.
    pub port: u16,
    /// How long it may take with one batch.
    pub timeout: Duration,
    /// What it is told beside the spans; names in lower case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// How they are sent.
    pub protocol: TraceProtocol,
}

/// How spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceProtocol {
    /// By `opentelemetry.proto.collector.trace.v1.TraceService`.
    OtlpGrpc,
    /// The same messages by POST.
    OtlpHttp {
        /// To this path.
        path: Arc<str>,
    },
    /// JSON of version 2 by POST.
    Zipkin {
        /// To this path.
        path: Arc<str>,
        /// New traces have ids of 64 bits.
        short_ids: bool,
    },
}

/// Where the value of a span's tag comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSource {
    /// It is always this.
    Literal(Arc<str>),
    /// A header of the request, in lower case.
    Header(NamedSource),
    /// A variable of the waypoint's process.
    Environment(NamedSource),
}

/// A value by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSource {
    /// The name.
    pub name: Arc<str>,
    /// Where it has none; without, there is no tag then.
    pub default: Option<Arc<str>>,
}

/// How requests are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// How lines look.
    pub encoding: LogEncoding,
    /// Which requests.
    pub filter: LogFilter,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEncoding {
    /// Envoy's default line.
    #[default]
    Text,
    /// A field per value.
    Json,
}

/// Which requests are logged: those that all tests of one alternative are true of; without any, every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The alternatives.
    pub any_of: Vec<Vec<CodeTest>>,
}

impl LogFilter {
    /// Whether a request that ended with this status is logged; 0 stands for none.
    pub fn includes(&self, code: u16) -> bool {
        self.any_of.is_empty() || self.any_of.iter().any(|tests| tests.iter().all(|test| test.holds(code)))
    }
}

/// A test of the status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTest {
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub code: u16,
}

/// Of the status with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl CodeTest {
    fn holds(self, code: u16) -> bool {
        match self.comparison {
            Comparison::Equal => code == self.code,
            Comparison::NotEqual => code != self.code,
            Comparison::Less => code < self.code,
            Comparison::AtMost => code <= self.code,
            Comparison::Greater => code > self.code,
            Comparison::AtLeast => code >= self.code,
        }
    }
}

/// A metric of requests that a waypoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestMetric {
    /// `istio_requests_total`
    Requests,
    /// `istio_request_duration_milliseconds`
    Duration,
    /// `istio_request_bytes`
    RequestBytes,
    /// `istio_response_bytes`
    ResponseBytes,
}

impl RequestMetric {
    /// Every one.
    pub const ALL: [RequestMetric; 4] = [
        RequestMetric::Requests,
        RequestMetric::Duration,
        RequestMetric::RequestBytes,
        RequestMetric::ResponseBytes,
    ];
}

/// What is different about a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricSettings {
    /// It is not counted.
    pub disabled: bool,
    /// By label.
    pub labels: BTreeMap<Arc<str>, LabelChange>,
}

/// What becomes of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelChange {
    /// It is left out.
    Removed,
    /// It has this value.
    Set(LabelSource),
}

/// Where the value of a label comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum LabelSource {
    Literal(Arc<str>),
    /// A header of the request, in lower case.
    Header(Arc<str>),
    Host,
    Method,
    /// The path without the query.
    UrlPath,
    Protocol,
    RequestId,
    UserAgent,
    ResponseCode,
    ClientPrincipal,
    ServerPrincipal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_an_alternative_of_tests_that_all_hold() {
        use Comparison::{AtLeast, Equal, Less};
        let test = |comparison, code| CodeTest { comparison, code };
        let errors = vec![test(AtLeast, 400), test(Less, 500)];
        let filter = LogFilter { any_of: vec![errors, vec![test(Equal, 200)]] };
        let logged: Vec<u16> =
            [0, 200, 204, 399, 400, 499, 500].into_iter().filter(|code| filter.includes(*code)).collect();
        assert_eq!(logged, [200, 400, 499]);
        assert!(LogFilter::default().includes(0));
    }
}
