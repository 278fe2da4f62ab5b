//! What is told of the answers, for Prometheus.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Whoever asks chooses the domain, so only so many have a name here; the others are one.
const MOST_DOMAINS: usize = 100;
const OTHER: &str = "other";
/// Waypoints wait for 50 ms where nobody says otherwise.
const SECONDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];

/// The metrics, and the page with them.
pub struct Metrics {
    registry: Registry,
    decisions: Family<Decision, Counter>,
    failures: Family<Failure, Counter>,
    duration: Histogram,
    domains: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decision {
    domain: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    reason: &'static str,
}

/// What became of one descriptor of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Within,
    OverLimit,
    /// It would have been, if its limit were in force.
    Shadowed,
    /// There is no limit for it.
    Unlimited,
    /// It could not be counted.
    Error,
}

/// Why Redis was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisFailure {
    Refused,
    TooSlow,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (mut registry, duration) = (Registry::default(), Histogram::new(SECONDS));
        let (decisions, failures) = (Family::default(), Family::default());
        let help = "Descriptors that were asked about (unstable)";
        registry.register("adit_rate_limiter_decisions", help, Family::clone(&decisions));
        let help = "Questions for which Redis was of no use (unstable)";
        registry.register("adit_rate_limiter_redis_errors", help, Family::clone(&failures));
        let help = "How long answers took, in seconds (unstable)";
        registry.register("adit_rate_limiter_request_duration_seconds", help, duration.clone());
        Metrics { registry, decisions, failures, duration, domains: Mutex::default() }
    }
}

impl Metrics {
    pub(crate) fn decided(&self, domain: &str, verdicts: impl IntoIterator<Item = Verdict>) {
        let domain = self.known(domain);
        for verdict in verdicts {
            let result = match verdict {
                Verdict::Within => "within",
                Verdict::OverLimit => "over_limit",
                Verdict::Shadowed => "shadowed",
                Verdict::Unlimited => "unlimited",
                Verdict::Error => "error",
            };
            self.decisions.get_or_create(&Decision { domain: domain.to_owned(), result }).inc();
        }
    }

    pub(crate) fn redis_failed(&self, failure: RedisFailure) {
        let reason = match failure {
            RedisFailure::Refused => "refused",
            RedisFailure::TooSlow => "too_slow",
        };
        self.failures.get_or_create(&Failure { reason }).inc();
    }

    pub(crate) fn answered(&self, after: Duration) {
        self.duration.observe(after.as_secs_f64());
    }

    /// The page, in OpenMetrics.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }

    fn known<'d>(&self, domain: &'d str) -> &'d str {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if domains.contains(domain) {
            return domain;
        }
        if domains.len() >= MOST_DOMAINS {
            return OTHER;
        }
        domains.insert(domain.to_owned());
        domain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tel_the_page_has_what_was_decided() {
        let metrics = Metrics::default();
        metrics.decided("shop", [Verdict::Within, Verdict::Within, Verdict::OverLimit]);
        metrics.decided("shop", [Verdict::Error]);
        metrics.redis_failed(RedisFailure::TooSlow);
        metrics.answered(Duration::from_millis(2));
        let page = metrics.encode();
        for line in [
            "adit_rate_limiter_decisions_total{domain=\"shop\",result=\"within\"} 2",
            "adit_rate_limiter_decisions_total{domain=\"shop\",result=\"over_limit\"} 1",
            "adit_rate_limiter_decisions_total{domain=\"shop\",result=\"error\"} 1",
            "adit_rate_limiter_redis_errors_total{reason=\"too_slow\"} 1",
            "adit_rate_limiter_request_duration_seconds_bucket{le=\"0.001\"} 0",
            "adit_rate_limiter_request_duration_seconds_bucket{le=\"0.0025\"} 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }

    #[test]
    fn sec_whoever_asks_cannot_make_up_series_without_end() {
        let metrics = Metrics::default();
        for number in 0..1000 {
            metrics.decided(&format!("domain-{number}"), [Verdict::Unlimited]);
        }
        let page = metrics.encode();
        let series = page.lines().filter(|line| line.starts_with("adit_rate_limiter_decisions_total{"));
        assert_eq!(series.count(), MOST_DOMAINS + 1);
        assert!(
            page.contains("adit_rate_limiter_decisions_total{domain=\"other\",result=\"unlimited\"} 900\n")
        );
    }
}
