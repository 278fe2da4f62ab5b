//! Everything published, in persistent maps: a stream keeps the state it last
//! sent for nothing, and compares it with the current one by the names that
//! changed, or by all names once it has fallen behind the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rpds::{HashTrieMapSync, HashTrieSetSync};

use super::entry::Entry;

pub(super) type Entries = HashTrieMapSync<Arc<str>, Arc<Entry>>;
/// Aliases and memberships to the names of entries.
pub(super) type Index = HashTrieMapSync<Arc<str>, HashTrieSetSync<Arc<str>>>;

/// What all streams read and the publisher changes.
#[derive(Default)]
pub(super) struct Catalog {
    pub(super) revision: u64,
    /// Whether nothing is answered yet.
    pub(super) held_back: bool,
    /// Whether streams end.
    pub(super) closed: bool,
    topics: BTreeMap<String, Topic>,
    log_length: usize,
}

/// All entries of one type.
#[derive(Default)]
pub(super) struct Topic {
    entries: Entries,
    index: Index,
    log: VecDeque<(u64, Arc<str>)>,
    /// Changes up to and including this revision are no longer in the log.
    forgotten: u64,
}

/// The state of one type at one revision.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    pub(super) revision: u64,
    pub(super) entries: Entries,
    pub(super) index: Index,
}

impl Catalog {
    pub(super) fn new(log_length: usize, held_back: bool) -> Self {
        Catalog { log_length, held_back, ..Default::default() }
    }

    pub(super) fn snapshot(&self, type_url: &str) -> Snapshot {
        let revision = self.revision;
        match self.topics.get(type_url) {
            None => Snapshot { revision, ..Default::default() },
            Some(topic) => Snapshot { revision, entries: topic.entries.clone(), index: topic.index.clone() },
        }
    }

    /// The names that changed after a revision, each once; `None` if the log
    /// does not reach back so far.
    pub(super) fn changed_since(&self, type_url: &str, revision: u64) -> Option<BTreeSet<Arc<str>>> {
        let Some(topic) = self.topics.get(type_url) else { return Some(BTreeSet::new()) };
        if revision < topic.forgotten {
            return None;
        }
        let start = topic.log.partition_point(|(at, _)| *at <= revision);
        Some(topic.log.range(start..).map(|(_, name)| name.clone()).collect())
    }

    /// Applies changes of one type as one revision; how many changed anything.
    pub(super) fn apply(&mut self, type_url: &str, changes: Vec<(Arc<str>, Option<Arc<Entry>>)>) -> usize {
        if !self.topics.contains_key(type_url) {
            self.topics.insert(type_url.to_owned(), Topic::default());
        }
        let Some(topic) = self.topics.get_mut(type_url) else { return 0 };
        let revision = self.revision + 1;
        let mut changed = 0;
        for (name, entry) in changes {
            if topic.set(&name, entry) {
                topic.log.push_back((revision, name));
                changed += 1;
            }
        }
        while topic.log.len() > self.log_length {
            if let Some((cut, _)) = topic.log.pop_front() {
                topic.forgotten = cut;
            }
        }
        if changed > 0 {
            self.revision = revision;
        }
        changed
    }
}

impl Topic {
    /// Whether that changed anything.
    fn set(&mut self, name: &Arc<str>, entry: Option<Arc<Entry>>) -> bool {
        let old = self.entries.get(name).cloned();
        if old.as_deref() == entry.as_deref() {
            return false;
        }
        for alias in old.iter().flat_map(|old| old.other_names()) {
            self.unlink(alias, name);
        }
        match entry {
            None => {
                self.entries.remove_mut(name);
            }
            Some(entry) => {
                for alias in entry.other_names() {
                    self.link(alias, name);
                }
                self.entries.insert_mut(name.clone(), entry);
            }
        }
        true
    }

    fn link(&mut self, alias: &Arc<str>, name: &Arc<str>) {
        let mut names = self.index.get(alias).cloned().unwrap_or_default();
        names.insert_mut(name.clone());
        self.index.insert_mut(alias.clone(), names);
    }

    fn unlink(&mut self, alias: &Arc<str>, name: &Arc<str>) {
        let Some(mut names) = self.index.get(alias).cloned() else { return };
        names.remove_mut(name);
        if names.is_empty() {
            self.index.remove_mut(alias);
        } else {
            self.index.insert_mut(alias.clone(), names);
        }
    }
}
