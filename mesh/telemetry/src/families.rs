//! Metrics that other parts of a proxy count: its discovery streams and its pods.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::Registry;

/// What came over discovery streams.
#[derive(Clone)]
pub struct XdsMetrics {
    terminations: Family<Reason, Counter>,
    messages: Family<Url, Counter>,
    bytes: Family<Url, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Url {
    url: Arc<str>,
}

impl XdsMetrics {
    /// Registers `istio_xds_*`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = XdsMetrics {
            terminations: Family::default(),
            messages: Family::default(),
            bytes: Family::default(),
        };
        registry.register(
            "istio_xds_connection_terminations",
            "The total number of completed connections to xds server (unstable)",
            metrics.terminations.clone(),
        );
        registry.register(
            "istio_xds_message",
            "Total number of messages received (unstable)",
            metrics.messages.clone(),
        );
        registry.register(
            "istio_xds_message_bytes",
            "Total number of bytes received (unstable)",
            metrics.bytes.clone(),
        );
        metrics
    }

    /// A stream ended: `ConnectionError`, `Error`, `Reconnect` or `Complete`.
    pub fn terminated(&self, reason: &'static str) {
        self.terminations.get_or_create(&Reason { reason }).inc();
    }

    /// A response of a type arrived.
    pub fn received(&self, type_url: &str, bytes: u64) {
        let labels = Url { url: type_url.into() };
        self.messages.get_or_create(&labels).inc();
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }
}

/// How many pods the proxy serves (TEL-21).
#[derive(Clone)]
pub struct PodMetrics {
    /// Pods with listeners.
    pub active: Gauge,
    /// Pods whose start failed and is tried again.
    pub pending: Gauge,
    /// Starts so far.
    pub started: Counter,
    /// Stops so far.
    pub stopped: Counter,
}

impl PodMetrics {
    /// Registers `workload_manager_*`.
    pub fn new(registry: &Registry) -> Self {
        PodMetrics {
            active: registry.gauge(
                "workload_manager_active_proxy_count",
                "The total number current workloads with active proxies (unstable)",
            ),
            pending: registry.gauge(
                "workload_manager_pending_proxy_count",
                "The total number current workloads with pending proxies (unstable)",
            ),
            started: registry.counter(
                "workload_manager_proxies_started",
                "The total number of proxies that were started (unstable)",
            ),
            stopped: registry.counter(
                "workload_manager_proxies_stopped",
                "The total number of proxies that were stopped (unstable)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tel_21_streams_and_pods_are_counted_under_their_names() {
        let registry = Registry::new("ztunnel", "0");
        let (xds, pods) = (XdsMetrics::new(&registry), PodMetrics::new(&registry));
        xds.terminated("Reconnect");
        xds.received("type.googleapis.com/istio.workload.Address", 7);
        pods.active.set(2);
        pods.started.inc();
        let text = registry.encode();
        for line in [
            "istio_xds_connection_terminations_total{reason=\"Reconnect\"} 1",
            "istio_xds_message_bytes_total{url=\"type.googleapis.com/istio.workload.Address\"} 7",
            "workload_manager_active_proxy_count 2",
            "workload_manager_proxies_started_total 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
