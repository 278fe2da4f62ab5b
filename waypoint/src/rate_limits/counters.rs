//! What the limits of a process count: one set of buckets for each limit and target, whichever workers ask and however
//! often the configuration around it changes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use mesh_model::{LocalLimit, RateLimit, RateLimitKey};
use mesh_telemetry::{LimitCounters, RateLimitMetrics};

use super::bucket::{Drawn, Pace, SharedBucket};

/// Each has a lock of its own, so that workers seldom wait for each other.
const SHARDS: usize = 64;
/// Buckets of one shard, and so 65,536 of a limit: what asks for more makes the emptiest but one forgotten.
const MOST_IN_SHARD: usize = 1024;

/// A limit and its target, by their names.
type Place = (Arc<str>, Arc<str>);

/// The counts of all limits.
#[derive(Debug)]
pub(crate) struct Counters {
    known: Mutex<HashMap<Place, Weak<Counter>>>,
    began: Instant,
    pub(crate) metrics: RateLimitMetrics,
}

/// What one limit counts at one target.
#[derive(Debug)]
pub(crate) struct Counter {
    limit: LocalLimit,
    keys: Vec<RateLimitKey>,
    pace: Pace,
    buckets: Buckets,
    began: Instant,
    metrics: LimitCounters,
}

#[derive(Debug)]
enum Buckets {
    /// For all together.
    One(SharedBucket),
    /// By what requests have in common.
    Many(Box<Keyed>),
}

/// Buckets by a number that stands for what requests have in common: texts of any length cost the same, and nobody who
/// does not know the process's own hash can make two callers share one.
#[derive(Debug)]
struct Keyed {
    hash: RandomState,
    shards: [Mutex<HashMap<u64, u64>>; SHARDS],
}

impl Counters {
    pub(crate) fn new(metrics: RateLimitMetrics) -> Counters {
        Counters { known: Mutex::default(), began: Instant::now(), metrics }
    }

    /// The counter of a limit. It lives as long as somebody has it, and starts anew when the limit itself changes.
    pub(super) fn find(&self, limit: &RateLimit, local: LocalLimit) -> Arc<Counter> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (limit.name.clone(), limit.target.clone());
        let alive = known.get(&place).and_then(Weak::upgrade);
        if let Some(counter) = alive.filter(|it| it.limit == local && it.keys == limit.keys) {
            return counter;
        }
        known.retain(|_, counter| counter.strong_count() > 0);
        let metrics = self.metrics.find(&limit.name);
        let counter = Arc::new(Counter::new(local, limit.keys.clone(), self.began, metrics));
        known.insert(place, Arc::downgrade(&counter));
        counter
    }
}

impl Counter {
    fn new(limit: LocalLimit, keys: Vec<RateLimitKey>, began: Instant, metrics: LimitCounters) -> Counter {
        let buckets = match keys.is_empty() {
            true => Buckets::One(SharedBucket::default()),
            false => Buckets::Many(Box::new(Keyed {
                hash: RandomState::new(),
                shards: std::array::from_fn(|_| Mutex::default()),
            })),
        };
        Counter { limit, keys, pace: Pace::of(limit), buckets, began, metrics }
    }

    /// Takes one request out of the bucket that what is written says.
    pub(super) fn draw(&self, write: impl FnOnce(&mut dyn Hasher)) -> Drawn {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match &self.buckets {
            Buckets::One(bucket) => bucket.draw(self.pace, now),
            Buckets::Many(keyed) => {
                let mut hasher = keyed.hash.build_hasher();
                write(&mut hasher);
                let (drawn, evicted) = keyed.draw(hasher.finish(), self.pace, now);
                if evicted {
                    self.metrics.evicted.inc();
                }
                drawn
            }
        }
    }
}

impl Keyed {
    /// The second value: whether a bucket that was not full had to be forgotten.
    fn draw(&self, key: u64, pace: Pace, now: u64) -> (Drawn, bool) {
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        let mut buckets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(&key).copied();
        let (next, drawn) = pace.draw(full_at.unwrap_or(0), now);
        let mut evicted = false;
        if let Some(next) = next {
            if full_at.is_none() && buckets.len() >= MOST_IN_SHARD {
                evicted = make_room(&mut buckets, now);
            }
            buckets.insert(key, next);
        }
        (drawn, evicted)
    }
}

/// Those that are full again say nothing. Where all say something, the one that is full first says least.
fn make_room(buckets: &mut HashMap<u64, u64>, now: u64) -> bool {
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() < MOST_IN_SHARD {
        return false;
    }
    let first = buckets.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key);
    first.is_some_and(|key| buckets.remove(&key).is_some())
}

#[cfg(test)]
mod tests;
