//! Listeners that cannot accept, such as for want of descriptors: they pause and go on, and the log has a line now
//! and then instead of one for each try.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between tries: what is missing does not come back at once.
const PAUSE: Duration = Duration::from_millis(50);
/// Between lines in the log.
const SILENCE: Duration = Duration::from_secs(30);

/// The failures of one listener.
#[derive(Debug)]
pub struct AcceptFailures {
    listener: &'static str,
    told: Option<Instant>,
    /// Since the last line in the log.
    untold: u64,
}

impl AcceptFailures {
    /// None yet; `listener` names it in the log.
    pub fn of(listener: &'static str) -> Self {
        AcceptFailures { listener, told: None, untold: 0 }
    }

    /// Notes a failure, and waits a moment.
    pub async fn pause(&mut self, error: &io::Error) {
        let listener = self.listener;
        if let Some(failures) = self.count() {
            tracing::warn!(listener, failures, "cannot accept connections, clients wait: {error}");
        }
        sleep(PAUSE).await;
    }

    /// How many there are to tell of, when it is time to.
    fn count(&mut self) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|at| at.elapsed() < SILENCE) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sec_the_first_failure_is_told_and_then_how_many_there_were() {
        let mut failures = AcceptFailures::of("a test");
        let mut told = Vec::new();
        // A little more than a minute.
        for _ in 0..1300 {
            told.extend(failures.count());
            sleep(PAUSE).await;
        }
        assert_eq!(told, [1, 600, 600]);
    }
}
