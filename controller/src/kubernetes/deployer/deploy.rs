//! One waypoint deployed, and what is not wanted any more deleted.
//!
//! Whether something is in the way is looked at by every replica, so that a new leader knows it at once;
//! only the leader writes.

use std::collections::BTreeSet;
use std::time::Duration;

use controller_translate::expand::Waypoint;
use controller_translate::{Name, Obstacle};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::part::Key;
use super::plan::{self, Applied};
use super::verdict::Failure;
use super::wanted::{self, Desired, Wanted};
use super::write::{self, WriteError};
use super::{Deployer, MOURNING};

/// Before trying again what failed.
const RETRY: Duration = Duration::from_secs(5);
/// Before looking again at what somebody has to mend outside of what is watched.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// A waypoint that is left alone for a while, as long as the same is desired of it.
pub(super) struct Waiting {
    pub(super) until: Instant,
    desired: u64,
    /// What went wrong and was told.
    reason: Option<String>,
}

/// How it ended.
enum Outcome {
    /// Everything is as it should be.
    Done,
    /// It is for the leader to write what is missing.
    LeftToLeader,
}

impl Deployer {
    /// Applies what is due of one waypoint and tells what is in the way; whether something was written.
    pub(super) async fn deploy(&mut self, waypoint: &Waypoint, desired: Result<Desired, Failure>) -> bool {
        let gateway = &waypoint.gateway;
        let desired = match desired {
            Ok(desired) => desired,
            Err(Failure::Obstacle(obstacle)) => {
                // Nothing to wait for: what can mend it is watched.
                self.waiting.remove(gateway);
                self.verdicts.tell(gateway, Some(obstacle)).await;
                return false;
            }
            Err(Failure::Passing(reason)) => {
                self.complain(gateway, &reason);
                self.wait(gateway, RETRY, &Desired::new(), Some(reason));
                return false;
            }
        };
        if let Some(waiting) = self.waiting.get(gateway)
            && waiting.until > Instant::now()
            && waiting.desired == wanted::fingerprint(&desired)
        {
            return false;
        }
        let (has_written, result) = self.apply(waypoint, &desired).await;
        let (obstacle, wait, reason) = match result {
            Ok(Outcome::Done) => {
                if self.waiting.remove(gateway).is_some_and(|it| it.reason.is_some()) {
                    info!("waypoint {gateway} is deployed after all");
                }
                self.verdicts.tell(gateway, None).await;
                return has_written;
            }
            Ok(Outcome::LeftToLeader) => (None, REFUSED_RETRY, None),
            Err(Failure::Obstacle(obstacle)) => (Some(obstacle), REFUSED_RETRY, None),
            // What was told before may still be true.
            Err(Failure::Passing(reason)) => {
                self.complain(gateway, &reason);
                self.wait(gateway, RETRY, &desired, Some(reason));
                return has_written;
            }
        };
        self.verdicts.tell(gateway, obstacle).await;
        self.wait(gateway, wait, &desired, reason);
        has_written
    }

    fn complain(&self, gateway: &Name, reason: &str) {
        let before = self.waiting.get(gateway).and_then(|it| it.reason.as_deref());
        match before == Some(reason) {
            false => warn!("cannot deploy waypoint {gateway}, trying again: {reason}"),
            true => debug!("still cannot deploy waypoint {gateway}: {reason}"),
        }
    }

    fn wait(&mut self, gateway: &Name, wait: Duration, desired: &Desired, reason: Option<String>) {
        let waiting = Waiting { until: Instant::now() + wait, desired: wanted::fingerprint(desired), reason };
        self.waiting.insert(gateway.clone(), waiting);
    }

    async fn apply(&mut self, waypoint: &Waypoint, desired: &Desired) -> (bool, Result<Outcome, Failure>) {
        let due = desired
            .iter()
            .filter(|(key, wanted)| plan::is_due(&wanted.value, self.live.get(key), self.applied.get(*key)));
        let due: Vec<_> = due.collect();
        // All or nothing: half a waypoint is of no use.
        if let Err(failure) = self.examine(waypoint, due.iter().map(|(key, _)| *key)).await {
            return (false, Err(failure));
        }
        let mut has_written = false;
        for (key, wanted) in due {
            // It may have lost the lead meanwhile.
            if !*self.leads.borrow() {
                return (has_written, Ok(Outcome::LeftToLeader));
            }
            match write::apply(&self.client, key, &wanted.value).await {
                Ok(live) => {
                    debug!("applied {key}");
                    has_written = true;
                    self.applied.insert(key.clone(), Applied::new(&wanted.value, &live));
                    self.live.put(key.clone(), live);
                }
                Err(error) => return (has_written, Err(explain(key, wanted, error))),
            }
        }
        (has_written, Ok(Outcome::Done))
    }

    /// Fails if one of them is there and is somebody else's.
    async fn examine(&self, waypoint: &Waypoint, keys: impl Iterator<Item = &Key>) -> Result<(), Failure> {
        for key in keys {
            let found = match self.live.get(key) {
                Some(live) => Some(live.clone()),
                None => write::find(&self.client, key)
                    .await
                    .map_err(|error| Failure::Passing(format!("cannot read {key}: {error}")))?,
            };
            if found.is_some_and(|live| !plan::is_of(&live, waypoint)) {
                let text = format!(
                    "{key} is there already and is not the Gateway's, so nothing of the waypoint is written; \
                     delete or rename it"
                );
                return Err(Failure::Obstacle(Obstacle::Objects(text)));
            }
        }
        Ok(())
    }

    /// Deletes what has not been wanted for a while; whether something was deleted.
    pub(super) async fn remove(&mut self, unwanted: &BTreeSet<Key>) -> bool {
        let now = Instant::now();
        self.unwanted.retain(|key, _| unwanted.contains(key));
        let mut has_written = false;
        for key in unwanted {
            let since = *self.unwanted.entry(key.clone()).or_insert(now);
            let Some(live) = self.live.get(key).filter(|_| now >= since + MOURNING) else { continue };
            if !*self.leads.borrow() {
                break;
            }
            // Not if it has become somebody else's meanwhile.
            match write::delete(&self.client, key, live).await {
                Ok(()) => info!("deleted {key}, which no Gateway wants any more"),
                Err(reason) => debug!("cannot delete {key}, trying again: {reason}"),
            }
            self.applied.remove(key);
            // Looked at again later if it is still there.
            self.unwanted.insert(key.clone(), Instant::now());
            has_written = true;
        }
        has_written
    }
}

/// Whose fault it is that an object was not written.
fn explain(key: &Key, wanted: &Wanted, error: WriteError) -> Failure {
    let places = wanted.said_by.join("; ");
    match error {
        WriteError::Invalid(text) if !places.is_empty() => {
            let text = format!("{places}: the API server does not take the {key} that this makes: {text}");
            Failure::Obstacle(Obstacle::Parameters(text))
        }
        WriteError::Invalid(text) | WriteError::Forbidden(text) => {
            Failure::Obstacle(Obstacle::Objects(format!("the API server refuses {key}: {text}")))
        }
        WriteError::Passing(text) => Failure::Passing(format!("cannot apply {key}: {text}")),
    }
}
