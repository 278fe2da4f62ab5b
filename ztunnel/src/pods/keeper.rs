//! Carries out what the node agent says: the table decides, the launcher starts
//! proxies, and whoever looks at the roster sees the outcome.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_net::namespace::Namespace;
use mesh_telemetry::PodMetrics;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::table::{Known, OutOfOrder, Table};
use super::{PodUid, Rejected};
use crate::connections::Connections;
use crate::identities::{Identities, Lease};
use crate::proxy::{Launcher, PodProxy};
use crate::zds::{AddedPod, Message, PodInfo};

/// How long the pods of the first snapshot wait for their certificates. A predecessor has certificates and serves
/// them meanwhile; where there is none, plain text should not wait for an authority that is away.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(30);

/// What is held of a pod for as long as it is known.
struct Held {
    info: PodInfo,
    namespace: Namespace,
    lease: Lease,
}

/// One pod as the config dump shows it.
#[derive(Clone)]
pub(crate) struct PodView {
    pub(crate) uid: PodUid,
    pub(crate) info: PodInfo,
    /// None: its proxy could not be started yet, or waits for its certificate.
    pub(crate) connections: Option<Arc<Connections>>,
}

/// All pods at one moment.
pub(crate) type Roster = Arc<[PodView]>;

/// Holds the proxy of every pod.
pub(crate) struct Keeper {
    table: Table<Held, PodProxy>,
    launcher: Launcher,
    identities: Identities,
    roster: watch::Sender<Roster>,
    metrics: PodMetrics,
    /// Set by the first snapshot.
    patience_ends: Option<Instant>,
    arrivals: JoinSet<()>,
}

impl Keeper {
    pub(crate) fn new(
        launcher: Launcher,
        identities: Identities,
        roster: watch::Sender<Roster>,
        metrics: PodMetrics,
    ) -> Self {
        Keeper {
            table: Table::new(),
            launcher,
            identities,
            roster,
            metrics,
            patience_ends: None,
            arrivals: JoinSet::new(),
        }
    }

    pub(crate) fn begin_snapshot(&mut self) {
        self.patience_ends.get_or_insert_with(|| Instant::now() + CERTIFICATE_PATIENCE);
        self.table.begin_snapshot();
    }

    pub(crate) fn apply(&mut self, message: Message) -> Result<(), Rejected> {
        let outcome = match message {
            Message::Add(pod) => self.add(pod),
            Message::Keep(uid) => self.table.keep(&uid).map_err(Rejected::from),
            Message::Remove(uid) => {
                info!(%uid, "pod removed");
                self.table.remove(&uid);
                Ok(())
            }
            Message::SnapshotSent => self.table.end_snapshot().map_err(Rejected::from),
        };
        self.publish();
        outcome
    }

    fn add(&mut self, AddedPod { uid, info, namespace }: AddedPod) -> Result<(), Rejected> {
        let rejected = |reason| Rejected::NotStarted { uid: uid.clone(), reason };
        let known = self.known(info, namespace).map_err(rejected)?;
        // A pod that has just come has nobody else to serve it.
        let patient = !self.table.is_snapshot_complete() && self.is_patient();
        if patient && !known.held.lease.is_certified() {
            self.arrivals.spawn(known.held.lease.certified());
        }
        let launcher = &self.launcher;
        self.table.add(uid.clone(), known, |known| launch(launcher, &uid, known, patient)).map_err(rejected)
    }

    fn is_patient(&self) -> bool {
        self.patience_ends.is_some_and(|end| Instant::now() < end)
    }

    fn known(&self, info: PodInfo, namespace: OwnedFd) -> io::Result<Known<Held>> {
        let namespace = Namespace::from_fd(namespace)?;
        let lease = self.identities.lease(self.launcher.identity_of(&info));
        Ok(Known { inode: namespace.inode(), held: Held { info, namespace, lease } })
    }

    /// Starts the proxies that could not be started before.
    pub(crate) fn retry_pending(&mut self) {
        let (launcher, patient) = (&self.launcher, self.is_patient());
        self.table.retry(|uid, known| launch(launcher, uid, known, patient));
        self.publish();
    }

    /// Waits until something has come that a pod has waited for, and it is worth to try again.
    pub(crate) async fn certificate_arrived(&mut self) {
        if self.arrivals.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.table.is_settled()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Takes nothing new anywhere, and waits for what goes on until the deadline.
    pub(crate) async fn drain(self, deadline: Duration) {
        join_all(self.table.into_proxies().map(|proxy| proxy.drain(deadline))).await;
    }

    fn publish(&self) {
        let view = |(uid, known, proxy): (&PodUid, &Known<Held>, Option<&PodProxy>)| PodView {
            uid: uid.clone(),
            info: known.held.info.clone(),
            connections: proxy.map(PodProxy::connections),
        };
        let roster: Roster = self.table.iter().map(view).collect();
        let active = roster.iter().filter(|pod| pod.connections.is_some()).count();
        self.metrics.active.set(gauge(active));
        self.metrics.pending.set(gauge(roster.len() - active));
        self.roster.send_replace(roster);
    }
}

/// Nothing is started for a pod that waits for its certificate.
fn launch(
    launcher: &Launcher,
    uid: &PodUid,
    known: &Known<Held>,
    patient: bool,
) -> io::Result<Option<PodProxy>> {
    let Held { info, namespace, lease } = &known.held;
    if patient && !lease.is_certified() {
        return Ok(None);
    }
    let started = launcher.start(info, lease.identity(), namespace);
    match &started {
        Ok(_) => info!(%uid, pod = %info.name, namespace = %info.namespace, "pod added"),
        Err(error) => warn!(%uid, pod = %info.name, namespace = %info.namespace, %error, "pod is pending"),
    }
    started.map(Some)
}

impl From<OutOfOrder> for Rejected {
    fn from(OutOfOrder(reason): OutOfOrder) -> Self {
        Rejected::Protocol(reason.to_owned())
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
