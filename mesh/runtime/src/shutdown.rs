//! When to end: the two signals, or a request from inside such as `POST /quitquitquit`.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::env::{self, InvalidEnv};

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
    /// Somebody inside asked for it.
    Requested,
}

/// Asks the program to end.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger {
    requests: mpsc::Sender<()>,
}

/// Where the requests arrive.
#[derive(Debug)]
pub struct ShutdownRequests {
    requests: mpsc::Receiver<()>,
}

/// A trigger and where its requests arrive.
pub fn channel() -> (ShutdownTrigger, ShutdownRequests) {
    let (sender, requests) = mpsc::channel(1);
    (ShutdownTrigger { requests: sender }, ShutdownRequests { requests })
}

impl ShutdownTrigger {
    /// Asks the program to end; asking again changes nothing.
    pub fn request(&self) {
        // Full or closed: it ends already.
        let _ = self.requests.try_send(());
    }
}

/// Waits until the program has to end.
pub async fn signaled(requests: &mut ShutdownRequests) -> io::Result<Reason> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let requested = async {
        if requests.requests.recv().await.is_none() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    };
    Ok(tokio::select! {
        _ = terminate.recv() => Reason::Terminated,
        _ = interrupt.recv() => Reason::Interrupted,
        () = requested => Reason::Requested,
    })
}

/// How long connections may take to end (UP-07): `CONNECTION_TERMINATION_DEADLINE`, else
/// what `TERMINATION_GRACE_PERIOD_SECONDS` leaves, else five seconds.
pub fn drain_deadline() -> Result<Duration, InvalidEnv> {
    let given = env::find_duration("CONNECTION_TERMINATION_DEADLINE")?;
    let grace = env::find("TERMINATION_GRACE_PERIOD_SECONDS")?;
    Ok(given.unwrap_or_else(|| deadline_in_grace(grace)))
}

fn deadline_in_grace(grace_seconds: Option<u64>) -> Duration {
    Duration::from_secs(match grace_seconds {
        None => 5,
        Some(seconds) if seconds > 10 => seconds - 5,
        Some(seconds) => seconds.saturating_sub(1).max(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_07_deadline_leaves_time_to_exit() {
        for (grace, expected) in [(None, 5), (Some(30), 25), (Some(11), 6), (Some(10), 9), (Some(0), 1)] {
            assert_eq!(deadline_in_grace(grace), Duration::from_secs(expected), "{grace:?}");
        }
    }

    #[tokio::test]
    async fn up_08_a_request_ends_the_wait() {
        let (trigger, mut requests) = channel();
        trigger.request();
        trigger.request();
        assert_eq!(signaled(&mut requests).await.unwrap(), Reason::Requested);
    }
}
