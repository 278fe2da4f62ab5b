//! Which pods are known and which of them have a proxy: pure bookkeeping that
//! starts proxies through a function and stops them by dropping them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::PodUid;

/// What is known of a pod: the inode tells its network namespace from its
/// predecessor's, `held` is whatever has to live as long as the pod is known.
pub(super) struct Known<H> {
    pub(super) inode: u64,
    pub(super) held: H,
}

struct Entry<H, P> {
    known: Known<H>,
    /// None: it could not be started yet, or was not meant to.
    proxy: Option<P>,
    /// Named in the snapshot that is under way.
    confirmed: bool,
}

/// The pods, and how far the snapshot of the present conversation is.
pub(super) struct Table<H, P> {
    entries: BTreeMap<PodUid, Entry<H, P>>,
    snapshot_complete: bool,
}

/// A message that has no meaning at this point of the conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder(pub(super) &'static str);

impl<H, P> Table<H, P> {
    pub(super) fn new() -> Self {
        Table { entries: BTreeMap::new(), snapshot_complete: false }
    }

    /// A conversation begins: nothing is confirmed, everything keeps running.
    pub(super) fn begin_snapshot(&mut self) {
        self.snapshot_complete = false;
        for entry in self.entries.values_mut() {
            entry.confirmed = false;
        }
    }

    /// A pod is there. One that has its proxy in that very namespace is left alone (CNI-10).
    pub(super) fn add<E>(
        &mut self,
        uid: PodUid,
        known: Known<H>,
        start: impl FnOnce(&Known<H>) -> Result<Option<P>, E>,
    ) -> Result<(), E> {
        let same = self.entries.get_mut(&uid).filter(|entry| entry.known.inode == known.inode);
        if let Some(entry) = same.filter(|entry| entry.proxy.is_some()) {
            entry.confirmed = true;
            return Ok(());
        }
        // A namespace is one pod's: whoever is named last has it.
        self.entries.retain(|other, entry| *other == uid || entry.known.inode != known.inode);
        // The predecessor's proxy is stopped first: both may want the same ports.
        let predecessor = self.entries.remove(&uid).map(|entry| (drop(entry.proxy), entry.known));
        let started = start(&known);
        drop(predecessor);
        let (proxy, outcome) = match started {
            Ok(proxy) => (proxy, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.entries.insert(uid, Entry { known, proxy, confirmed: true });
        outcome
    }

    /// A pod from an earlier conversation is still there. One that is not known here
    /// is none of this ztunnel's: another one that the agent also talks to has it.
    pub(super) fn keep(&mut self, uid: &PodUid) -> Result<(), OutOfOrder> {
        if self.snapshot_complete {
            return Err(OutOfOrder("a keep after the snapshot; keeps belong before snapshot_sent"));
        }
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.confirmed = true;
        }
        Ok(())
    }

    /// A pod is gone; saying so twice does no harm (CNI-20).
    pub(super) fn remove(&mut self, uid: &PodUid) {
        self.entries.remove(uid);
    }

    /// Every pod has been named; the others are gone (CNI-12).
    pub(super) fn end_snapshot(&mut self) -> Result<(), OutOfOrder> {
        if self.snapshot_complete {
            return Err(OutOfOrder("a second snapshot_sent"));
        }
        self.snapshot_complete = true;
        self.entries.retain(|_, entry| entry.confirmed);
        Ok(())
    }

    /// Tries again what has not been started.
    pub(super) fn retry<E>(&mut self, mut start: impl FnMut(&PodUid, &Known<H>) -> Result<Option<P>, E>) {
        for (uid, entry) in &mut self.entries {
            if entry.proxy.is_none() {
                entry.proxy = start(uid, &entry.known).ok().flatten();
            }
        }
    }

    /// The snapshot is complete and every pod has its proxy (UP-13).
    pub(super) fn is_settled(&self) -> bool {
        self.snapshot_complete && self.entries.values().all(|entry| entry.proxy.is_some())
    }

    /// All pods that the node agent has when the conversation begins are known.
    pub(super) fn is_snapshot_complete(&self) -> bool {
        self.snapshot_complete
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PodUid, &Known<H>, Option<&P>)> {
        self.entries.iter().map(|(uid, entry)| (uid, &entry.known, entry.proxy.as_ref()))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Gives up all pods, and returns the proxies there are.
    pub(super) fn into_proxies(self) -> impl Iterator<Item = P> {
        self.entries.into_values().filter_map(|entry| entry.proxy)
    }
}
