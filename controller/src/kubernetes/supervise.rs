//! Which kinds are watched: those that are served, for as long as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controller_translate::{Kind, ObjectKey};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::discovery::{self, Served};
use super::retry::Retry;
use super::watch::Watch;
use super::{Shared, discovery::is_wanted};
use crate::source::Event;

/// How soon after a change to a CustomResourceDefinition the API server is asked what it
/// serves: it takes a moment to serve it.
const SETTLE: Duration = Duration::from_millis(500);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How often without a reason, in case one was missed.
const REFRESH: Duration = Duration::from_secs(60);

/// Starts and stops watches.
pub(super) struct Supervisor {
    shared: Shared,
    events: mpsc::Sender<Event>,
    watches: BTreeMap<Kind, Running>,
    listed: (mpsc::UnboundedSender<Kind>, mpsc::UnboundedReceiver<Kind>),
    /// The kinds whose first list is waited for; `None` once all are complete.
    pending: Option<BTreeSet<Kind>>,
    /// What was last said about kinds that are not watched.
    said: BTreeMap<Kind, Vec<String>>,
}

struct Running {
    resource: ApiResource,
    stop: oneshot::Sender<()>,
    task: JoinHandle<BTreeSet<ObjectKey>>,
}

impl Supervisor {
    pub(super) fn new(shared: Shared, events: mpsc::Sender<Event>) -> Self {
        Supervisor {
            shared,
            events,
            watches: BTreeMap::new(),
            listed: mpsc::unbounded_channel(),
            pending: None,
            said: BTreeMap::new(),
        }
    }

    /// Watches until nobody reads events any more.
    pub(super) async fn run(mut self) {
        let mut changes = definitions(&self.shared);
        let mut is_first = true;
        let mut next = Instant::now();
        while !self.events.is_closed() {
            tokio::select! {
                () = sleep_until(next) => {
                    next = Instant::now() + self.look(&mut is_first).await;
                }
                Some(()) = changes.next() => next = next.min(Instant::now() + SETTLE),
                Some(kind) = self.listed.1.recv() => self.note_list(kind).await,
                () = self.events.closed() => {}
            }
        }
        for running in self.watches.into_values() {
            running.task.abort();
        }
    }

    /// Asks what is served and watches that; when to ask again.
    async fn look(&mut self, is_first: &mut bool) -> Duration {
        match discovery::served(&self.shared.client).await {
            Ok(served) => {
                self.tell_unwatched(&served);
                self.settle(served).await;
                if std::mem::take(is_first) {
                    self.pending = Some(self.watches.keys().copied().collect());
                }
                REFRESH
            }
            Err(error) => {
                warn!("cannot ask the API server what it serves, trying again: {error}");
                RETRY
            }
        }
    }

    async fn settle(&mut self, served: Served) {
        let gone: Vec<Kind> =
            self.watches.keys().filter(|kind| !served.kinds.contains_key(kind)).copied().collect();
        for kind in gone {
            info!("{kind} is no longer served: its objects are gone");
            for key in self.stop(kind).await {
                self.shared.problems.clear(&key);
                self.shared.seen.remove(&key);
                // Nobody reads: `run` ends by itself.
                let _ = self.events.send(Event::Deleted(key)).await;
            }
            self.note_list(kind).await;
        }
        for (kind, resource) in served.kinds {
            if self.watches.get(&kind).is_some_and(|running| running.resource == resource) {
                continue;
            }
            let known = self.stop(kind).await;
            self.start(kind, resource, known);
        }
    }

    fn start(&mut self, kind: Kind, resource: ApiResource, known: BTreeSet<ObjectKey>) {
        let (stop, stopped) = oneshot::channel();
        let watch = Watch {
            shared: self.shared.clone(),
            kind,
            resource: resource.clone(),
            events: self.events.clone(),
            listed: self.listed.0.clone(),
            known,
        };
        let task = tokio::spawn(watch.run(stopped));
        self.watches.insert(kind, Running { resource, stop, task });
    }

    /// Ends a watch; the objects that its reader knows of.
    async fn stop(&mut self, kind: Kind) -> BTreeSet<ObjectKey> {
        let Some(running) = self.watches.remove(&kind) else { return BTreeSet::new() };
        // It has ended by itself if it cannot be told.
        let _ = running.stop.send(());
        running.task.await.unwrap_or_default()
    }

    async fn note_list(&mut self, kind: Kind) {
        let Some(pending) = &mut self.pending else { return };
        pending.remove(&kind);
        if pending.is_empty() {
            self.pending = None;
            let _ = self.events.send(Event::InitDone).await;
        }
    }

    fn tell_unwatched(&mut self, served: &Served) {
        let unwatched = Kind::all().filter(|kind| is_wanted(*kind) && !served.kinds.contains_key(kind));
        let unwatched: BTreeMap<Kind, Vec<String>> =
            unwatched.map(|kind| (kind, served.unread.get(&kind).cloned().unwrap_or_default())).collect();
        for (kind, versions) in &unwatched {
            if self.said.get(kind) == Some(versions) {
                continue;
            }
            match versions.is_empty() {
                true => info!(
                    "{kind} ({}) is not served; install its CustomResourceDefinition to use it",
                    kind.group()
                ),
                false => warn!(
                    "{kind} ({}) is served as {} only; serve {} to have it taken into account",
                    kind.group(),
                    versions.join(", "),
                    kind.versions().join(" or "),
                ),
            }
        }
        self.said = unwatched;
    }
}

/// Tells of every change to CustomResourceDefinitions.
fn definitions(shared: &Shared) -> BoxStream<'static, ()> {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(shared.client.clone());
    let events = watcher(api, watcher::Config::default()).backoff(Retry::default());
    // Errors are not worth a word: the API server is asked from time to time anyway.
    events.filter_map(|event| std::future::ready(event.is_ok().then_some(()))).boxed()
}
