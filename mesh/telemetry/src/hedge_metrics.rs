//! `istio_hedged_requests`: what became of requests that were sent to several endpoints.

use std::sync::Arc;

use mesh_model::NamespacedHostname;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::Registry;

/// What became of them. Clones count together.
#[derive(Clone, Debug)]
pub struct HedgeMetrics {
    requests: Family<HedgeLabels, Counter>,
}

/// What became of one of several requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeOutcome {
    /// Its response went to the client.
    Won,
    /// It was broken off, for another one's response did.
    Cancelled,
    /// It brought no response that could be used.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HedgeLabels {
    destination_service: Arc<str>,
    destination_service_namespace: Arc<str>,
    request: &'static str,
    outcome: &'static str,
}

impl HedgeMetrics {
    /// Registers `istio_hedged_requests`.
    pub fn new(registry: &Registry) -> Self {
        let metrics = HedgeMetrics { requests: Family::default() };
        registry.register(
            "istio_hedged_requests",
            "The total number of requests that belonged together because the first endpoint was slow, by what \
             became of them (unstable)",
            metrics.requests.clone(),
        );
        metrics
    }

    /// One of several requests to a service is over; `hedge`: it was not the first.
    pub fn ended(&self, service: &NamespacedHostname, hedge: bool, outcome: HedgeOutcome) {
        let labels = HedgeLabels {
            destination_service: service.hostname.clone(),
            destination_service_namespace: service.namespace.clone(),
            request: if hedge { "hedge" } else { "first" },
            outcome: match outcome {
                HedgeOutcome::Won => "won",
                HedgeOutcome::Cancelled => "cancelled",
                HedgeOutcome::Failed => "failed",
            },
        };
        self.requests.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_counts_for_itself() {
        let registry = Registry::new("waypoint", "1");
        let metrics = HedgeMetrics::new(&registry);
        let service = NamespacedHostname::new("shop", "reviews");
        metrics.ended(&service, false, HedgeOutcome::Cancelled);
        metrics.ended(&service, true, HedgeOutcome::Won);
        metrics.ended(&service, true, HedgeOutcome::Won);
        let page = registry.encode();
        for (request, outcome, count) in [("first", "cancelled", 1), ("hedge", "won", 2)] {
            let line = format!(
                "istio_hedged_requests_total{{destination_service=\"reviews\",destination_service_namespace=\"shop\",\
                 request=\"{request}\",outcome=\"{outcome}\"}} {count}"
            );
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
