//! A waypoint's metrics of requests (telemetry.md §2), with the histogram buckets of Envoy.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::Registry;
use crate::labels::HttpLabels;
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
}

/// What is counted per label set.
#[derive(Debug, Default)]
pub(crate) struct RequestValues {
    pub(crate) requests: AtomicU64,
    pub(crate) milliseconds: Histogram,
    pub(crate) request_bytes: Histogram,
    pub(crate) response_bytes: Histogram,
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

type Metric = (&'static str, &'static str, fn(&RequestValues) -> &Histogram);

const HISTOGRAMS: [Metric; 3] = [
    ("istio_request_duration_milliseconds", "The duration of requests.", |values| &values.milliseconds),
    ("istio_request_bytes", "The size of requests.", |values| &values.request_bytes),
    ("istio_response_bytes", "The size of responses.", |values| &values.response_bytes),
];

impl Collector for HttpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests.encode(
            &mut encoder,
            ("istio_requests", "The total number of requests.", MetricType::Counter),
            |values, mut metric| {
                metric.encode_counter::<NoLabelSet, u64, f64>(&values.requests.load(Relaxed), None)
            },
            |_| true,
        )?;
        for (name, help, value) in HISTOGRAMS {
            self.requests.encode(
                &mut encoder,
                (name, help, MetricType::Histogram),
                |values, metric| value(values).encode(metric),
                |_| true,
            )?;
        }
        Ok(())
    }
}
