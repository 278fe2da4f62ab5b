//! The side of everyone who only looks.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_model::{NetworkAddress, Uid, Workload};
use tokio::sync::watch;

use crate::Snapshot;

/// Looks at the current snapshot. Cheap to clone, never blocks.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// What writer and readers share.
pub(crate) struct Shared {
    pub(crate) current: ArcSwap<Snapshot>,
    pub(crate) addresses: watch::Sender<u64>,
    pub(crate) policies: watch::Sender<u64>,
    pub(crate) configs: watch::Sender<u64>,
}

impl Reader {
    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Whether a state is still what is known now. It leaves the snapshot alone, so that threads that ask all the
    /// time do not get into each other's way.
    pub fn is_current(&self, seen: &Weak<Snapshot>) -> bool {
        Weak::as_ptr(seen) == Arc::as_ptr(&self.shared.current.load())
    }

    /// Changes whenever the policies that apply to some workload may have changed.
    pub fn policies_changed(&self) -> watch::Receiver<u64> {
        self.shared.policies.subscribe()
    }

    /// Changes whenever some service configuration has changed.
    pub fn configs_changed(&self) -> watch::Receiver<u64> {
        self.shared.configs.subscribe()
    }

    /// Changes whenever some workload or service has changed.
    pub fn addresses_changed(&self) -> watch::Receiver<u64> {
        self.shared.addresses.subscribe()
    }

    /// Waits for the workload at an address to become known (CAP-26).
    pub async fn fetch_workload(
        &self,
        address: &NetworkAddress,
        patience: Duration,
    ) -> Option<Arc<Workload>> {
        self.fetch(patience, |snapshot| snapshot.find_workload(address)).await
    }

    /// Waits for the workload of a uid to become known (CAP-26).
    pub async fn fetch_workload_by_uid(&self, uid: &Uid, patience: Duration) -> Option<Arc<Workload>> {
        self.fetch(patience, |snapshot| snapshot.find_workload_by_uid(uid)).await
    }

    /// Waits for something among workloads and services to become known.
    pub async fn fetch<T>(&self, patience: Duration, find: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
        if let Some(found) = find(&self.snapshot()) {
            return Some(found);
        }
        // Subscribed before the second look, so that no change falls between.
        let mut changed = self.addresses_changed();
        let search = async {
            loop {
                if let Some(found) = find(&self.snapshot()) {
                    return Some(found);
                }
                changed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, search).await.ok()?
    }
}
