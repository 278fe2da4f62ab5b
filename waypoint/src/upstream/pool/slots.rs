//! Who has a connection, who waits for one, and whose turn it is: first come, first served.
//!
//! ```text
//! request ── take ──▶ a kept connection with room, if nobody waits
//!    └────── fetch ─▶ queue ◀── a turn: a connection that has room again, or leave to open one
//! ```
//!
//! A turn is worth something and is never lost: dropped by who no longer wants it, it comes to the next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::SendError;
use super::key::Key;
use crate::http::Failure;
use crate::upstream::Terms;
use crate::upstream::limits::{Countable, Counted};

/// A way to share connections.
pub(super) trait Kind: Sized + 'static {
    /// A connection that is kept.
    type Kept: Send + 'static;
    /// What a request has of one; dropped, it gives that back.
    type Lent: Send + 'static;
    /// Whether one connection is enough for many, so that a burst opens one after the other.
    const SHARED: bool;

    /// Room for a request in one of the connections. Called with the slots locked; must not drop what it lent.
    fn lend(slots: &Arc<Slots<Self>>, key: &Arc<Key>, kept: &mut Vec<Self::Kept>) -> Option<Self::Lent>;

    /// Whether a connection is to be kept on.
    fn is_good(key: &Key, kept: &Self::Kept) -> bool;
}

/// The connections of one kind.
pub(super) struct Slots<K: Kind> {
    slots: Mutex<HashMap<Arc<Key>, Slot<K>>>,
}

impl<K: Kind> Default for Slots<K> {
    fn default() -> Self {
        Slots { slots: Mutex::default() }
    }
}

struct Slot<K: Kind> {
    kept: Vec<K::Kept>,
    /// Connections that are there or being opened.
    open: usize,
    opening: usize,
    waiting: VecDeque<Waiting<K>>,
}

/// Somebody who waits: told what is its turn, or why there will be none.
type Waiting<K> = oneshot::Sender<Result<Turn<K>, SendError>>;

impl<K: Kind> Default for Slot<K> {
    fn default() -> Self {
        Slot { kept: Vec::new(), open: 0, opening: 0, waiting: VecDeque::new() }
    }
}

/// What somebody who waited gets.
pub(super) enum Turn<K: Kind> {
    /// A connection that is there.
    Ready(K::Lent),
    /// Leave to open one.
    Open(Leave<K>),
}

/// Leave to open one connection.
pub(super) struct Leave<K: Kind> {
    pub(super) place: Place<K>,
    _opening: Opening<K>,
    /// The request that opens it waits for it.
    _pending: Option<Counted>,
}

/// A connection's place among the others; dropped, somebody else may open one.
pub(super) struct Place<K: Kind> {
    slots: Weak<Slots<K>>,
    key: Arc<Key>,
    counted: Option<Counted>,
}

/// A connection that is not there yet.
pub(super) struct Opening<K: Kind> {
    slots: Weak<Slots<K>>,
    key: Arc<Key>,
}

