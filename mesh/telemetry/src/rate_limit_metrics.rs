//! `istio_rate_limit_requests` and `istio_rate_limit_evictions`: what limits of how many requests may pass have done.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::Registry;

/// What limits have done. Clones count together.
#[derive(Clone, Debug)]
pub struct RateLimitMetrics {
    requests: Family<RequestLabels, Counter>,
    evictions: Family<LimitLabels, Counter>,
}

/// The counters of one limit, found once.
#[derive(Clone, Debug)]
pub struct LimitCounters {
    /// Requests within it.
    pub within: Counter,
    /// Requests beyond it, which were refused.
    pub refused: Counter,
    /// Requests beyond it, which passed because it only counts.
    pub shadowed: Counter,
    /// Requests that nobody could be asked about.
    pub unasked: Counter,
    /// Counts that were forgotten too early, for there were too many.
    pub evicted: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    policy: String,
    limit: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    policy: String,
    limit: String,
}

impl RateLimitMetrics {
    /// Registers both.
    pub fn new(registry: &Registry) -> Self {
        let metrics = RateLimitMetrics { requests: Family::default(), evictions: Family::default() };
        registry.register(
            "istio_rate_limit_requests",
            "The total number of requests that a limit was about, by what became of them (unstable)",
            metrics.requests.clone(),
        );
        registry.register(
            "istio_rate_limit_evictions",
            "The total number of counts that were forgotten because too many were kept for a limit (unstable)",
            metrics.evictions.clone(),
        );
        metrics
    }

    /// The counters of the limit `namespace/policy/limit`.
    pub fn find(&self, name: &str) -> LimitCounters {
        let (policy, limit) = name.rsplit_once('/').unwrap_or((name, ""));
        let (policy, limit) = (policy.to_owned(), limit.to_owned());
        let of = |outcome| {
            let labels = RequestLabels { policy: policy.clone(), limit: limit.clone(), outcome };
            self.requests.get_or_create(&labels).clone()
        };
        let (within, refused) = (of("within"), of("over_limit"));
        let (shadowed, unasked) = (of("shadowed"), of("error"));
        let labels = LimitLabels { policy: policy.clone(), limit: limit.clone() };
        let evicted = self.evictions.get_or_create(&labels).clone();
        LimitCounters { within, refused, shadowed, unasked, evicted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn res_each_outcome_of_a_limit_counts_for_itself() {
        let registry = Registry::new("waypoint", "1");
        let metrics = RateLimitMetrics::new(&registry);
        metrics.find("shop/calm/each").refused.inc();
        metrics.find("shop/calm/each").refused.inc();
        metrics.find("shop/calm/all").evicted.inc();
        let page = registry.encode();
        for line in [
            "istio_rate_limit_requests_total{policy=\"shop/calm\",limit=\"each\",outcome=\"over_limit\"} 2",
            "istio_rate_limit_requests_total{policy=\"shop/calm\",limit=\"each\",outcome=\"within\"} 0",
            "istio_rate_limit_evictions_total{policy=\"shop/calm\",limit=\"all\"} 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
