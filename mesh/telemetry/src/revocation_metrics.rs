//! `istio_crl_*`: what revocation lists did to connections.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::tcp_metrics::ReporterLabel;
use crate::{Registry, Reporter};

/// What revocation lists did to connections. Clones count together.
#[derive(Clone, Debug)]
pub struct RevocationMetrics {
    rejections: Family<ReporterLabel, Counter>,
    untracked: Family<ReporterLabel, Counter>,
}

impl RevocationMetrics {
    /// Registers `istio_crl_*`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = RevocationMetrics { rejections: Family::default(), untracked: Family::default() };
        registry.register(
            "istio_crl_policy_rejections",
            "The total number of connections refused or cut because the peer's certificate is revoked (unstable)",
            metrics.rejections.clone(),
        );
        registry.register(
            "istio_crl_untracked_connections",
            "The total number of connections whose peer's certificates cannot be followed (unstable)",
            metrics.untracked.clone(),
        );
        metrics
    }

    /// A connection was refused, or cut (ID-14, ID-16).
    pub fn rejected(&self, reporter: Reporter) {
        self.rejections.get_or_create(&ReporterLabel { reporter: reporter.as_str() }).inc();
    }

    /// A connection is open that no list can reach (ID-20).
    pub fn untracked(&self, reporter: Reporter) {
        self.untracked.get_or_create(&ReporterLabel { reporter: reporter.as_str() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_14_20_each_end_counts_for_itself() {
        let registry = Registry::new("ztunnel", "1");
        let metrics = RevocationMetrics::new(&registry);
        metrics.rejected(Reporter::Destination);
        metrics.rejected(Reporter::Destination);
        metrics.rejected(Reporter::Source);
        metrics.untracked(Reporter::Source);
        let page = registry.encode();
        for line in [
            "istio_crl_policy_rejections_total{reporter=\"destination\"} 2",
            "istio_crl_policy_rejections_total{reporter=\"source\"} 1",
            "istio_crl_untracked_connections_total{reporter=\"source\"} 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
