//! The supervisor of a local mesh: API server, scheduler and kubelet in one loop. It makes true what the
//! manifests want and tells the controller and the node agents, by files, what is.

mod make;
mod publish;
mod reconcile;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::addresses::Addresses;
use super::console::Console;
use super::files;
use super::follow::Followed;
use super::images::ImageCommand;
use super::logs;
use super::mesh::Mesh;
use super::network::{Network, node_name};
use super::objects::Objects;
use super::poll::Polled;
use super::programs::ProgramSettings;
use super::rollout::PodName;
use super::tokens::Issuer;
use super::watch::Watch;
use publish::Published;
use running::RunningPod;

/// How often files are looked at even if nothing was told of a change: some file systems do not tell.
const PERIOD: Duration = Duration::from_millis(200);
/// How often what is not urgent is done.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// What pods get to end when the whole mesh does.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// What a mesh is started with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) nodes: u8,
    /// Programs that stand for images; the mesh's own comes first.
    pub(super) images: Vec<ImageCommand>,
    pub(super) programs: ProgramSettings,
    /// How long to wait before saying what is not ready.
    pub(super) patience: Duration,
}

/// How far the start has come; what is next needs what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Controller,
    Nodes,
    Pods,
    Ready,
}

/// A running mesh.
pub(super) struct Supervisor {
    mesh: Mesh,
    settings: Settings,
    console: Console,
    network: Network,
    addresses: Addresses,
    issuer: Issuer,
    objects: Objects,
    followed: Followed,
    pods: BTreeMap<PodName, RunningPod>,
    services: BTreeMap<PodName, Service>,
    published: Published,
    /// What the node agents say, by node.
    results: Vec<Polled>,
    /// Something changed in some pod.
    changed: Arc<Notify>,
    stage: Stage,
    /// Pods that have been ready, so that each is announced once.
    announced: BTreeSet<String>,
    /// Fields that are ignored, and have been named.
    noticed: BTreeSet<&'static str>,
    /// Pods for which there is no place, and why.
    refused: BTreeMap<PodName, String>,
    /// Pods that cannot be run, and why, so that each reason is told once.
    failures: BTreeMap<PodName, String>,
    /// What went wrong last, so that it is said once.
    trouble: String,
    last_housekeeping: Instant,
}

impl Supervisor {
    /// Makes the networks of a mesh whose directories exist.
    pub(super) fn new(mesh: Mesh, settings: Settings, followed: Followed, console: Console) -> Result<Self> {
        let network = Network::make(&mesh, settings.nodes)?;
        console.step(format_args!("{} nodes are joined", settings.nodes));
        let issuer = Issuer::new()?;
        files::write_atomically(&mesh.token_key(), issuer.public_key())?;
        let nodes = (1..=settings.nodes).map(|node| mesh.node(&node_name(node)).join("results"));
        Ok(Supervisor {
            network,
            addresses: Addresses::default(),
            issuer,
            objects: Objects::new(&mesh),
            followed,
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
            published: Published::default(),
            results: nodes.map(|path| Polled::new(path, ".json")).collect(),
            changed: Arc::new(Notify::new()),
            stage: Stage::Controller,
            announced: BTreeSet::new(),
            noticed: BTreeSet::new(),
            refused: BTreeMap::new(),
            failures: BTreeMap::new(),
            trouble: String::new(),
            last_housekeeping: Instant::now(),
            mesh,
            settings,
            console,
        })
    }

