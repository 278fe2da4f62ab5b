//! The picture of the cluster, shared: one writer, many readers.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use controller_translate::cluster::Settings;
use controller_translate::{Affected, Cluster};
use tokio::sync::watch;

use crate::source::Event;

/// What is known of the cluster.
pub struct Picture {
    cluster: RwLock<Cluster>,
    progress: watch::Sender<Progress>,
}

/// How far the picture has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything that was there at the start is in it.
    pub is_complete: bool,
    /// Grows with every change.
    pub revision: u64,
}

impl Picture {
    /// An empty picture.
    pub fn new(settings: Settings) -> Self {
        Picture { cluster: RwLock::new(Cluster::new(settings)), progress: watch::Sender::default() }
    }

    /// From now on somebody deploys waypoints and tells what is in the way.
    pub fn expect_deployment(&self) {
        self.cluster.write().unwrap_or_else(PoisonError::into_inner).expect_deployment();
    }

    /// The cluster as it is now. To be held briefly: the writer waits.
    pub fn read(&self) -> RwLockReadGuard<'_, Cluster> {
        // The writer only panics where `Cluster` does, between whole objects.
        self.cluster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happened; what is affected by it.
    pub fn apply(&self, events: impl Iterator<Item = Event>) -> Affected {
        let mut affected = Affected::default();
        let mut is_complete = false;
        let mut cluster = self.cluster.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            match event {
                Event::Applied(object) => affected.extend(cluster.apply(*object)),
                Event::Deleted(key) => affected.extend(cluster.remove(&key)),
                Event::Obstacle(gateway, obstacle) => {
                    affected.extend(cluster.set_obstacle(&gateway, obstacle));
                }
                Event::Keys(source, keys) => affected.extend(cluster.set_keys(&source, keys)),
                Event::Certificates(map, certificates) => {
                    affected.extend(cluster.set_certificates(&map, certificates));
                }
                Event::InitDone => is_complete = true,
            }
        }
        drop(cluster);
        self.progress.send_modify(|progress| {
            progress.is_complete |= is_complete;
            progress.revision += 1;
        });
        affected
    }

    /// Whether everything that was there at the start is in it.
    pub fn is_complete(&self) -> bool {
        self.progress.borrow().is_complete
    }

    /// Waits until this holds, but no longer than that.
    pub async fn wait_until(&self, patience: Duration, holds: impl Fn(&Cluster) -> bool) {
        let mut progress = self.progress();
        let holding = progress.wait_for(|_| holds(&self.read()));
        // Whoever asks looks again, so it does not matter here how the waiting ended.
        let _ = tokio::time::timeout(patience, holding).await;
    }

    /// Tells of every change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}
