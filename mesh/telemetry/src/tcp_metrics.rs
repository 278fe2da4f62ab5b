//! `istio_tcp_*`: connections and their bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::labels::TcpLabels;
use crate::series::Series;
use crate::{Registry, Reporter};

/// The metrics of connections. Fed by [`ConnectionReport`](crate::ConnectionReport).
#[derive(Debug, Default)]
pub struct TcpMetrics {
    pub(crate) connections: Series<TcpLabels, ConnectionValues>,
    sockets: Family<ReporterLabel, Gauge>,
}

/// What is counted per label set.
#[derive(Debug, Default)]
pub(crate) struct ConnectionValues {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Bytes of requests.
    pub(crate) received: AtomicU64,
    /// Bytes of responses.
    pub(crate) sent: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReporterLabel {
    pub(crate) reporter: &'static str,
}

/// A socket that is counted until dropped.
#[derive(Debug)]
pub struct OpenSocket(Gauge);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl TcpMetrics {
    /// Registers `istio_tcp_*`.
    pub fn new(registry: &Registry) -> Arc<Self> {
        let metrics = Arc::new(TcpMetrics::default());
        registry.collect(metrics.clone());
        registry.register(
            "istio_tcp_sockets_open",
            "The number of sockets that are open now (unstable)",
            metrics.sockets.clone(),
        );
        metrics
    }

    /// Counts a socket for as long as the result lives.
    pub fn count_socket(&self, reporter: Reporter) -> OpenSocket {
        let gauge = self.sockets.get_or_create_owned(&ReporterLabel { reporter: reporter.as_str() });
        gauge.inc();
        OpenSocket(gauge)
    }
}

/// Name, help and value. A label set shows what has been counted of it.
type Metric = (&'static str, &'static str, fn(&ConnectionValues) -> &AtomicU64);

const METRICS: [Metric; 5] = [
    ("istio_tcp_connections_opened", "The total number of TCP connections opened.", |values| &values.opened),
    ("istio_tcp_connections_closed", "The total number of TCP connections closed.", |values| &values.closed),
    ("istio_tcp_received_bytes", "The total number of bytes of requests over TCP connections.", |values| {
        &values.received
    }),
    ("istio_tcp_sent_bytes", "The total number of bytes of responses over TCP connections.", |values| {
        &values.sent
    }),
    (
        "istio_tcp_connections_failed",
        "The total number of TCP connections that failed (unstable).",
        |values| &values.failed,
    ),
];

impl Collector for TcpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in METRICS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.connections.encode(
                &mut metric,
                |values, mut metric| {
                    metric.encode_counter::<NoLabelSet, u64, f64>(&value(values).load(Relaxed), None)
                },
                |_, values| value(values).load(Relaxed) > 0,
            )?;
        }
        Ok(())
    }
}
