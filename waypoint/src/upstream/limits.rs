//! How much of a service's traffic is on its way, counted for all workers together (RES-21):
//! what would be too many is refused, never queued.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mesh_model::{NamespacedHostname, RetryBudget};
use mesh_telemetry::OverflowMetrics;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Countable {
    Connections,
    /// Requests that wait for a connection.
    PendingRequests,
    Requests,
    Retries,
    /// Requests beside others that are slow.
    Hedges,
}

impl Countable {
    fn as_str(self) -> &'static str {
        match self {
            Countable::Connections => "connections",
            Countable::PendingRequests => "pending_requests",
            Countable::Requests => "requests",
            Countable::Retries => "retries",
            Countable::Hedges => "hedges",
        }
    }
}

/// There would be one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("overflow: the limit of {} is reached", .0.as_str())]
pub(crate) struct Overflow(Countable);

/// Whose traffic is counted together: that of a service port, and that of each subset there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) service: NamespacedHostname,
    pub(crate) port: u16,
    pub(crate) subset: Option<Arc<str>>,
}

/// The counts of all accounts of the process.
pub(crate) struct Ledger {
    open: Mutex<HashMap<Account, Weak<Counts>>>,
    metrics: OverflowMetrics,
}

impl Ledger {
    pub(crate) fn new(metrics: OverflowMetrics) -> Ledger {
        Ledger { open: Mutex::default(), metrics }
    }

    /// The counts of an account: the same for everybody, for as long as anybody has them.
    pub(crate) fn open(&self, account: Account) -> Arc<Counts> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = open.get(&account).and_then(Weak::upgrade) {
            return counts;
        }
        open.retain(|_, counts| counts.strong_count() > 0);
        let counts = Arc::new(Counts {
            service: account.service.clone(),
            metrics: self.metrics.clone(),
            connections: AtomicU32::new(0),
            pending_requests: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            retries: AtomicU32::new(0),
            hedges: AtomicU32::new(0),
        });
        open.insert(account, Arc::downgrade(&counts));
        counts
    }
}

/// What one account has on its way.
pub(crate) struct Counts {
    service: NamespacedHostname,
    metrics: OverflowMetrics,
    connections: AtomicU32,
    pending_requests: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
    hedges: AtomicU32,
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |what| self.of(what).load(Ordering::Relaxed);
        f.debug_struct("Counts")
            .field("service", &self.service)
            .field("connections", &count(Countable::Connections))
            .field("pending_requests", &count(Countable::PendingRequests))
            .field("requests", &count(Countable::Requests))
            .field("retries", &count(Countable::Retries))
            .field("hedges", &count(Countable::Hedges))
            .finish()
    }
}

impl Counts {
    fn of(&self, what: Countable) -> &AtomicU32 {
        match what {
            Countable::Connections => &self.connections,
            Countable::PendingRequests => &self.pending_requests,
            Countable::Requests => &self.requests,
            Countable::Retries => &self.retries,
            Countable::Hedges => &self.hedges,
        }
    }

    /// One more, unless there are `most` already; counted until dropped.
    pub(crate) fn enter(self: &Arc<Self>, what: Countable, most: Option<u32>) -> Result<Counted, Overflow> {
        self.find_room(what, most).ok_or_else(|| {
            self.note_overflow(what);
            Overflow(what)
        })
    }

    /// The same for who can wait: that there is no room is told nobody.
    pub(crate) fn find_room(self: &Arc<Self>, what: Countable, most: Option<u32>) -> Option<Counted> {
        let more = |count: u32| (count < most.unwrap_or(u32::MAX)).then_some(count + 1);
        let entered = self.of(what).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| Counted { counts: self.clone(), what })
    }

    /// Something had to be refused, or has to wait.
    pub(crate) fn note_overflow(&self, what: Countable) {
        self.metrics.refused(&self.service, what.as_str());
    }

    /// One more, however many there are.
    pub(crate) fn enter_anyway(self: &Arc<Self>, what: Countable) -> Counted {
        self.of(what).fetch_add(1, Ordering::Relaxed);
        Counted { counts: self.clone(), what }
    }

    /// How many retries, or hedges, a budget allows at the moment.
    pub(crate) fn allowed_by(&self, budget: &RetryBudget) -> u32 {
        let active = [Countable::Requests, Countable::PendingRequests]
            .map(|what| self.of(what).load(Ordering::Relaxed))
            .iter()
            .fold(0_u32, |sum, count| sum.saturating_add(*count));
        // A cast of floats never leaves the range of integers.
        ((budget.percent * f64::from(active) / 100.0) as u32).max(budget.min_concurrency)
    }

    #[cfg(test)]
    pub(crate) fn count(&self, what: Countable) -> u32 {
        self.of(what).load(Ordering::Relaxed)
    }
}

/// One that is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    counts: Arc<Counts>,
    what: Countable,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.of(self.what).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use mesh_telemetry::Registry;

    use super::*;

    fn account(subset: Option<&str>) -> Account {
        let service = NamespacedHostname::new("shop", "reviews.shop.svc.cluster.local");
        Account { service, port: 80, subset: subset.map(Into::into) }
    }

    fn ledger() -> Ledger {
        Ledger::new(OverflowMetrics::new(&Registry::new("waypoint", "test")))
    }

    #[test]
    fn res_21_what_is_dropped_makes_room() {
        let counts = ledger().open(account(None));
        let held: Vec<_> = (0..3).map(|_| counts.enter(Countable::Requests, Some(3)).unwrap()).collect();
        let refused = counts.enter(Countable::Requests, Some(3)).unwrap_err();
        assert_eq!(refused.to_string(), "overflow: the limit of requests is reached");
        assert!(counts.enter(Countable::Retries, Some(1)).is_ok(), "each is counted for itself");
        drop(held);
        assert_eq!(counts.count(Countable::Requests), 0);
        assert!(counts.enter(Countable::Requests, Some(3)).is_ok());
        assert!(counts.enter(Countable::Requests, Some(0)).is_err());
    }

    #[test]
    fn workers_count_together_and_subsets_apart() {
        let ledger = ledger();
        let (one, other) = (ledger.open(account(None)), ledger.open(account(None)));
        let _held = one.enter(Countable::Connections, Some(1)).unwrap();
        assert!(other.enter(Countable::Connections, Some(1)).is_err());
        assert!(ledger.open(account(Some("v1"))).enter(Countable::Connections, Some(1)).is_ok());
    }

    #[test]
    fn no_count_is_lost_or_passed_when_many_enter_and_leave() {
        let counts = ledger().open(account(None));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let held = counts.enter(Countable::Requests, Some(2));
                        assert!(counts.count(Countable::Requests) <= 2);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(counts.count(Countable::Requests), 0);
    }

    #[test]
    fn a_budget_is_a_share_of_what_is_on_its_way_and_never_less_than_its_minimum() {
        let counts = ledger().open(account(None));
        let budget = RetryBudget { percent: 20.0, min_concurrency: 3 };
        assert_eq!(counts.allowed_by(&budget), 3);
        let _requests: Vec<_> = (0..30).map(|_| counts.enter_anyway(Countable::Requests)).collect();
        assert_eq!(counts.allowed_by(&budget), 6);
        let _pending: Vec<_> = (0..20).map(|_| counts.enter_anyway(Countable::PendingRequests)).collect();
        assert_eq!(counts.allowed_by(&budget), 10);
        assert_eq!(counts.allowed_by(&RetryBudget { percent: 0.0, min_concurrency: 0 }), 0);
    }
}
