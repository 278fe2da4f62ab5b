//! Keys of token issuers: fetched here, once for all waypoints, and sent to them with the rules that need them. So
//! waypoints need no way out, and what they are sent is proven to come from the controller.
//!
//! An outage keeps the keys of before; new keys of an issuer are known within [`REFRESH`].

mod fetch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use controller_translate::{KeySet, KeySource};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::picture::Picture;
use crate::source::Event;

/// How old keys get before they are fetched again, give or take a tenth.
const REFRESH: Duration = Duration::from_mins(5);
/// After the first failure; it doubles with each that follows, up to [`MOST_RETRY`].
const RETRY: Duration = Duration::from_secs(2);
const MOST_RETRY: Duration = Duration::from_mins(1);
/// Fetches at the same time.
const MOST_FETCHES: usize = 8;
/// More sources than one mesh has; those beyond are not fetched, and tokens of their issuers are refused.
const MOST_SOURCES: usize = 1000;
/// Nobody may make the controller wait longer.
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// Fetches the keys at a source within a time.
pub(crate) type Fetch =
    Arc<dyn Fn(KeySource, Duration) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Fetches over the network, with the certificates that the system trusts.
pub(crate) fn over_the_network() -> anyhow::Result<Fetch> {
    let client = Arc::new(fetch::Client::new(fetch::is_public_enough)?);
    Ok(Arc::new(move |source, patience| {
        let client = client.clone();
        async move {
            let fetched = tokio::time::timeout(patience, client.fetch(&source)).await;
            fetched.unwrap_or_else(|_| Err(format!("{source} has not answered within {patience:?}")))
        }
        .boxed()
    }))
}

struct Entry {
    known: KeySet,
    due: Instant,
    failures: u32,
    /// It is being fetched.
    busy: bool,
}

/// Keeps what is known of keys up to date, for as long as events are taken.
pub(crate) async fn keep(picture: Arc<Picture>, events: mpsc::Sender<Event>, fetch: Fetch) {
    let mut changed = picture.progress();
    let mut entries: HashMap<KeySource, Entry> = HashMap::new();
    let mut fetches = FuturesUnordered::new();
    loop {
        changed.mark_unchanged();
        let mut wanted: HashMap<_, _> = picture.read().wanted_keys().into_iter().take(MOST_SOURCES).collect();
        let unwanted: Vec<_> = entries.keys().filter(|it| !wanted.contains_key(*it)).cloned().collect();
        for source in unwanted {
            entries.remove(&source);
            if events.send(Event::Keys(source, None)).await.is_err() {
                return;
            }
        }
        let now = Instant::now();
        for (source, patience) in wanted.drain() {
            let entry = entries.entry(source.clone()).or_insert_with(|| Entry {
                known: KeySet::default(),
                due: now,
                failures: 0,
                busy: false,
            });
            if !entry.busy && entry.due <= now && fetches.len() < MOST_FETCHES {
                entry.busy = true;
                let fetched = fetch(source.clone(), patience.min(MOST_PATIENCE));
                fetches.push(fetched.map(move |fetched| (source, fetched)));
            }
        }
        let next = entries.values().filter(|it| !it.busy).map(|it| it.due).min();
        tokio::select! {
            it = changed.changed() => if it.is_err() { return },
            Some((source, fetched)) = fetches.next(), if !fetches.is_empty() => {
                // Nobody asks for it any more, if it is not there.
                let Some(entry) = entries.get_mut(&source) else { continue };
                entry.note(&source, fetched);
                if events.send(Event::Keys(source, Some(entry.known.clone()))).await.is_err() {
                    return;
                }
            }
            () = sleep_until(next), if fetches.len() < MOST_FETCHES => {}
        }
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

impl Entry {
    fn note(&mut self, source: &KeySource, fetched: Result<String, String>) {
        self.busy = false;
        let after = match fetched {
            Ok(keys) => {
                if self.known.keys.as_deref() != Some(&keys) {
                    info!("{source} has new keys for tokens");
                }
                self.known = KeySet { keys: Some(keys.into()), problem: None };
                self.failures = 0;
                REFRESH.mul_f64(rand::rng().random_range(0.9..1.1))
            }
            Err(problem) => {
                warn!("cannot fetch keys for tokens: {problem}");
                self.known.problem = Some(problem);
                self.failures = self.failures.saturating_add(1);
                (RETRY * 2_u32.saturating_pow(self.failures.min(10) - 1)).min(MOST_RETRY)
            }
        };
        self.due = Instant::now() + after;
    }
}

#[cfg(test)]
mod tests;
