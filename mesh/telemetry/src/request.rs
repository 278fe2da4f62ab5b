//! One request at a waypoint: its metrics, its line in the access log, its span.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use mesh_model::{AccessLog, RequestMetric};

use crate::http_metrics::Counted;
use crate::labels::{HttpLabels, Side};
use crate::metric_changes::LabelHeaders;
use crate::prepared::{Ingredients, Prepared};
use crate::{
    HttpMetrics, MetricChanges, OpenSpan, Party, RequestDetails, RequestFlags, Security, ServiceRef,
};

/// Where requests come from; the same for all requests of a connection.
#[derive(Debug)]
pub struct RequestSource {
    party: Party,
    side: Side,
    security: Security,
    prepared: Prepared,
}

impl RequestSource {
    /// A client, as far as it is known.
    pub fn new(source: &Party, security: Security) -> Self {
        RequestSource {
            party: source.clone(),
            side: Side::new(source),
            security,
            prepared: Prepared::default(),
        }
    }

    fn labels(&self, request: &Ingredients) -> HttpLabels {
        HttpLabels {
            source: self.side.clone(),
            destination: Side::new(&request.destination),
            service: request.service.clone(),
            protocol: if request.grpc { "grpc" } else { "http" },
            code: request.code,
            grpc_status: request.grpc_status,
            flags: request.flags,
            security: self.security,
        }
    }
}

/// A request that is being served. [`close`](Self::close) says how it ended;
/// dropped without, the client went away.
pub struct RequestReport {
    metrics: Arc<HttpMetrics>,
    source: Arc<RequestSource>,
    service: Option<ServiceRef>,
    destination: Party,
    grpc: bool,
    /// What all of the following need.
    details: Option<Box<RequestDetails>>,
    log: Option<Arc<AccessLog>>,
    span: Option<Box<OpenSpan>>,
    changes: Option<(Arc<MetricChanges>, LabelHeaders)>,
    opened: Instant,
    closed: bool,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestEnd {
    /// The status; 0 when none was sent.
    pub code: u16,
    /// The status of gRPC, if it was a gRPC request.
    pub grpc_status: Option<u32>,
    /// What happened.
    pub flags: RequestFlags,
    /// Bytes received from the client.
    pub received: u64,
    /// Bytes sent to the client.
    pub sent: u64,
}

impl RequestReport {
    /// A request to a service begins; `grpc` says what its content type does.
    pub fn open(
        metrics: &Arc<HttpMetrics>,
        source: &Arc<RequestSource>,
        service: Option<ServiceRef>,
        grpc: bool,
    ) -> Self {
        RequestReport {
            metrics: metrics.clone(),
            source: source.clone(),
            service,
            destination: Party::default(),
            grpc,
            details: None,
            log: None,
            span: None,
            changes: None,
            opened: Instant::now(),
            closed: false,
        }
    }

    /// What line, span and labels say of the request.
    pub fn describe(&mut self, details: RequestDetails) {
        self.details = Some(Box::new(details));
    }

    /// Writes a line when the request ends, if it ends so that it is logged.
    pub fn log_as(&mut self, log: Arc<AccessLog>) {
        self.log = Some(log);
    }

    /// Ends a span when the request ends.
    pub fn trace_as(&mut self, span: OpenSpan) {
        self.span = Some(Box::new(span));
    }

    /// Counts the request, which has these headers, in another way than usual.
    pub fn change_metrics(&mut self, changes: Arc<MetricChanges>, headers: &HeaderMap) {
        let kept = changes.keep(headers);
        self.changes = Some((changes, kept));
    }

    /// What line and span will say, if anybody wants to know.
    pub fn details(&mut self) -> Option<&mut RequestDetails> {
        self.details.as_deref_mut()
    }

    /// The endpoint that got the request, the last one if there were several.
    pub fn set_destination(&mut self, destination: &Party) {
        self.destination = destination.clone();
    }

    /// How long the request has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The request is over.
    pub fn close(mut self, end: RequestEnd) {
        self.finish(end);
    }

    fn finish(&mut self, end: RequestEnd) {
        self.closed = true;
        let duration = self.opened.elapsed();
        let destination = std::mem::take(&mut self.destination);
        self.count(&end, duration, destination.clone());
        let Some(details) = self.details.take() else { return };
        if let Some(log) = self.log.take().filter(|log| log.filter.includes(end.code)) {
            details.write(log.encoding, &end, duration);
        }
        if let Some(span) = self.span.take() {
            // What a backend calls its gRPC status means something for gRPC alone.
            let end = RequestEnd { grpc_status: end.grpc_status.filter(|_| self.grpc), ..end };
            (*span).close(&details, &end, duration, (&self.source.party, &destination));
        }
    }

    fn count(&mut self, end: &RequestEnd, duration: Duration, destination: Party) {
        let request = Ingredients {
            destination,
            service: self.service.take(),
            grpc: self.grpc,
            code: end.code,
            grpc_status: end.grpc_status.filter(|_| self.grpc).map(known_grpc_status),
            flags: end.flags,
        };
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let counted = Counted { milliseconds, received: end.received, sent: end.sent };
        if let Some((changes, headers)) = self.changes.take() {
            let labels = self.source.labels(&request);
            return changes.count(&self.metrics, labels, (self.details.as_deref(), &headers), counted);
        }
        let look_up = |request: &Ingredients| self.metrics.requests.of(self.source.labels(request)).1;
        let values = self.source.prepared.of(request, look_up);
        RequestMetric::ALL.into_iter().for_each(|metric| values.count(metric, counted));
    }
}

/// A backend cannot make up label values: what gRPC does not know is its UNKNOWN, 2.
fn known_grpc_status(status: u32) -> u8 {
    u8::try_from(status).ok().filter(|status| *status <= 16).unwrap_or(2)
}

impl Drop for RequestReport {
    fn drop(&mut self) {
        if !self.closed {
            self.finish(RequestEnd { flags: RequestFlags::DOWNSTREAM_CLOSED, ..RequestEnd::default() });
        }
    }
}

#[cfg(test)]
mod tests;