    /// Runs the mesh until SIGINT or SIGTERM, then ends its pods.
    ///
    /// To be run on the main thread: the kernel ends processes with the thread that started them.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut patience = Some(Instant::now() + self.settings.patience);
        let changed = self.changed.clone();
        let files = self.watch_files()?;
        self.reconcile().and_then(|()| self.publish())?;
        loop {
            let done = tokio::select! {
                _ = ticks.tick() => self.look(),
                () = files.changed() => self.look(),
                () = changed.notified() => self.take_changes(),
                _ = interrupted.recv() => break,
                _ = terminated.recv() => break,
            };
            let done = done.and_then(|()| self.advance());
            self.tolerate(done);
            if self.stage == Stage::Ready {
                patience = None;
            }
            if patience.is_some_and(|until| Instant::now() >= until) {
                patience = None;
                self.complain();
            }
        }
        self.console.step(format_args!("taking the mesh down"));
        self.end_all().await;
        Ok(())
    }

    /// Watches what others write.
    fn watch_files(&self) -> Result<Watch> {
        let watch = Watch::new().context("watching files")?;
        let own = [self.mesh.manifests(), self.mesh.data()];
        let results = self.results.iter().map(|results| results.directory().to_owned());
        for directory in own.into_iter().chain(results).chain(self.followed.directories()) {
            watch.add(&directory).with_context(|| files::shown(&directory))?;
        }
        Ok(watch)
    }

    /// Looks at what others may have written.
    fn look(&mut self) -> Result<()> {
        self.followed.look(&self.mesh, &self.console);
        let refreshed = self.objects.refresh();
        for problem in &refreshed.problems {
            self.console.problem(format_args!("{problem}; what it said before stays"));
        }
        let outcomes = self.read_outcomes();
        if refreshed.is_changed {
            self.retry_failed();
            self.reconcile()?;
        }
        if refreshed.is_changed || outcomes {
            self.publish()?;
        }
        if self.last_housekeeping.elapsed() >= HOUSEKEEPING {
            self.last_housekeeping = Instant::now();
            logs::shorten_all(&self.mesh.logs())?;
            self.renew_tokens()?;
        }
        Ok(())
    }

    /// Takes in what has happened in pods.
    fn take_changes(&mut self) -> Result<()> {
        let mut changed = false;
        for pod in self.pods.values_mut() {
            changed |= pod.take_change();
        }
        if changed {
            self.reconcile()?;
            self.publish()?;
        }
        Ok(())
    }

    /// Goes on to the next stage of the start when what it needs is there.
    fn advance(&mut self) -> Result<()> {
        loop {
            // A stage's pods are those made so far.
            let all_placed = !self.pods.is_empty() && self.refused.is_empty();
            let all_ready = all_placed && self.pods.values().all(|pod| pod.is_ready() || pod.is_done());
            let next = match self.stage {
                Stage::Controller if all_ready => Stage::Nodes,
                Stage::Nodes if all_ready => Stage::Pods,
                Stage::Pods if all_ready => Stage::Ready,
                _ => return Ok(()),
            };
            self.stage = next;
            if next == Stage::Ready {
                files::write_atomically(&self.mesh.ready(), "")?;
                self.console.step(format_args!("the mesh {} is ready", self.mesh));
                return Ok(());
            }
            self.reconcile()?;
            self.publish()?;
        }
    }

    /// A full disk or a missing tool must not take the mesh down; the next look tries again.
    fn tolerate(&mut self, result: Result<()>) {
        let trouble = result.err().map(|error| format!("{error:#}")).unwrap_or_default();
        if !trouble.is_empty() && trouble != self.trouble {
            self.console.problem(format_args!("{trouble}"));
        }
        self.trouble = trouble;
    }

    /// Says what is not ready, and why.
    fn complain(&self) {
        for ((namespace, name), pod) in self.pods.iter().filter(|(_, pod)| !pod.is_ready() && !pod.is_done())
        {
            self.console.problem(format_args!("{namespace}/{name} is not ready: {}", pod.reason()));
        }
    }

    /// Ends the applications first, so that they can say goodbye through the mesh.
    async fn end_all(&mut self) {
        let now = super::clock::now();
        for mesh_itself in [false, true] {
            let is_meant = |pod: &RunningPod| pod.site.has_own_network != mesh_itself;
            let ending = self.pods.values_mut().filter(|pod| is_meant(pod));
            ending.for_each(|pod| pod.end(&now, LAST_GRACE));
            let deadline = Instant::now() + LAST_GRACE * 2;
            while self.pods.values().any(|pod| is_meant(pod) && !pod.has_ended()) {
                let changed = tokio::time::timeout_at(deadline, self.changed.notified()).await;
                if changed.is_err() {
                    // Whatever is left is swept.
                    break;
                }
            }
        }
    }

    /// The number of a node.
    fn find_node(&self, name: &str) -> Result<u8> {
        let number = (1..=self.network.nodes()).find(|node| node_name(*node) == name);
        number.with_context(|| {
            format!("there is no node {name:?}; they are node-1 to node-{}", self.network.nodes())
        })
    }
}