impl<K: Kind> Slots<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Key>, Slot<K>>> {
        // Every change under the lock leaves the map whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room in a connection that is there, as soon as it is one's turn, or leave to open one.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        key: &Arc<Key>,
        terms: Option<&Arc<Terms>>,
    ) -> Result<Turn<K>, SendError> {
        if let Some(lent) = self.take(key) {
            return Ok(Turn::Ready(lent));
        }
        let pending = terms.map(|terms| terms.enter_pending()).transpose()?;
        let mut waiting = self.queue(key);
        let turn = match waiting.try_recv() {
            Ok(turn) => Some(turn),
            Err(TryRecvError::Empty) => {
                self.note_overflow(key);
                waiting.await.ok()
            }
            Err(TryRecvError::Closed) => None,
        };
        match turn {
            Some(Ok(Turn::Open(leave))) => Ok(Turn::Open(Leave { _pending: pending, ..leave })),
            Some(ready) => ready,
            None => Err(SendError { failure: Failure::Connect, reason: "the worker ends".to_owned() }),
        }
    }

    /// Room in a connection that is there, unless others wait for it.
    fn take(self: &Arc<Self>, key: &Arc<Key>) -> Option<K::Lent> {
        let mut slots = self.lock();
        let slot = slots.get_mut(key)?;
        slot.forget_those_who_left();
        if slot.waiting.is_empty() { K::lend(self, key, &mut slot.kept) } else { None }
    }

    fn queue(self: &Arc<Self>, key: &Arc<Key>) -> oneshot::Receiver<Result<Turn<K>, SendError>> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(key.clone()).or_default().waiting.push_back(sender);
        self.advance(key);
        receiver
    }

    /// Gives turns to those who wait for as long as there are any to give.
    pub(super) fn advance(self: &Arc<Self>, key: &Arc<Key>) {
        loop {
            let mut slots = self.lock();
            let Some(slot) = slots.get_mut(key) else { return };
            slot.forget_those_who_left();
            let Some(first) = slot.waiting.pop_front() else { return };
            let Some(turn) = self.find_turn(key, slot) else {
                slot.waiting.push_front(first);
                return;
            };
            drop(slots);
            // Whoever left in between leaves the turn to the next.
            drop(first.send(Ok(turn)));
        }
    }

    fn find_turn(self: &Arc<Self>, key: &Arc<Key>, slot: &mut Slot<K>) -> Option<Turn<K>> {
        if let Some(lent) = K::lend(self, key, &mut slot.kept) {
            return Some(Turn::Ready(lent));
        }
        if K::SHARED && slot.opening > 0 {
            return None;
        }
        let counted = match &key.account {
            None => None,
            // Whatever others have: who has none would wait for ever.
            Some(account) if slot.open == 0 => Some(account.counts.enter_anyway(Countable::Connections)),
            Some(account) => Some(account.counts.find_room(Countable::Connections, account.max_connections)?),
        };
        slot.open += 1;
        slot.opening += 1;
        let (slots, key) = (Arc::downgrade(self), key.clone());
        let place = Place { slots: slots.clone(), key: key.clone(), counted };
        Some(Turn::Open(Leave { place, _opening: Opening { slots, key }, _pending: None }))
    }

    /// A request has to wait because there are as many connections as there may be.
    fn note_overflow(&self, key: &Key) {
        let opening = || self.lock().get(key).is_some_and(|slot| slot.opening > 0);
        if let Some(account) = &key.account
            && key.is_bounded()
            && !(K::SHARED && opening())
        {
            account.counts.note_overflow(Countable::Connections);
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(self: &Arc<Self>, key: &Arc<Key>, connection: K::Kept, most: usize) {
        let rejected = {
            let mut slots = self.lock();
            let slot = slots.entry(key.clone()).or_default();
            if slot.kept.len() < most {
                slot.kept.push(connection);
                None
            } else {
                Some(connection)
            }
        };
        drop(rejected);
        self.advance(key);
    }

    /// Keeps no connection for which `bad` holds.
    pub(super) fn remove(&self, key: &Key, bad: impl Fn(&K::Kept) -> bool) {
        if let Some(slot) = self.lock().get_mut(key) {
            slot.kept.retain(|kept| !bad(kept));
        }
    }

    /// No connection can be opened: those who wait are told at once, for they would find out one after the other.
    pub(super) fn fail(&self, key: &Key, error: &SendError) {
        let waiting = self.lock().get_mut(key).map(|slot| std::mem::take(&mut slot.waiting));
        for waiting in waiting.into_iter().flatten() {
            // Who stopped waiting does not miss it.
            let _ = waiting.send(Err(error.clone()));
        }
    }

    /// Lets go of what nobody uses any more.
    pub(super) fn sweep(&self) {
        self.lock().retain(|key, slot| {
            slot.kept.retain(|kept| K::is_good(key, kept));
            slot.forget_those_who_left();
            slot.open > 0 || !slot.kept.is_empty() || !slot.waiting.is_empty()
        });
    }
}

impl<K: Kind> Slot<K> {
    fn forget_those_who_left(&mut self) {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
    }
}

impl<K: Kind> Drop for Place<K> {
    fn drop(&mut self) {
        let Some(slots) = self.slots.upgrade() else { return };
        // No longer counted before it is given to others.
        self.counted = None;
        if let Some(slot) = slots.lock().get_mut(&self.key) {
            slot.open -= 1;
        }
        slots.advance(&self.key);
    }
}

impl<K: Kind> Drop for Opening<K> {
    fn drop(&mut self) {
        let Some(slots) = self.slots.upgrade() else { return };
        if let Some(slot) = slots.lock().get_mut(&self.key) {
            slot.opening -= 1;
        }
        slots.advance(&self.key);
    }
}
