//! The names asked for and how each stands. Asking and giving up happen under one lock,
//! so that the controller hears them in the order they are meant.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_model::Uid;
use mesh_state::{Reader, ResourceKey, ResourceName, Snapshot, Writer};
use mesh_xds::{Demand, DemandError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Need, Unanswered};

/// How long it counts that a name leads nowhere before it is asked for again.
pub(super) const ABSENCE: Duration = Duration::from_secs(30);
/// What leads somewhere is given up when it has not been used for so long.
pub(super) const DISUSE: Duration = Duration::from_mins(10);

/// The names asked for.
#[derive(Default)]
pub(crate) struct Asked {
    names: Mutex<Names>,
    /// Counts answers.
    answers: watch::Sender<u64>,
}

#[derive(Default)]
struct Names {
    /// By the text that is sent.
    entries: HashMap<Arc<str>, Entry>,
    /// Those without an answer.
    open: HashSet<Arc<str>>,
    /// Something was given up, and an answer that was on its way may have brought it back.
    left_over: bool,
}

struct Entry {
    name: ResourceName,
    used: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Asked, not answered.
    Open,
    /// It led somewhere.
    Known,
    /// It leads nowhere, since then.
    Absent(Instant),
}

/// How a name stands for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is something under it, or nothing.
    Settled,
    /// Nobody has said yet.
    Open,
}

impl Asked {
    /// Changes with every answer.
    pub(super) fn answers(&self) -> watch::Receiver<u64> {
        self.answers.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a name is needed now, and asks for it if that has not been done.
    pub(super) fn use_name(
        &self,
        snapshot: &Snapshot,
        name: &ResourceName,
        demand: &Demand,
        (need, now): (Need, Instant),
    ) -> Result<Standing, Unanswered> {
        let text: Arc<str> = name.to_string().into();
        let known = snapshot.knows(name);
        let mut names = self.lock();
        let state = match names.entries.get_mut(&text) {
            None => None,
            Some(entry) => {
                entry.used = now;
                match entry.state {
                    // It was taken back since.
                    State::Known if !known => entry.state = State::Absent(now),
                    State::Absent(_) if known => entry.state = State::Known,
                    _ => {}
                }
                Some(entry.state)
            }
        };
        let standing = match state {
            _ if known => Standing::Settled,
            Some(State::Absent(since)) if now < since + ABSENCE => Standing::Settled,
            _ => Standing::Open,
        };
        // What is known is asked for all the same: it may be here for another name's sake alone.
        let asks = match state {
            None => true,
            Some(State::Absent(_)) => standing == Standing::Open,
            Some(State::Open | State::Known) => false,
        };
        let asked = match asks {
            true if state.is_none() && names.entries.len() >= need.most_names() => {
                Err(Unanswered::TooMany { name: text, most: need.most_names() })
            }
            true => names.ask(&text, name, demand, now),
            false => Ok(()),
        };
        // Whatever becomes of the question, what is known can be used (UP-11).
        if known { Ok(standing) } else { asked.map(|()| standing) }
    }

    /// Takes the names of an answer, which the store has taken already.
    pub(super) fn note(&self, snapshot: &Snapshot, came: &[String], gone: &[String], now: Instant) {
        // What shares its node's address is an answer to the question for it, although not found there.
        let workloads =
            came.iter().filter_map(|uid| snapshot.find_workload_by_uid(&Uid(uid.as_str().into())));
        let addressed = workloads.flat_map(|workload| {
            let network = workload.network.clone();
            let texts = workload.addresses.iter().map(move |ip| Arc::from(format!("{network}/{ip}")));
            texts.collect::<Vec<Arc<str>>>()
        });
        let answered: HashSet<Arc<str>> =
            gone.iter().map(|name| Arc::from(name.as_str())).chain(addressed).collect();
        let mut names = self.lock();
        let concerned: Vec<Arc<str>> = names.open.iter().chain(&answered).cloned().collect();
        for text in concerned {
            let Some(entry) = names.entries.get_mut(&text) else { continue };
            if snapshot.knows(&entry.name) {
                entry.state = State::Known;
            } else if answered.contains(&text) {
                entry.state = State::Absent(now);
            } else {
                continue;
            }
            names.open.remove(&text);
        }
        drop(names);
        self.answers.send_modify(|count| *count += 1);
    }

    /// Gives up what has not been used for long: no more changes are asked for, and the store forgets
    /// it, unless it is also there for another name's sake or belongs to this node. Stops
    /// where the controller does not listen: without it nothing could be learnt anew.
    pub(super) fn forget_unused(
        &self,
        reader: &Reader,
        writer: &Writer,
        demand: &Demand,
        node: &str,
        now: Instant,
    ) {
        let mut names = self.lock();
        let snapshot = reader.snapshot();
        let unused: HashSet<Arc<str>> = names.unused(&snapshot, node, now);
        if unused.is_empty() && !names.left_over {
            return;
        }
        let used = names.entries.iter().filter(|(text, _)| !unused.contains(*text));
        let stays: HashSet<ResourceKey> =
            used.flat_map(|(_, entry)| snapshot.brought_by(&entry.name)).collect();
        let release = |mut keys: Vec<ResourceKey>, name: Option<&Arc<str>>| {
            keys.retain(|key| !stays.contains(key));
            if demand.room() <= keys.len() {
                return Err(DemandError::Busy);
            }
            writer.change(|edit| keys.iter().for_each(|key| key.remove_from(edit)));
            name.into_iter()
                .cloned()
                .chain(keys.iter().map(|key| key.to_string().into()))
                .try_for_each(|given_up| demand.unsubscribe(given_up))
        };
        if std::mem::take(&mut names.left_over) && release(left_over(&snapshot, node), None).is_err() {
            names.left_over = true;
            return;
        }
        for text in unused {
            let Some(entry) = names.entries.get(&text) else { continue };
            if release(snapshot.brought_by(&entry.name), Some(&text)).is_err() {
                return;
            }
            names.entries.remove(&text);
            names.open.remove(&text);
            names.left_over = true;
        }
    }
}

impl Names {
    fn ask(
        &mut self,
        text: &Arc<str>,
        name: &ResourceName,
        demand: &Demand,
        now: Instant,
    ) -> Result<(), Unanswered> {
        demand
            .subscribe(Arc::clone(text))
            .map_err(|source| Unanswered::NotAsked { name: Arc::clone(text), source })?;
        let entry = Entry { name: name.clone(), used: now, state: State::Open };
        self.entries.insert(Arc::clone(text), entry);
        self.open.insert(Arc::clone(text));
        Ok(())
    }

