//! `istio_upstream_overflows`: what a waypoint refused because a limit of the service's traffic was reached.

use std::sync::Arc;

use mesh_model::NamespacedHostname;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::Registry;

/// What was refused. Clones count together.
#[derive(Clone, Debug)]
pub struct OverflowMetrics {
    overflows: Family<OverflowLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OverflowLabels {
    destination_service: Arc<str>,
    destination_service_namespace: Arc<str>,
    limit: &'static str,
}

impl OverflowMetrics {
    /// Registers `istio_upstream_overflows`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = OverflowMetrics { overflows: Family::default() };
        registry.register(
            "istio_upstream_overflows",
            "The total number of connections, requests and retries refused because a limit of the service was \
             reached (unstable)",
            metrics.overflows.clone(),
        );
        metrics
    }

    /// Something was refused; `limit` is the name of what there would have been too many of.
    pub fn refused(&self, service: &NamespacedHostname, limit: &'static str) {
        let labels = OverflowLabels {
            destination_service: service.hostname.clone(),
            destination_service_namespace: service.namespace.clone(),
            limit,
        };
        self.overflows.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn res_21_each_limit_counts_for_itself() {
        let registry = Registry::new("waypoint", "1");
        let metrics = OverflowMetrics::new(&registry);
        let service = NamespacedHostname::new("shop", "reviews.shop.svc.cluster.local");
        metrics.refused(&service, "requests");
        metrics.refused(&service, "requests");
        metrics.refused(&service, "connections");
        let page = registry.encode();
        for (limit, count) in [("requests", 2), ("connections", 1)] {
            let line = format!(
                "istio_upstream_overflows_total{{destination_service=\"reviews.shop.svc.cluster.local\",\
                 destination_service_namespace=\"shop\",limit=\"{limit}\"}} {count}"
            );
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
