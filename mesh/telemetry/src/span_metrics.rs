//! What became of spans.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::Registry;

/// Counts spans.
#[derive(Debug, Default)]
pub struct SpanMetrics {
    exported: Counter,
    dropped: Family<Reason, Counter>,
}

/// Why a span was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Too many were waiting to be sent.
    QueueFull,
    /// Whoever collects them did not take them.
    Collector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl SpanMetrics {
    /// Registers `istio_trace_spans_*`.
    pub fn new(registry: &Registry) -> Arc<Self> {
        let metrics = Arc::new(SpanMetrics::default());
        registry.register(
            "istio_trace_spans_exported",
            "The total number of spans that a collector has taken (unstable)",
            metrics.exported.clone(),
        );
        registry.register(
            "istio_trace_spans_dropped",
            "The total number of spans that no collector has taken (unstable)",
            metrics.dropped.clone(),
        );
        metrics
    }

    /// A collector has taken so many.
    pub fn exported(&self, spans: usize) {
        self.exported.inc_by(spans as u64);
    }

    /// So many were given up.
    pub fn dropped(&self, spans: usize, why: DropReason) {
        let reason = match why {
            DropReason::QueueFull => "queue_full",
            DropReason::Collector => "collector",
        };
        self.dropped.get_or_create(&Reason { reason }).inc_by(spans as u64);
    }
}
