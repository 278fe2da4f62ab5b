//! `istio_dns_*` and `istio_on_demand_dns`: the names a node proxy is asked for (TEL-16), and
//! those it looks up on its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;

use crate::labels::{Labels, Side};
use crate::{Party, Registry};

/// The metrics of DNS.
#[derive(Clone, Debug)]
pub struct DnsMetrics {
    requests: Family<DnsLabels, Counter>,
    upstream_requests: Family<DnsLabels, Counter>,
    upstream_failures: Family<DnsLabels, Counter>,
    upstream_seconds: Family<DnsLabels, Histogram, UpstreamSeconds>,
}

/// Whose question it was, and how it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DnsLabels {
    /// `A`, `AAAA`, …: a type that the proxy knows by name.
    pub request_query_type: &'static str,
    /// `udp` or `tcp`.
    pub request_protocol: DnsProtocol,
    /// The client's canonical service.
    pub source_canonical_service: Arc<str>,
    /// The client's canonical revision.
    pub source_canonical_revision: Arc<str>,
}

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue)]
#[allow(non_camel_case_types, missing_docs)] // the label's values
pub enum DnsProtocol {
    udp,
    tcp,
}

#[derive(Clone, Copy, Debug, Default)]
struct UpstreamSeconds;

impl MetricConstructor<Histogram> for UpstreamSeconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.0005, 0.001, 0.01, 0.1, 1.0, 5.0])
    }
}

impl DnsMetrics {
    /// Registers `istio_dns_*`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = DnsMetrics {
            requests: Family::default(),
            upstream_requests: Family::default(),
            upstream_failures: Family::default(),
            upstream_seconds: Family::new_with_constructor(UpstreamSeconds),
        };
        registry.register(
            "istio_dns_requests",
            "The total number of DNS requests (unstable)",
            metrics.requests.clone(),
        );
        registry.register(
            "istio_dns_upstream_requests",
            "The total number of DNS requests sent on (unstable)",
            metrics.upstream_requests.clone(),
        );
        registry.register(
            "istio_dns_upstream_failures",
            "The total number of DNS requests sent on that failed (unstable)",
            metrics.upstream_failures.clone(),
        );
        registry.register(
            "istio_dns_upstream_request_duration_seconds",
            "The time DNS requests sent on took (unstable)",
            metrics.upstream_seconds.clone(),
        );
        metrics
    }

    /// A question came.
    pub fn asked(&self, labels: &DnsLabels) {
        self.requests.get_or_create(labels).inc();
    }

    /// A question was sent on and answered, or not.
    pub fn sent_on(&self, labels: &DnsLabels, answered: bool, took: Duration) {
        self.upstream_requests.get_or_create(labels).inc();
        if !answered {
            self.upstream_failures.get_or_create(labels).inc();
        }
        self.upstream_seconds.get_or_create(labels).observe(took.as_secs_f64());
    }
}

/// The metrics of workloads that are known by name alone.
#[derive(Clone, Debug)]
pub struct OnDemandMetrics {
    uses: Family<OnDemandLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OnDemandLabels {
    source: Side,
    hostname: Arc<str>,
}

impl EncodeLabelSet for OnDemandLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut labels = Labels::new(encoder);
        labels.add_source(&self.source)?;
        labels.add("hostname", &self.hostname)
    }
}

impl OnDemandMetrics {
    /// Registers `istio_on_demand_dns`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = OnDemandMetrics { uses: Family::default() };
        registry.register(
            "istio_on_demand_dns",
            "The total number of connections to workloads known by name, which had to be looked up (unstable)",
            metrics.uses.clone(),
        );
        metrics
    }

    /// A connection of `source` needs an address of a host, looked up or kept from before.
    pub fn used(&self, source: &Party, hostname: &Arc<str>) {
        let labels = OnDemandLabels { source: Side::new(source), hostname: Arc::clone(hostname) };
        self.uses.get_or_create(&labels).inc();
    }
}
