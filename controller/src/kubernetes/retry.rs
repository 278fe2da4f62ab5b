//! How long a watch that has failed waits before it is begun anew.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// Of two dozen watches each asks an API server that is away this often. Its usual half minute would pass
/// after its return too, and meanwhile no new pod gets a certificate (UP-11).
const LONGEST: Duration = Duration::from_secs(5);

/// The backoff of kube's own clients, but not as long.
#[derive(Default)]
pub(super) struct Retry(DefaultBackoff);

impl Iterator for Retry {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|wait| wait.min(LONGEST))
    }
}

impl Backoff for Retry {
    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn up_11_a_watch_is_tried_again_soon_however_often_it_has_failed() {
        let waits: Vec<Duration> = Retry::default().take(20).collect();
        assert_eq!(waits.len(), 20);
        assert!(waits[0] > Duration::ZERO, "it does not spin");
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
    }
}
