//! Statuses on their way out: what is to be written waits here, the latest only.

mod directory;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controller_translate::{ObjectKey, Status};
use tokio::sync::Notify;

pub use directory::StatusDirectory;

/// Statuses to write, `None` where there is none any more.
pub type Changes = BTreeMap<ObjectKey, Option<Status>>;

/// Writes statuses where their readers look.
pub trait StatusWriter: Send + 'static {
    /// Writes what differs from what is there. The first call holds every status there is.
    fn write(&mut self, changes: Changes) -> impl Future<Output = ()> + Send;
}

/// Where statuses are put to be written.
#[derive(Clone, Default)]
pub struct Statuses {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Changes>,
    filled: Notify,
}

impl Statuses {
    /// Has these written, instead of what waits for the same objects.
    pub fn set(&self, changes: Vec<(ObjectKey, Option<Status>)>) {
        self.waiting().extend(changes);
        self.shared.filled.notify_one();
    }

    /// Writes what is put here, for ever.
    pub async fn run(self, mut writer: impl StatusWriter) {
        loop {
            let changes = self.take().await;
            writer.write(changes).await;
        }
    }

    /// Waits until something is put here, and takes it.
    pub async fn take(&self) -> Changes {
        self.shared.filled.notified().await;
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Changes> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
