//! What one stream wants of one type and what it has been sent; pure.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use mesh_proto::discovery::DeltaDiscoveryRequest;

use super::View;
use super::catalog::Snapshot;
use super::entry::Entry;

const WILDCARD: &str = "*";

/// What a stream has to be sent.
#[derive(Default)]
pub(super) struct Delta {
    pub(super) send: Vec<Arc<Entry>>,
    pub(super) removed: Vec<String>,
}

impl Delta {
    pub(super) fn is_empty(&self) -> bool {
        self.send.is_empty() && self.removed.is_empty()
    }

    fn drop_duplicates(&mut self) {
        let mut seen = HashSet::new();
        self.send.retain(|entry| seen.insert(entry.name.clone()));
    }
}

/// The interest of one stream in one type.
pub(super) struct Interest {
    type_url: String,
    view: Arc<dyn View>,
    /// Everything is wanted, not just `names`.
    wildcard: bool,
    names: HashSet<String>,
    /// What the peer holds when it subscribes by name; with the wildcard that
    /// is whatever it sees of `sent`.
    held: HashSet<Arc<str>>,
    /// The state the peer has been brought to.
    sent: Snapshot,
}

impl Interest {
    /// Takes the first request of a type.
    pub(super) fn open(
        request: &DeltaDiscoveryRequest,
        view: Arc<dyn View>,
        current: Snapshot,
    ) -> (Self, Delta) {
        let subscribe = &request.resource_names_subscribe;
        let unsubscribe = &request.resource_names_unsubscribe;
        let everything = |names: &[String]| names.iter().any(|name| name == WILDCARD);
        let wildcard = (subscribe.is_empty() || everything(subscribe)) && !everything(unsubscribe);
        let known = &request.initial_resource_versions;
        let mut names: HashSet<String> = subscribe.iter().cloned().collect();
        if !wildcard {
            names.extend(known.keys().cloned());
        }
        names.remove(WILDCARD);
        for name in unsubscribe {
            names.remove(name);
        }

        let mut interest = Interest {
            type_url: request.type_url.clone(),
            view,
            wildcard,
            names,
            held: HashSet::new(),
            sent: current,
        };
        let mut delta = Delta::default();
        interest.start(&mut delta);
        if wildcard {
            let visible: HashSet<&str> = delta.send.iter().map(|entry| &*entry.name).collect();
            delta.removed = known.keys().filter(|name| !visible.contains(name.as_str())).cloned().collect();
        }
        delta.send.retain(|entry| known.get(&*entry.name).is_none_or(|version| **version != *entry.version));
        (interest, delta)
    }

    /// Adds everything wanted to the delta, and the names that lead nowhere.
    fn start(&mut self, delta: &mut Delta) {
        if self.wildcard {
            let view = &self.view;
            let visible = self.sent.entries.values().filter(|entry| view.sees(&self.type_url, entry));
            delta.send.extend(visible.cloned());
            return;
        }
        let names: Vec<String> = self.names.iter().cloned().collect();
        for name in names {
            if self.send_named(&name, delta) == 0 {
                delta.removed.push(name);
            }
        }
        for name in self.view.implied(&self.type_url) {
            self.send_named(&name, delta);
            self.names.insert(name);
        }
        delta.drop_duplicates();
    }

    /// Brings the peer to `current`. `changed`: the names that may differ from
    /// what was sent; all do if unknown.
    pub(super) fn advance(&mut self, current: Snapshot, changed: Option<BTreeSet<Arc<str>>>) -> Delta {
        let before = std::mem::replace(&mut self.sent, current);
        let changed = changed
            .unwrap_or_else(|| before.entries.keys().chain(self.sent.entries.keys()).cloned().collect());
        let mut delta = Delta::default();
        for name in changed {
            let old = before.entries.get(&name);
            let new = self.sent.entries.get(&name).filter(|entry| self.sees(entry)).cloned();
            let had = if self.wildcard {
                old.is_some_and(|entry| self.sees(entry))
            } else {
                self.held.contains(&name)
            };
            match new {
                Some(entry) if had => {
                    let same = |old: &Arc<Entry>| {
                        old.version == entry.version && (self.wildcard || old.aliases == entry.aliases)
                    };
                    if !old.is_some_and(same) {
                        delta.send.push(entry.clone());
                    }
                    if !self.wildcard && self.wants(&entry) {
                        // By a name it did not have before, perhaps.
                        self.give_members(&entry, &mut delta);
                    }
                }
                Some(entry) if self.wants(&entry) => self.give(entry, &mut delta),
                None if had => {
                    self.held.remove(&name);
                    delta.removed.push(name.to_string());
                }
                _ => {}
            }
        }
        delta.drop_duplicates();
        delta
    }

