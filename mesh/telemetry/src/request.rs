//! One request at a waypoint: its metrics and its line in the access log.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::labels::{HttpLabels, Side};
use crate::{HttpMetrics, LogEncoding, Party, RequestDetails, RequestFlags, Security, ServiceRef};

/// Where requests come from; the same for all requests of a connection.
#[derive(Clone, Debug)]
pub struct RequestSource {
    side: Side,
    security: Security,
}

impl RequestSource {
    /// A client, as far as it is known.
    pub fn new(source: &Party, security: Security) -> Self {
        RequestSource { side: Side::new(source), security }
    }
}

/// A request that is being served. [`close`](Self::close) says how it ended;
/// dropped without, the client went away.
pub struct RequestReport {
    metrics: Arc<HttpMetrics>,
    source: Arc<RequestSource>,
    service: Option<ServiceRef>,
    destination: Side,
    grpc: bool,
    log: Option<Box<(LogEncoding, RequestDetails)>>,
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
            destination: Side::default(),
            grpc,
            log: None,
            opened: Instant::now(),
            closed: false,
        }
    }

    /// Writes a line when the request ends.
    pub fn log_as(&mut self, encoding: LogEncoding, details: RequestDetails) {
        self.log = Some(Box::new((encoding, details)));
    }

    /// What the line will say, if there will be one.
    pub fn details(&mut self) -> Option<&mut RequestDetails> {
        self.log.as_mut().map(|log| &mut log.1)
    }

    /// The endpoint that got the request, the last one if there were several.
    pub fn set_destination(&mut self, destination: &Party) {
        self.destination = Side::new(destination);
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
        let (_, values) = self.metrics.requests.of(HttpLabels {
            source: self.source.side.clone(),
            destination: std::mem::take(&mut self.destination),
            service: self.service.take(),
            protocol: if self.grpc { "grpc" } else { "http" },
            code: end.code,
            grpc_status: end.grpc_status.filter(|_| self.grpc).map(known_grpc_status),
            flags: end.flags,
            security: self.source.security,
        });
        values.requests.fetch_add(1, Relaxed);
        values.milliseconds.observe(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        values.request_bytes.observe(end.received);
        values.response_bytes.observe(end.sent);
        if let Some(log) = self.log.take() {
            log.1.write(log.0, &end, duration);
        }
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
