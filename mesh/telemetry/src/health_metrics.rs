//! `istio_health_checks` and `istio_health_check_endpoints`: what came of asking endpoints how they are.

use std::sync::Arc;

use mesh_model::NamespacedHostname;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::Registry;

/// How endpoints are. Clones count together.
#[derive(Clone, Debug)]
pub struct HealthMetrics {
    checks: Family<CheckLabels, Counter>,
    endpoints: Family<EndpointLabels, Gauge>,
}

/// How many endpoints of a service are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct EndpointCounts {
    pub unchecked: usize,
    pub healthy: usize,
    pub unhealthy: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    destination_service: Arc<str>,
    destination_service_namespace: Arc<str>,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    destination_service: Arc<str>,
    destination_service_namespace: Arc<str>,
    health: &'static str,
}

impl HealthMetrics {
    /// Registers both.
    pub fn new(registry: &Registry) -> Self {
        let metrics = HealthMetrics { checks: Family::default(), endpoints: Family::default() };
        registry.register(
            "istio_health_checks",
            "The total number of times that endpoints were asked how they are, by the result (unstable)",
            metrics.checks.clone(),
        );
        registry.register(
            "istio_health_check_endpoints",
            "The number of endpoints that are asked how they are, by how they are now (unstable)",
            metrics.endpoints.clone(),
        );
        metrics
    }

    /// An endpoint of a service was asked.
    pub fn checked(&self, service: &NamespacedHostname, good: bool) {
        let result = if good { "success" } else { "failure" };
        self.checks.get_or_create(&checks(service, result)).inc();
    }

    /// So many endpoints of a service are how.
    pub fn count(&self, service: &NamespacedHostname, counts: EndpointCounts) {
        for (health, count) in
            [("unchecked", counts.unchecked), ("healthy", counts.healthy), ("unhealthy", counts.unhealthy)]
        {
            let gauge = self.endpoints.get_or_create(&endpoints(service, health));
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The endpoints of a service are asked no more.
    pub fn forget(&self, service: &NamespacedHostname) {
        ["success", "failure"].into_iter().for_each(|result| {
            self.checks.remove(&checks(service, result));
        });
        ["unchecked", "healthy", "unhealthy"].into_iter().for_each(|health| {
            self.endpoints.remove(&endpoints(service, health));
        });
    }
}

fn checks(service: &NamespacedHostname, result: &'static str) -> CheckLabels {
    CheckLabels {
        destination_service: service.hostname.clone(),
        destination_service_namespace: service.namespace.clone(),
        result,
    }
}

fn endpoints(service: &NamespacedHostname, health: &'static str) -> EndpointLabels {
    EndpointLabels {
        destination_service: service.hostname.clone(),
        destination_service_namespace: service.namespace.clone(),
        health,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_are_asked_no_more_have_no_lines() {
        let registry = Registry::new("waypoint", "1");
        let metrics = HealthMetrics::new(&registry);
        let service = NamespacedHostname::new("shop", "reviews");
        metrics.checked(&service, true);
        metrics.checked(&service, false);
        metrics.count(&service, EndpointCounts { unchecked: 1, healthy: 4, unhealthy: 2 });
        let page = registry.encode();
        let labels = "destination_service=\"reviews\",destination_service_namespace=\"shop\"";
        for line in [
            format!("istio_health_checks_total{{{labels},result=\"failure\"}} 1"),
            format!("istio_health_check_endpoints{{{labels},health=\"unchecked\"}} 1"),
            format!("istio_health_check_endpoints{{{labels},health=\"healthy\"}} 4"),
            format!("istio_health_check_endpoints{{{labels},health=\"unhealthy\"}} 2"),
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
        metrics.forget(&service);
        assert!(!registry.encode().contains("reviews"), "{}", registry.encode());
    }
}