    /// Takes a later request's change of names; adds what has to be sent for it.
    pub(super) fn resubscribe(&mut self, request: &DeltaDiscoveryRequest, delta: &mut Delta) {
        let mut added = HashSet::new();
        for name in &request.resource_names_subscribe {
            if name == WILDCARD {
                self.widen(delta);
            } else if added.insert(name) {
                self.names.insert(name.clone());
                // Sent even if the peer should hold it: it asks because it does not find it.
                if self.send_named(name, delta) == 0 {
                    delta.removed.push(name.clone());
                }
            }
        }
        for name in &request.resource_names_unsubscribe {
            if name == WILDCARD {
                self.narrow();
            } else {
                self.names.remove(name);
            }
        }
        for name in &request.resource_names_unsubscribe {
            // Another name may still lead to it.
            let entry = self.sent.entries.get(name.as_str());
            if !entry.is_some_and(|entry| self.sees(entry) && self.wants(entry)) {
                self.held.remove(name.as_str());
            }
        }
        if !self.wildcard {
            // What the peer gives up with this request must not arrive after it: nothing would take it back.
            delta.send.retain(|entry| self.held.contains(&entry.name));
        }
        delta.drop_duplicates();
    }

    pub(super) fn revision(&self) -> u64 {
        self.sent.revision
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    pub(super) fn name_count(&self) -> usize {
        self.names.len()
    }

    fn widen(&mut self, delta: &mut Delta) {
        if !self.wildcard {
            let held = std::mem::take(&mut self.held);
            let missing = self.sent.entries.values().filter(|entry| !held.contains(&entry.name));
            delta.send.extend(missing.filter(|entry| self.sees(entry)).cloned());
            self.wildcard = true;
        }
    }

    fn narrow(&mut self) {
        if self.wildcard {
            self.wildcard = false;
            let kept = self.sent.entries.values().filter(|entry| self.sees(entry) && self.wants(entry));
            self.held = kept.map(|entry| entry.name.clone()).collect();
        }
    }

    /// Adds what a name leads to; how much that is.
    fn send_named(&mut self, name: &str, delta: &mut Delta) -> usize {
        let others = self.sent.index.get(name).into_iter().flat_map(|names| names.iter());
        let entries = std::iter::once(name).chain(others.map(|name| &**name));
        let found: Vec<_> = entries
            .filter_map(|name| self.sent.entries.get(name))
            .filter(|entry| self.sees(entry))
            .cloned()
            .collect();
        let count = found.len();
        found.into_iter().for_each(|entry| self.give(entry, delta));
        count
    }

    /// The peer holds an entry from now on, and what belongs to it.
    fn give(&mut self, entry: Arc<Entry>, delta: &mut Delta) {
        if !self.wildcard {
            self.held.insert(entry.name.clone());
            self.give_members(&entry, delta);
        }
        delta.send.push(entry);
    }

    /// Whoever asks for a service by its address needs its endpoints as well.
    fn give_members(&mut self, head: &Entry, delta: &mut Delta) {
        let members = self.sent.index.get(&*head.name).into_iter().flat_map(|names| names.iter());
        let missing = members
            .filter(|name| !self.held.contains(&***name))
            .filter_map(|name| self.sent.entries.get(name))
            .filter(|member| self.sees(member));
        let missing: Vec<_> = missing.cloned().collect();
        self.held.extend(missing.iter().map(|member| member.name.clone()));
        delta.send.extend(missing);
    }

    fn sees(&self, entry: &Entry) -> bool {
        self.view.sees(&self.type_url, entry)
    }

    /// Whether a name leads to the entry, or to what it belongs to.
    fn wants(&self, entry: &Entry) -> bool {
        let is_head_named = |name: &Arc<str>| {
            self.sent.entries.get(name).is_some_and(|head| self.sees(head) && self.is_named(head))
        };
        self.wildcard || self.is_named(entry) || entry.belongs_to.iter().any(is_head_named)
    }

    fn is_named(&self, entry: &Entry) -> bool {
        self.names.contains(&*entry.name) || entry.other_names().any(|name| self.names.contains(&**name))
    }
}

#[cfg(test)]
mod tests;
