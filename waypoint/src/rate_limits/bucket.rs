//! Token buckets, each of them one number: the time at which it is full again. A bucket that is full needs no number
//! at all, so those of callers who have gone cost nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_model::LocalLimit;

/// How fast buckets are filled and how much they hold. Times are nanoseconds since the process began to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Until one more request may pass.
    cost: u64,
    /// Until an empty bucket is full.
    capacity: u64,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) admitted: bool,
    /// So many may follow at once.
    pub(crate) remaining: u64,
    /// Until the bucket is full.
    pub(crate) reset: Duration,
}

impl Pace {
    pub(super) fn of(limit: LocalLimit) -> Pace {
        let per = u64::try_from(limit.per.as_nanos()).unwrap_or(u64::MAX);
        // A limit of more than one a nanosecond is none.
        let cost = (per / u64::from(limit.requests.max(1))).max(1);
        // Sums of times must not overflow.
        let capacity = cost.saturating_mul(limit.burst.max(1).into()).min(u64::MAX / 4);
        Pace { cost: cost.min(capacity), capacity }
    }

    /// Takes one request out of a bucket that is full again at `full_at`; the time at which it is full then, if there
    /// was a request in it.
    pub(super) fn draw(self, full_at: u64, now: u64) -> (Option<u64>, Drawn) {
        let missing = full_at.saturating_sub(now);
        let after = missing.saturating_add(self.cost);
        if after > self.capacity {
            let drawn = Drawn { admitted: false, remaining: 0, reset: Duration::from_nanos(missing) };
            return (None, drawn);
        }
        let remaining = (self.capacity - after) / self.cost;
        let drawn = Drawn { admitted: true, remaining, reset: Duration::from_nanos(after) };
        (Some(now.saturating_add(after)), drawn)
    }
}

/// One bucket that everybody draws from, without a lock.
#[derive(Debug, Default)]
pub(super) struct SharedBucket(AtomicU64);

impl SharedBucket {
    pub(super) fn draw(&self, pace: Pace, now: u64) -> Drawn {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let (next, drawn) = pace.draw(full_at, now);
            let Some(next) = next else { return drawn };
            match self.0.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return drawn,
                Err(other) => full_at = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(requests: u32, burst: u32) -> Pace {
        Pace::of(LocalLimit { requests, per: Duration::from_secs(1), burst })
    }

    #[test]
    fn res_a_bucket_holds_its_burst_and_is_filled_at_its_pace() {
        let (pace, bucket) = (pace(10, 3), SharedBucket::default());
        let now = 5 * SECOND;
        let remaining: Vec<_> = (0..3).map(|_| bucket.draw(pace, now).remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = bucket.draw(pace, now);
        assert_eq!((refused.admitted, refused.reset), (false, Duration::from_millis(300)));
        assert!(!bucket.draw(pace, now + SECOND / 10 - 1).admitted, "not yet");
        assert!(bucket.draw(pace, now + SECOND / 10).admitted);
        assert!(!bucket.draw(pace, now + SECOND / 10).admitted);
        assert_eq!(bucket.draw(pace, now + 9 * SECOND).remaining, 2, "full, and no fuller");
    }

    #[test]
    fn res_limits_at_the_edge_of_numbers_admit_something_and_not_everything() {
        let year = Duration::from_secs(366 * 24 * 3600);
        for (requests, per, burst) in [
            (1, year, 1),
            (1, year, u32::MAX),
            (u32::MAX, Duration::from_nanos(1), 1),
            (u32::MAX, year, u32::MAX),
        ] {
            let pace = Pace::of(LocalLimit { requests, per, burst });
            let (next, drawn) = pace.draw(0, SECOND);
            assert!(drawn.admitted && next.is_some(), "{pace:?}");
            let (_, drawn) = pace.draw(u64::MAX / 2 + SECOND, SECOND);
            assert!(!drawn.admitted, "{pace:?}");
        }
    }

    #[test]
    fn res_workers_that_draw_at_once_get_no_more_than_there_is() {
        let (pace, bucket) = (pace(1, 1000), SharedBucket::default());
        let count = || (0..2000).filter(|_| bucket.draw(pace, SECOND).admitted).count();
        let admitted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1000);
    }
}
