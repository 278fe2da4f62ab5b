//! Ending what goes on: a trigger tells every watcher, and waits until they are gone.
//! Holding a [`DrainWatcher`] is what says "something still goes on here".

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Take nothing new, finish what goes on.
    Graceful,
    /// Stop now.
    Immediate,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every watcher is gone.
    Complete,
    /// The deadline passed; who was left has been told to stop now.
    DeadlinePassed,
}

/// Starts the drain. Dropped without a start, it means [`Mode::Immediate`].
#[derive(Debug)]
pub struct DrainTrigger {
    signal: watch::Sender<Option<Mode>>,
    gone: mpsc::Receiver<Infallible>,
}

/// Learns of the drain, and holds it up for as long as it or a clone of it lives.
#[derive(Clone, Debug)]
pub struct DrainWatcher {
    signal: watch::Receiver<Option<Mode>>,
    _held: mpsc::Sender<Infallible>,
}

/// A trigger and the first of its watchers.
pub fn channel() -> (DrainTrigger, DrainWatcher) {
    let (signal, watcher) = watch::channel(None);
    let (held, gone) = mpsc::channel(1);
    (DrainTrigger { signal, gone }, DrainWatcher { signal: watcher, _held: held })
}

impl DrainTrigger {
    /// Tells the watchers, then waits until all are gone. Past the deadline the
    /// ones that are left are told to stop now, and are waited for no longer.
    pub async fn start(mut self, mode: Mode, deadline: Duration) -> Drained {
        self.signal.send_replace(Some(mode));
        match tokio::time::timeout(deadline, self.gone.recv()).await {
            Ok(_) => Drained::Complete,
            Err(_) => {
                self.signal.send_replace(Some(Mode::Immediate));
                Drained::DeadlinePassed
            }
        }
    }
}

impl DrainWatcher {
    /// Waits until the drain starts.
    pub async fn signaled(&self) -> Mode {
        self.wait(|_| true).await
    }

    /// Waits until what is left has to stop now: at once with [`Mode::Immediate`],
    /// at the deadline with [`Mode::Graceful`].
    pub async fn forced(&self) {
        self.wait(|mode| mode == Mode::Immediate).await;
    }

    /// The drain's mode, if it has started.
    pub fn find_mode(&self) -> Option<Mode> {
        let mode = *self.signal.borrow();
        mode.or(self.signal.has_changed().is_err().then_some(Mode::Immediate))
    }

    async fn wait(&self, enough: impl Fn(Mode) -> bool) -> Mode {
        let mut signal = self.signal.clone();
        match signal.wait_for(|mode| mode.is_some_and(&enough)).await {
            Ok(mode) => mode.unwrap_or(Mode::Immediate),
            // The trigger is gone: with it whoever could have waited for us.
            Err(_) => Mode::Immediate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn up_06_waits_for_every_clone_and_no_longer() {
        let (trigger, watcher) = channel();
        let second = watcher.clone();
        assert_eq!(watcher.find_mode(), None);
        let drain = tokio::spawn(trigger.start(Mode::Graceful, SOON));
        assert_eq!(watcher.signaled().await, Mode::Graceful);
        assert_eq!(second.find_mode(), Some(Mode::Graceful));
        drop(watcher);
        assert!(!drain.is_finished());
        drop(second);
        assert_eq!(drain.await.unwrap(), Drained::Complete);
    }

    #[tokio::test(start_paused = true)]
    async fn up_07_past_the_deadline_the_rest_is_forced() {
        let (trigger, watcher) = channel();
        let drain = tokio::spawn(trigger.start(Mode::Graceful, Duration::from_millis(20)));
        assert_eq!(watcher.signaled().await, Mode::Graceful);
        watcher.forced().await;
        assert_eq!(drain.await.unwrap(), Drained::DeadlinePassed);
        assert_eq!(watcher.find_mode(), Some(Mode::Immediate));
    }

    #[tokio::test]
    async fn dropping_the_trigger_stops_everyone() {
        let (trigger, watcher) = channel();
        drop(trigger);
        assert_eq!(watcher.signaled().await, Mode::Immediate);
        assert_eq!(watcher.find_mode(), Some(Mode::Immediate));
        watcher.forced().await;
    }

    #[tokio::test]
    async fn up_19_a_drain_nobody_watches_ends_at_once() {
        let (trigger, watcher) = channel();
        drop(watcher);
        assert_eq!(trigger.start(Mode::Immediate, SOON).await, Drained::Complete);
    }
}
