//! Statuses in Kubernetes: the leader writes what differs from what the watches show, and
//! writes it again when somebody takes it away.

mod differ;
mod shared_list;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use controller_translate::{ObjectKey, Status};
use futures_util::StreamExt;
use kube::Client;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::Statistics;
use super::seen::{Seen, has_status};
use crate::status::Statuses;
use differ::Task;

/// How many statuses are written at once.
const AT_ONCE: usize = 8;
/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a failure the first new attempt is made; later ones wait longer.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait between attempts.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Writes statuses as long as this replica leads.
pub struct StatusWriting {
    client: Client,
    seen: Seen,
    leads: watch::Receiver<bool>,
    statistics: Arc<Statistics>,
    /// What every object's status should be; none for objects about which nothing is said.
    wanted: BTreeMap<ObjectKey, Status>,
    /// Objects to look at, and when.
    due: BTreeMap<ObjectKey, Instant>,
    failures: BTreeMap<ObjectKey, u32>,
    /// All statuses have been derived once; before that nothing is known to be unwanted.
    is_complete: bool,
}

impl StatusWriting {
    /// Writes through `client` what differs from what was seen.
    pub fn new(
        client: Client,
        seen: Seen,
        leads: watch::Receiver<bool>,
        statistics: Arc<Statistics>,
    ) -> Self {
        StatusWriting {
            client,
            seen,
            leads,
            statistics,
            wanted: BTreeMap::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
            is_complete: false,
        }
    }

    /// Writes what is put there, for ever.
    pub async fn run(mut self, statuses: Statuses) {
        let seen = self.seen.clone();
        loop {
            let next = self.due.values().min().copied().filter(|_| *self.leads.borrow());
            tokio::select! {
                changes = statuses.take() => self.take(changes),
                changed = seen.changed() => self.mark(changed),
                changed = self.leads.changed() => match changed {
                    Ok(()) => self.mark_all(),
                    Err(_) => return std::future::pending().await,
                },
                () = at(next) => self.write().await,
            }
        }
    }

    fn take(&mut self, changes: crate::status::Changes) {
        self.is_complete = true;
        for (key, status) in changes {
            if !has_status(key.kind) {
                continue;
            }
            self.due.insert(key.clone(), Instant::now());
            match status {
                Some(status) => self.wanted.insert(key, status),
                None => self.wanted.remove(&key),
            };
        }
    }

    fn mark(&mut self, keys: BTreeSet<ObjectKey>) {
        for key in keys {
            // What waits after a failure goes on waiting.
            self.due.entry(key).or_insert_with(Instant::now);
        }
    }

    /// A new leader finds what its predecessor left.
    fn mark_all(&mut self) {
        self.failures.clear();
        let keys: BTreeSet<ObjectKey> = self.seen.keys();
        self.due = keys.into_iter().map(|key| (key, Instant::now())).collect();
    }

    /// Writes what is due.
    async fn write(&mut self) {
        if !self.is_complete {
            // Soon it will be; then all of these are looked at.
            self.due.clear();
            return;
        }
        let now = Instant::now();
        let due: Vec<ObjectKey> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        let time = time();
        let tasks: Vec<(ObjectKey, Task)> = due
            .into_iter()
            .filter_map(|key| {
                self.due.remove(&key);
                let task = differ::plan(&key, self.wanted.get(&key), self.seen.find(&key).as_ref(), &time);
                match task {
                    Some(task) => Some((key, task)),
                    None => {
                        self.failures.remove(&key);
                        None
                    }
                }
            })
            .collect();
        let (client, leads) = (&self.client, &self.leads);
        let results = futures_util::stream::iter(tasks).map(|(key, task)| async move {
            // It may have lost the lead while others were written.
            if !*leads.borrow() {
                return (key, Ok(()));
            }
            let result = timeout(PATIENCE, write::write(client, &key, task)).await;
            let result = result.map_err(|_| "no answer from the API server".to_owned());
            (key, result.and_then(|result| result.map_err(|error| error.to_string())))
        });
        let results: Vec<_> = results.buffer_unordered(AT_ONCE).collect().await;
        for (key, result) in results {
            self.settle(key, result);
        }
    }

    fn settle(&mut self, key: ObjectKey, result: Result<(), String>) {
        let Err(error) = result else {
            self.failures.remove(&key);
            self.statistics.statuses.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.statistics.status_errors.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures.entry(key.clone()).or_insert(0);
        match failures {
            0 => warn!("cannot write the status of {key}, trying again: {error}"),
            _ => debug!("still cannot write the status of {key}: {error}"),
        }
        let wait = FIRST_RETRY.saturating_mul(1 << (*failures).min(6)).min(LAST_RETRY);
        *failures += 1;
        self.due.insert(key, Instant::now() + wait);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn time() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    now.format(&Rfc3339).unwrap_or_default()
}