    /// What leads to pods of the node is in use for as long as they are there.
    fn unused(&self, snapshot: &Snapshot, node: &str, now: Instant) -> HashSet<Arc<str>> {
        let is_old = |entry: &&Entry| {
            let kept = if entry.state == State::Known { DISUSE } else { ABSENCE };
            now >= entry.used + kept
        };
        let is_elsewhere = |entry: &&Entry| {
            !snapshot.brought_by(&entry.name).iter().any(|key| is_on_node(snapshot, key, node))
        };
        let unused = self.entries.iter().filter(|(_, entry)| is_old(entry) && is_elsewhere(entry));
        unused.map(|(text, _)| Arc::clone(text)).collect()
    }
}

/// All there is but what belongs to the node.
fn left_over(snapshot: &Snapshot, node: &str) -> Vec<ResourceKey> {
    let workloads = snapshot.workloads().filter(|workload| *workload.node != *node);
    let workloads = workloads.map(|workload| ResourceKey::Workload(workload.uid.clone()));
    workloads.chain(snapshot.services().map(|service| ResourceKey::Service(service.key.clone()))).collect()
}

fn is_on_node(snapshot: &Snapshot, key: &ResourceKey, node: &str) -> bool {
    match key {
        ResourceKey::Workload(uid) => {
            snapshot.find_workload_by_uid(uid).is_some_and(|found| *found.node == *node)
        }
        ResourceKey::Service(_) => false,
    }
}
