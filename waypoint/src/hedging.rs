//! Which requests to a service may be sent to a second endpoint where the first is slow, and how many of them there may
//! be: made ready once per change of the service's configuration, counted for all workers together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::{NamespacedHostname, RetryBudget, ServiceConfig};

use crate::upstream::{Account, Countable, Counted, Counts, Ledger, Overflow};

/// Requests of a service are counted apart from those on a port, which have limits of their own.
const NO_PORT: u16 = 0;

/// When requests are sent to another endpoint too.
#[derive(Debug)]
pub(crate) struct Hedging {
    pub(crate) service: NamespacedHostname,
    /// How long the endpoints asked so far have.
    pub(crate) delay: Duration,
    /// In all, the first one too.
    pub(crate) max_requests: u32,
    budget: RetryBudget,
    counts: Arc<Counts>,
}

/// By the names of rules.
#[derive(Debug, Default)]
pub(crate) struct Hedges {
    of_rules: HashMap<Arc<str>, Arc<Hedging>>,
    of_others: Option<Arc<Hedging>>,
}

impl Hedging {
    /// A request that may be sent twice, until somebody has answered it.
    pub(crate) fn enter_request(&self) -> Counted {
        self.counts.enter_anyway(Countable::Requests)
    }

    /// One more request beside a slow one, if there is room in the budget.
    pub(crate) fn enter_hedge(&self) -> Result<Counted, Overflow> {
        self.counts.enter(Countable::Hedges, Some(self.counts.allowed_by(&self.budget)))
    }
}

impl Hedges {
    pub(crate) fn compile(config: &ServiceConfig, ledger: &Ledger) -> Hedges {
        let mut hedges = Hedges::default();
        for entry in &config.hedging {
            let account = Account { service: config.key.clone(), port: NO_PORT, subset: None };
            let hedging = Arc::new(Hedging {
                service: config.key.clone(),
                delay: entry.hedging.delay,
                max_requests: entry.hedging.max_requests,
                budget: entry.hedging.budget,
                counts: ledger.open(account),
            });
            if entry.rules.is_empty() {
                hedges.of_others.get_or_insert(hedging);
                continue;
            }
            for rule in &entry.rules {
                hedges.of_rules.entry(rule.clone()).or_insert_with(|| hedging.clone());
            }
        }
        hedges
    }

    /// What holds for the requests that a rule takes, if anything does.
    pub(crate) fn find(&self, rule: &str) -> Option<&Hedging> {
        if self.of_rules.is_empty() {
            return self.of_others.as_deref();
        }
        self.of_rules.get(rule).or(self.of_others.as_ref()).map(|hedging| &**hedging)
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::HedgedRequests;
    use mesh_telemetry::{OverflowMetrics, Registry};

    use super::*;
    use crate::tests::samples::config;

    fn entry(rules: &[&str], milliseconds: u64) -> HedgedRequests {
        HedgedRequests {
            rules: rules.iter().map(|rule| (*rule).into()).collect(),
            hedging: mesh_model::Hedging {
                delay: Duration::from_millis(milliseconds),
                max_requests: 2,
                budget: RetryBudget { percent: 50.0, min_concurrency: 1 },
            },
        }
    }

    fn compile(hedging: Vec<HedgedRequests>, ledger: &Ledger) -> Hedges {
        Hedges::compile(&ServiceConfig { hedging, ..config("shop", vec![]) }, ledger)
    }

    fn ledger() -> Ledger {
        Ledger::new(OverflowMetrics::new(&Registry::new("waypoint", "test")))
    }

    #[test]
    fn the_first_entry_that_names_a_rule_counts_and_then_that_for_all() {
        let ledger = ledger();
        let hedges = compile(
            vec![entry(&["a/1"], 1), entry(&["a/1", "a/2"], 2), entry(&[], 3), entry(&[], 4)],
            &ledger,
        );
        let delays = ["a/1", "a/2", "b"].map(|rule| hedges.find(rule).unwrap().delay.as_millis());
        assert_eq!(delays, [1, 2, 3]);
        assert!(compile(vec![entry(&["a"], 1)], &ledger).find("b").is_none());
        assert!(Hedges::default().find("a").is_none());
    }

    #[test]
    fn hedges_are_a_share_of_the_requests_that_all_workers_have_on_their_way() {
        let ledger = ledger();
        let (one, other) = (compile(vec![entry(&[], 1)], &ledger), compile(vec![entry(&[], 1)], &ledger));
        let (one, other) = (one.find("a").unwrap(), other.find("a").unwrap());
        let minimum = one.enter_hedge().unwrap();
        assert!(other.enter_hedge().is_err());
        let requests: Vec<_> = (0..4).map(|_| other.enter_request()).collect();
        let second = other.enter_hedge().unwrap();
        assert!(one.enter_hedge().is_err(), "half of four are on their way");
        drop((minimum, second));
        assert!(one.enter_hedge().is_ok());
        drop(requests);
    }
}
