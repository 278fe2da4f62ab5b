//! The pods of the node as the API server tells them, with the labels of their
//! namespaces and the network namespaces found on the node.
//!
//! While the API server is away the pods known stay as they are, and so does their
//! capture; new pods wait until it answers.

mod pods;
mod record;

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{Stream, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use mesh_net::namespace::Namespace as NetworkNamespace;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

pub(crate) use record::{Facts, namespace_labels};

use self::pods::Known;
use super::Source;
use crate::backoff::ShortBackoff;
use crate::enrolment::Rules;
use crate::netns;
use crate::pod::{PodRecord, Pods, Uid};

const FIRST_SEARCH: Duration = Duration::from_millis(200);
const LAST_SEARCH: Duration = Duration::from_secs(30);

/// A pod the container runtime is making.
#[derive(Debug)]
pub(crate) enum Announcement {
    /// It has a network namespace now.
    Made(Box<PodRecord>),
    /// It did not become a pod of the mesh; the runtime takes its network namespace back.
    Failed(Uid),
}

/// The pods of one node.
pub(crate) struct Kubernetes {
    client: kube::Client,
    node: String,
    proc: PathBuf,
    own: NetworkNamespace,
    announced: mpsc::Receiver<Announcement>,
    known: Known,
}

impl Kubernetes {
    /// The pods of `node`, whose processes are in `proc`.
    pub(crate) fn new(
        client: kube::Client,
        node: String,
        proc: PathBuf,
        rules: Rules,
        announced: mpsc::Receiver<Announcement>,
    ) -> Result<Self> {
        let own = NetworkNamespace::current()?;
        Ok(Self { client, node, proc, own, announced, known: Known::new(rules) })
    }

    fn pods(&self) -> impl Stream<Item = watcher::Result<Event<Facts>>> + use<> {
        let all: Api<Pod> = Api::all(self.client.clone());
        let here = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        let pods = watcher(all, here).backoff(ShortBackoff::default());
        // Only what is used is kept: the rest of a pod is a hundred times larger.
        pods.map_ok(|event| map(event, Facts::of))
    }

    fn namespaces(&self) -> impl Stream<Item = watcher::Result<Event<PartialObjectMeta<Namespace>>>> + use<> {
        let all: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        watcher(all, watcher::Config::default()).backoff(ShortBackoff::default())
    }

    /// Looks for the namespaces of running pods that have none yet; whether all were found.
    async fn search(&mut self) -> bool {
        let missing = self.known.missing();
        if missing.is_empty() {
            return true;
        }
        let (proc, own, wanted) = (self.proc.clone(), self.own.clone(), missing.clone());
        let found = tokio::task::spawn_blocking(move || netns::find(&proc, &own, &wanted)).await;
        match found {
            Ok(Ok(found)) => {
                let all = found.len() == missing.len();
                self.known.found(found);
                all
            }
            Ok(Err(error)) => {
                warn!(
                    "processes of the node in {}: {error}; mount the node's /proc there",
                    self.proc.display()
                );
                false
            }
            Err(panic) => {
                warn!("looking for network namespaces: {panic}");
                false
            }
        }
    }
}

impl Source for Kubernetes {
    async fn run(mut self, publish: watch::Sender<Option<Pods>>) -> Result<()> {
        let mut pods = pin!(self.pods());
        let mut namespaces = pin!(self.namespaces());
        let mut search_at: Option<Instant> = None;
        let mut pause = FIRST_SEARCH;
        loop {
            let complete = self.known.is_complete();
            tokio::select! {
                event = pods.try_next() => match event {
                    Ok(Some(event)) => {
                        self.known.take_pod(event);
                        (search_at, pause) = (Some(Instant::now()), FIRST_SEARCH);
                    }
                    Ok(None) => bail!("the watch of pods has ended"),
                    Err(error) => warn!("pods of this node: {error}; those known stay as they are"),
                },
                event = namespaces.try_next() => match event {
                    Ok(Some(event)) => {
                        self.known.take_namespace(event);
                        (search_at, pause) = (Some(Instant::now()), FIRST_SEARCH);
                    }
                    Ok(None) => bail!("the watch of namespaces has ended"),
                    Err(error) => warn!("namespaces: {error}; those known stay as they are"),
                },
                Some(announcement) = self.announced.recv() => self.known.announce(announcement),
                () = sleep_until(search_at.unwrap_or_else(Instant::now)), if complete && search_at.is_some() => {}
                () = publish.closed() => return Ok(()),
            }
            if !self.known.is_complete() {
                continue;
            }
            if search_at.is_some_and(|at| at <= Instant::now()) {
                search_at = (!self.search().await).then(|| Instant::now() + pause);
                pause = (pause * 2).min(LAST_SEARCH);
            }
            let now = self.known.records();
            publish.send_if_modified(|before| {
                if before.is_none() {
                    info!("{} pods on node {}", now.len(), self.node);
                }
                let changed = before.as_ref() != Some(&now);
                *before = Some(now);
                changed
            });
        }
    }
}

/// An event with its object made into something else.
fn map<A, B>(event: Event<A>, f: impl Fn(&A) -> B) -> Event<B> {
    match event {
        Event::Apply(object) => Event::Apply(f(&object)),
        Event::Delete(object) => Event::Delete(f(&object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(f(&object)),
        Event::InitDone => Event::InitDone,
    }
}
