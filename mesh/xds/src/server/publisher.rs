//! The writing end: whoever derives resources puts them here.

use std::sync::Arc;

use tokio::sync::watch;

use super::catalog::Catalog;
use super::entry::Entry;

/// Changes a stream may fall behind before it compares everything.
const LOG_LENGTH: usize = 16 << 10;

/// A change to what is published.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// New or changed.
    Upsert(Entry),
    /// Gone.
    Remove(Arc<str>),
}

/// Where resources are published. Clones publish to the same place.
#[derive(Clone)]
pub struct Publisher {
    catalog: watch::Sender<Catalog>,
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Publisher {
    /// An empty publisher whose streams are answered at once.
    pub fn new() -> Self {
        Self::with(LOG_LENGTH, false)
    }

    /// An empty publisher whose streams wait for [`release`](Self::release), so
    /// that a controller that is still reading its source takes nothing away
    /// from anyone (UP-20).
    pub fn held_back() -> Self {
        Self::with(LOG_LENGTH, true)
    }

    pub(crate) fn with(log_length: usize, held_back: bool) -> Self {
        Publisher { catalog: watch::Sender::new(Catalog::new(log_length, held_back)) }
    }

    /// Starts answering. Has no effect on a publisher that does.
    pub fn release(&self) {
        self.catalog.send_if_modified(|catalog| std::mem::take(&mut catalog.held_back));
    }

    /// Ends every stream, cleanly, and those that are opened later: proxies go elsewhere.
    pub fn close(&self) {
        self.catalog.send_modify(|catalog| catalog.closed = true);
    }

    /// Publishes changes of one type in one step: streams send all of them or
    /// none. Changes that change nothing are left out; how many did.
    pub fn publish(&self, type_url: &str, changes: Vec<Change>) -> usize {
        let changes = changes
            .into_iter()
            .map(|change| match change {
                Change::Upsert(entry) => (entry.name.clone(), Some(Arc::new(entry))),
                Change::Remove(name) => (name, None),
            })
            .collect();
        let mut changed = 0;
        self.catalog.send_if_modified(|catalog| {
            changed = catalog.apply(type_url, changes);
            changed > 0
        });
        changed
    }

    /// How many entries of a type there are.
    pub fn count(&self, type_url: &str) -> usize {
        self.catalog.borrow().snapshot(type_url).entries.size()
    }

    /// An entry by name.
    pub fn find(&self, type_url: &str, name: &str) -> Option<Arc<Entry>> {
        self.catalog.borrow().snapshot(type_url).entries.get(name).cloned()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Catalog> {
        self.catalog.subscribe()
    }
}
