//! A waypoint's metrics of requests (telemetry.md §2), with the histogram buckets of Envoy.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mesh_model::RequestMetric;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::Registry;
use crate::labels::HttpLabels;
use crate::metric_changes::ChangedLabels;
use crate::series::Series;

const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// The metrics of requests. Fed by [`RequestReport`](crate::RequestReport).
#[derive(Debug, Default)]
pub struct HttpMetrics {
    pub(crate) requests: Series<HttpLabels, RequestValues>,
    /// Where somebody wants other labels than the usual ones; of the values the one of the labels' metric counts.
    pub(crate) changed: Series<ChangedLabels, RequestValues>,
}

/// What is counted per label set.
#[derive(Debug, Default)]
pub(crate) struct RequestValues {
    requests: AtomicU64,
    milliseconds: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

/// What one request adds to the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) milliseconds: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl RequestValues {
    pub(crate) fn count(&self, metric: RequestMetric, counted: Counted) {
        match metric {
            RequestMetric::Requests => drop(self.requests.fetch_add(1, Relaxed)),
            RequestMetric::Duration => self.milliseconds.observe(counted.milliseconds),
            RequestMetric::RequestBytes => self.request_bytes.observe(counted.received),
            RequestMetric::ResponseBytes => self.response_bytes.observe(counted.sent),
        }
    }

    /// Whether anything has been counted of a metric: what is not counted is not shown.
    fn has(&self, metric: RequestMetric) -> bool {
        match metric {
            RequestMetric::Requests => self.requests.load(Relaxed) > 0,
            RequestMetric::Duration => self.milliseconds.has_any(),
            RequestMetric::RequestBytes => self.request_bytes.has_any(),
            RequestMetric::ResponseBytes => self.response_bytes.has_any(),
        }
    }

    fn encode(&self, metric: RequestMetric, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match metric {
            RequestMetric::Requests => {
                encoder.encode_counter::<NoLabelSet, u64, f64>(&self.requests.load(Relaxed), None)
            }
            RequestMetric::Duration => self.milliseconds.encode(encoder),
            RequestMetric::RequestBytes => self.request_bytes.encode(encoder),
            RequestMetric::ResponseBytes => self.response_bytes.encode(encoder),
        }
    }
}

/// Whole numbers by [`BOUNDS`].
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, value: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < value as f64);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn has_any(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.load(Relaxed) > 0)
    }

    fn encode(&self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            bounds.zip(&self.buckets).map(|(bound, count)| (bound, count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        metric.encode_histogram::<NoLabelSet>(self.sum.load(Relaxed) as f64, count, &buckets, None)
    }
}

impl HttpMetrics {
    /// Registers `istio_requests_total` and its companions.
    pub fn new(registry: &Registry) -> Arc<Self> {
        let metrics = Arc::new(HttpMetrics::default());
        registry.collect(metrics.clone());
        metrics
    }
}

/// Name, help and form of each metric.
fn described(metric: RequestMetric) -> (&'static str, &'static str, MetricType) {
    match metric {
        RequestMetric::Requests => ("istio_requests", "The total number of requests.", MetricType::Counter),
        RequestMetric::Duration => {
            ("istio_request_duration_milliseconds", "The duration of requests.", MetricType::Histogram)
        }
        RequestMetric::RequestBytes => {
            ("istio_request_bytes", "The size of requests.", MetricType::Histogram)
        }
        RequestMetric::ResponseBytes => {
            ("istio_response_bytes", "The size of responses.", MetricType::Histogram)
        }
    }
}

impl Collector for HttpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in RequestMetric::ALL {
            let (name, help, kind) = described(metric);
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            let write = |values: &RequestValues, encoder: MetricEncoder<'_>| values.encode(metric, encoder);
            self.requests.encode(&mut family, write, |_, values| values.has(metric))?;
            self.changed.encode(&mut family, write, |labels, _| labels.metric == metric)?;
        }
        Ok(())
    }
}
