//! The certificates a proxy holds: fetched once per identity however many ask,
//! the most urgent first, renewed at half of their life, kept until they expire.

mod scheduler;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use mesh_model::Identity;
use tokio::sync::{Notify, watch};

use crate::ca::{CaError, CertificateAuthority};
use crate::certificate::{Certificate, InvalidCertificate};
use crate::key::KeyError;
use crate::provider::Profile;

/// Tells the time certificates are judged by.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How the store works.
#[derive(Clone)]
pub struct StoreSettings {
    /// What the certificates may do in TLS.
    pub profile: Profile,
    /// Requests to the CA at the same time.
    pub parallel: usize,
    /// The clock; tests bring their own.
    pub clock: Clock,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings { profile: Profile::default(), parallel: 8, clock: Arc::new(SystemTime::now) }
    }
}

/// Who is served first (ID-08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A connection waits.
    Live,
    /// A connection will come.
    Warm,
    /// Renewal and retry.
    Background,
}

/// What operators see of an identity (ID-13).
#[derive(Clone, Debug)]
pub enum State {
    /// Asked for, not yet answered.
    Initializing,
    /// There is a valid certificate.
    Available(Arc<Certificate>),
    /// There is none, and this is why; it is being retried.
    Unavailable(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Initializing => f.write_str("Initializing"),
            State::Available(_) => f.write_str("Available"),
            State::Unavailable(reason) => write!(f, "Unavailable: {reason}"),
        }
    }
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The CA gave none; it is being retried.
    #[error("no certificate for {identity}: {reason}")]
    Unavailable {
        /// Whose.
        identity: Identity,
        /// The last failure.
        reason: String,
    },
    /// Nobody needs the identity on this node any more (ID-10).
    #[error("no certificate for {0}: its last workload left this node")]
    Forgotten(Identity),
}

/// Why one request brought no certificate.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Authority(#[from] CaError),
    #[error(transparent)]
    Answer(#[from] InvalidCertificate),
    #[error("the CA sent a certificate that has already expired; check the clocks")]
    Expired,
}

/// The certificates of one proxy; clones share them.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    entries: Mutex<Entries>,
    wake: Arc<Notify>,
    clock: Clock,
}

#[derive(Default)]
struct Entries {
    by_identity: HashMap<Identity, Entry>,
    /// Counts up; orders equal priorities and tells an entry from its successor.
    sequence: u64,
}

struct Entry {
    generation: u64,
    /// Dropped with the entry, which is how waiters learn that it was forgotten.
    state: watch::Sender<State>,
    next: Next,
    backoff: Duration,
}

/// When the CA is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Queued(Priority, u64),
    Running,
    At(SystemTime),
}

impl Store {
    /// A store that asks this CA, from a task on the current tokio runtime. The
    /// task ends with the last clone of the store.
    pub fn new(authority: Arc<dyn CertificateAuthority>, settings: StoreSettings) -> Self {
        let wake = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            entries: Mutex::default(),
            wake: Arc::clone(&wake),
            clock: Arc::clone(&settings.clock),
        });
        tokio::spawn(scheduler::run(Arc::downgrade(&shared), wake, authority, settings));
        Store { shared }
    }

    /// The identity's certificate; waits for the first answer of the CA if there is none yet.
    pub async fn fetch(&self, identity: &Identity) -> Result<Arc<Certificate>, IdentityError> {
        let mut state = match self.shared.ask(identity, Priority::Live) {
            Asked::Held(certificate) => return Ok(certificate),
            Asked::Pending(state) => state,
        };
        let settled = match state.wait_for(|state| !matches!(state, State::Initializing)).await {
            Ok(state) => state.clone(),
            Err(_) => return Err(IdentityError::Forgotten(identity.clone())),
        };
        match settled {
            State::Available(certificate) => Ok(certificate),
            State::Unavailable(reason) => {
                Err(IdentityError::Unavailable { identity: identity.clone(), reason })
            }
            State::Initializing => Err(IdentityError::Forgotten(identity.clone())),
        }
    }

    /// The identity's certificate if it is held right now.
    pub fn find(&self, identity: &Identity) -> Option<Arc<Certificate>> {
        let entries = self.shared.lock();
        entries.by_identity.get(identity)?.valid((self.shared.clock)())
    }

    /// Sees to it that a certificate will be there (ID-04).
    pub fn warm(&self, identity: &Identity) {
        self.shared.ask(identity, Priority::Warm);
    }

    /// Waits until there is a certificate, however often the CA has to be asked, or the identity is forgotten.
    pub async fn arrival(&self, identity: &Identity) {
        if let Asked::Pending(mut state) = self.shared.ask(identity, Priority::Warm) {
            // An error says that it was forgotten.
            let _ = state.wait_for(|state| matches!(state, State::Available(_))).await;
        }
    }

    /// Asks again within a second for whatever the CA did not give last time: there is a sign that it is back,
    /// and what has failed often would wait for minutes.
    pub fn retry_soon(&self) {
        let now = (self.shared.clock)();
        let mut entries = self.shared.lock();
        entries.by_identity.values_mut().for_each(|entry| entry.retry_soon(now));
        drop(entries);
        self.shared.wake.notify_one();
    }

    /// Drops the identity; who waits for it gets an error (ID-05, ID-10).
    pub fn forget(&self, identity: &Identity) {
        self.shared.lock().by_identity.remove(identity);
        self.shared.wake.notify_one();
    }

    /// Every identity and its state, in order.
    pub fn snapshot(&self) -> Vec<(Identity, State)> {
        let now = (self.shared.clock)();
        let entries = self.shared.lock();
        let shown = |(identity, entry): (&Identity, &Entry)| (identity.clone(), entry.shown_state(now));
        let mut all: Vec<_> = entries.by_identity.iter().map(shown).collect();
        drop(entries);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

enum Asked {
    Held(Arc<Certificate>),
    Pending(watch::Receiver<State>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate, or the state to watch after queueing a request at least this urgent.
    fn ask(&self, identity: &Identity, priority: Priority) -> Asked {
        let now = (self.clock)();
        let mut entries = self.lock();
        let entries = &mut *entries;
        entries.sequence += 1;
        let sequence = entries.sequence;
        let queued = Next::Queued(priority, sequence);
        let entry = match entries.by_identity.get_mut(identity) {
            Some(entry) => entry,
            None => entries.by_identity.entry(identity.clone()).or_insert(Entry::new(sequence, queued)),
        };
        if let Some(certificate) = entry.valid(now) {
            return Asked::Held(certificate);
        }
        if matches!(*entry.state.borrow(), State::Available(_)) {
            entry.state.send_replace(State::Initializing);
            entry.next = if entry.next == Next::Running { Next::Running } else { queued };
        }
        if let Next::Queued(current, since) = entry.next {
            entry.next = Next::Queued(current.min(priority), since);
        }
        self.wake.notify_one();
        Asked::Pending(entry.state.subscribe())
    }
}

impl Entry {
    fn new(generation: u64, next: Next) -> Self {
        let state = watch::Sender::new(State::Initializing);
        Entry { generation, state, next, backoff: Duration::ZERO }
    }

    fn valid(&self, now: SystemTime) -> Option<Arc<Certificate>> {
        match &*self.state.borrow() {
            State::Available(certificate) if now < certificate.not_after() => Some(Arc::clone(certificate)),
            _ => None,
        }
    }

    fn shown_state(&self, now: SystemTime) -> State {
        match &*self.state.borrow() {
            State::Available(certificate) if now >= certificate.not_after() => {
                State::Unavailable("the certificate has expired".to_owned())
            }
            state => state.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
