//! The workload descriptor service: tells every connected ztunnel which pods of
//! the node are its own, and passes their network namespaces by descriptor.
//!
//! The newest ztunnel is given new pods; every ztunnel is told of pods that leave.
//! When the newest goes away, the one before takes over.

mod connection;
mod packet;
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_net::namespace::Namespace;
use mesh_proto::istio::workload::zds::WorkloadInfo;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::pod::Uid;
pub use server::listen;

/// Messages waiting for one ztunnel; one that is further behind is cut off, and
/// gets a snapshot when it comes back.
const LONGEST_QUEUE: usize = 4096;

/// A pod as ztunnel gets to know it.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Who it is.
    pub info: WorkloadInfo,
    /// Its network namespace.
    pub namespace: Namespace,
}

/// What the newest ztunnel said about a pod it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The pod.
    pub uid: Uid,
    /// The network namespace it was given with; a pod may have another one by now.
    pub namespace: Namespace,
    /// Taken, or refused and why.
    pub result: Result<(), String>,
}

/// No ztunnel is connected; the next one will be given the pod.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no ztunnel is connected to this node's agent")]
pub struct NoProxy;

/// The connected ztunnels, and the pods that are theirs.
#[derive(Clone)]
pub struct Proxies {
    shared: Arc<Mutex<Shared>>,
    /// Whether every pod there was at the start is known, so that a snapshot is whole.
    complete: watch::Sender<bool>,
    answers: mpsc::Sender<Answer>,
}

#[derive(Default)]
struct Shared {
    pods: BTreeMap<Uid, Entry>,
    /// Oldest first.
    connections: Vec<Connected>,
    next_id: u64,
}

/// What a snapshot says about one pod.
#[derive(Clone)]
enum Entry {
    Add(Workload),
    /// Its namespace is not at hand; a ztunnel that has it keeps it.
    Keep,
}

struct Connected {
    id: u64,
    commands: mpsc::Sender<Command>,
}

/// What a connection is to tell its ztunnel after the snapshot.
#[derive(Clone)]
enum Command {
    Add(Uid, Workload),
    Delete(Uid),
}

impl Proxies {
    /// None connected yet. What ztunnels answer arrives at `answers`.
    pub fn new(answers: mpsc::Sender<Answer>) -> Self {
        Self { shared: Arc::default(), complete: watch::Sender::new(false), answers }
    }

    /// Gives a pod to the newest ztunnel, or again when it has it already.
    pub fn add(&self, uid: &str, workload: Workload) -> Result<(), NoProxy> {
        let mut shared = self.lock();
        shared.pods.insert(uid.to_owned(), Entry::Add(workload.clone()));
        shared.tell_newest(Command::Add(uid.to_owned(), workload))
    }

    /// Lets every ztunnel keep a pod that this agent cannot hand over at the moment.
    pub fn keep(&self, uid: &str) {
        self.lock().pods.entry(uid.to_owned()).or_insert(Entry::Keep);
    }

    /// Takes a pod from every ztunnel.
    pub fn delete(&self, uid: &str) {
        let mut shared = self.lock();
        if shared.pods.remove(uid).is_some() {
            shared.tell_all(&Command::Delete(uid.to_owned()));
        }
    }

    /// All pods there were at the start have been added: ztunnels may have their snapshot.
    pub fn complete(&self) {
        self.complete.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every change is one insertion or removal, so a poisoned state is a whole one.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, with what it has to say first and then.
    fn connect(&self) -> (u64, BTreeMap<Uid, Entry>, mpsc::Receiver<Command>) {
        let mut shared = self.lock();
        let (commands, received) = mpsc::channel(LONGEST_QUEUE);
        let id = shared.next_id;
        shared.next_id += 1;
        shared.connections.push(Connected { id, commands });
        (id, shared.pods.clone(), received)
    }

    /// A connection has ended; if it was the newest, the one before is given what it may have missed.
    fn disconnect(&self, id: u64) {
        let mut shared = self.lock();
        shared.connections.retain(|connection| connection.id != id);
        if shared.connections.iter().all(|older| older.id < id) {
            for (uid, entry) in shared.pods.clone() {
                if let Entry::Add(workload) = entry {
                    // Without a connection left, the next one gets a snapshot.
                    let _ = shared.tell_newest(Command::Add(uid, workload));
                }
            }
        }
    }
}

impl Shared {
    fn tell_newest(&mut self, command: Command) -> Result<(), NoProxy> {
        while let Some(newest) = self.connections.last() {
            if newest.tell(command.clone()) {
                return Ok(());
            }
            // Its receiver ends with it, and that ends the connection.
            self.connections.pop();
        }
        Err(NoProxy)
    }

    fn tell_all(&mut self, command: &Command) {
        self.connections.retain(|connection| connection.tell(command.clone()));
    }
}

impl Connected {
    fn tell(&self, command: Command) -> bool {
        let told = self.commands.try_send(command);
        if let Err(mpsc::error::TrySendError::Full(_)) = told {
            warn!("a ztunnel is {LONGEST_QUEUE} messages behind: it is disconnected");
        }
        told.is_ok()
    }
}
