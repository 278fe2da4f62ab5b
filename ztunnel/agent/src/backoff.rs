//! The pauses of the agent's watches after failures.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// kube's own pauses grow to half a minute. For so long after the API server is back, a label
/// that was changed meanwhile would not count, and new pods would wait (UP-11).
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Grows as kube's own does, and not beyond five seconds.
#[derive(Default)]
pub(crate) struct ShortBackoff {
    grown: DefaultBackoff,
}

impl Iterator for ShortBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.grown.next()?.min(LONGEST_PAUSE))
    }
}

impl Backoff for ShortBackoff {
    fn reset(&mut self) {
        self.grown.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn up_11_pauses_grow_and_stay_short() {
        let mut backoff = ShortBackoff::default();
        let pauses: Vec<Duration> = backoff.by_ref().take(30).collect();
        assert_eq!(pauses.len(), 30, "it never gives up");
        assert!(pauses.iter().all(|pause| *pause > Duration::ZERO && *pause <= LONGEST_PAUSE), "{pauses:?}");
        assert_eq!(pauses[29], LONGEST_PAUSE);
        backoff.reset();
        assert!(backoff.next().unwrap() < LONGEST_PAUSE, "what works again starts over");
    }
}
