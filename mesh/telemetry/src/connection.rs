//! One connection: its metrics and its line in the access log.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use mesh_model::Workload;
use tracing::{Level, event};

use crate::labels::{Side, TcpLabels};
use crate::tcp_metrics::ConnectionValues;
use crate::{Direction, Party, Reporter, ResponseFlag, ServiceRef, TcpMetrics};

/// A connection that is open. [`close`](Self::close) says how it ended; dropped
/// without, the proxy cut it. Bytes are counted at the end and whenever
/// [`flush`](Self::flush) is called, so that long connections show up before.
pub struct ConnectionReport {
    metrics: Arc<TcpMetrics>,
    /// Shared by the connections that have them; held so that no byte needs a look-up.
    labels: Arc<TcpLabels>,
    values: Arc<ConnectionValues>,
    source: Option<Arc<Workload>>,
    destination: Option<Arc<Workload>>,
    addresses: Addresses,
    meter: Option<Box<dyn Fn() -> (u64, u64) + Send + Sync>>,
    opened: Instant,
    /// What has been counted of `meter`.
    counted: (AtomicU64, AtomicU64),
    closed: bool,
}

/// Where a connection goes.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The client's address.
    pub source: SocketAddr,
    /// The address connected to, the tunnel's if there is one.
    pub destination: SocketAddr,
    /// What the tunnel was asked for.
    pub target: Option<String>,
}

/// Why a connection ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For metrics.
    pub flag: ResponseFlag,
    /// For people.
    pub error: String,
}

impl ConnectionReport {
    /// A connection opens.
    pub fn open(
        metrics: &Arc<TcpMetrics>,
        reporter: Reporter,
        source: Party,
        destination: Party,
        service: Option<ServiceRef>,
        addresses: Addresses,
    ) -> Self {
        let labels = TcpLabels {
            reporter,
            source: Side::new(&source),
            destination: Side::new(&destination),
            service,
            flags: ResponseFlag::None.as_str(),
        };
        let (labels, values) = metrics.connections.of(labels);
        values.opened.fetch_add(1, Relaxed);
        event!(
            target: "access",
            Level::DEBUG,
            src.addr = %addresses.source,
            dst.addr = %addresses.destination,
            dst.hbone_addr = addresses.target.as_ref().map(tracing::field::display),
            direction = reporter.direction().as_str(),
            "connection opened"
        );
        ConnectionReport {
            metrics: metrics.clone(),
            labels,
            values,
            source: source.workload,
            destination: destination.workload,
            addresses,
            meter: None,
            opened: Instant::now(),
            counted: (AtomicU64::new(0), AtomicU64::new(0)),
            closed: false,
        }
    }

    /// Says where the bytes are counted: those sent to upstream so far and those received from it.
    pub fn measure(&mut self, meter: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        self.meter = Some(Box::new(meter));
    }

    /// Adds what was moved since the last time to the metrics (TEL-08).
    pub fn flush(&self) {
        let (sent, received) = self.moved();
        // What the client sent is what was received, whoever reports (TEL-06).
        add_growth(&self.values.received, &self.counted.0, sent);
        add_growth(&self.values.sent, &self.counted.1, received);
    }

    /// The connection is over.
    pub fn close(mut self, result: Result<(), Failure>) {
        self.finish(result.err());
    }

    fn moved(&self) -> (u64, u64) {
        self.meter.as_ref().map(|meter| meter()).unwrap_or_default()
    }

    fn finish(&mut self, failure: Option<Failure>) {
        self.closed = true;
        self.flush();
        match &failure {
            None => {
                self.values.closed.fetch_add(1, Relaxed);
            }
            Some(failure) => {
                let labels = TcpLabels { flags: failure.flag.as_str(), ..TcpLabels::clone(&self.labels) };
                let (_, values) = self.metrics.connections.of(labels);
                values.closed.fetch_add(1, Relaxed);
                values.failed.fetch_add(1, Relaxed);
            }
        }
        self.log(failure);
    }

    fn log(&self, failure: Option<Failure>) {
        // Each side's own view: what it sent to the other proxy (TEL-07).
        let direction = self.labels.reporter.direction();
        let (bytes_sent, bytes_recv) = match (direction, self.moved()) {
            (Direction::Outbound, moved) => moved,
            (Direction::Inbound, (sent, received)) => (received, sent),
        };
        let (source, destination) = (self.source.as_deref(), self.destination.as_deref());
        let duration = format!("{}ms", self.opened.elapsed().as_millis());
        // A level is part of an event's fixed description, so there have to be two.
        macro_rules! complete {
            ($level:expr) => {
                event!(
                    target: "access",
                    $level,
                    src.addr = %self.addresses.source,
                    src.workload = source.and_then(|workload| known(&workload.name)),
                    src.namespace = source.and_then(|workload| known(&workload.namespace)),
                    src.cluster = source.and_then(|workload| known(&workload.cluster_id)),
                    src.identity = self.labels.source.identity.as_ref().map(ToString::to_string),
                    dst.addr = %self.addresses.destination,
                    dst.hbone_addr = self.addresses.target.as_ref().map(tracing::field::display),
                    dst.service = self.labels.service.as_ref().map(|service| &*service.key.hostname),
                    dst.workload = destination.and_then(|workload| known(&workload.name)),
                    dst.namespace = destination.and_then(|workload| known(&workload.namespace)),
                    dst.cluster = destination.and_then(|workload| known(&workload.cluster_id)),
                    dst.identity = self.labels.destination.identity.as_ref().map(ToString::to_string),
                    direction = direction.as_str(),
                    bytes_sent,
                    bytes_recv,
                    duration,
                    error = failure.map(|failure| failure.error),
                    "connection complete"
                )
            };
        }
        match failure {
            None => complete!(Level::INFO),
            Some(_) => complete!(Level::ERROR),
        }
    }
}

impl Drop for ConnectionReport {
    fn drop(&mut self) {
        if !self.closed {
            let error = "connection closed by the proxy".to_owned();
            self.finish(Some(Failure { flag: ResponseFlag::None, error }));
        }
    }
}

/// Logs a connection that was refused before anything was known of it.
pub fn early_denial(source: SocketAddr, destination: SocketAddr, direction: Direction, error: &dyn Display) {
    event!(
        target: "access",
        Level::WARN,
        src.addr = %source,
        dst.addr = %destination,
        direction = direction.as_str(),
        error = error.to_string(),
        "connection failed"
    );
}

fn add_growth(counter: &AtomicU64, counted: &AtomicU64, total: u64) {
    let before = counted.fetch_max(total, Relaxed);
    counter.fetch_add(total.saturating_sub(before), Relaxed);
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
pub(crate) mod tests;
