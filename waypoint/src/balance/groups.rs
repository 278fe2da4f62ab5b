//! Lineups: made once for all workers of the process, kept by each of them until they are no longer current.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mesh_model::{NamespacedHostname, Uid};
use mesh_state::{Reader, Snapshot};
use mesh_telemetry::OutlierMetrics;
use tokio::time::Instant;

use super::group::{Group, LeftOut, Scope};
use super::lineup::{Basis, Lineup};
use super::unwell::Unwell;

/// More services than a waypoint serves; past it, a worker's cache starts anew.
const MOST_CACHED: usize = 10_000;
/// Below this size nothing is worth sweeping.
const SMALL: usize = 256;

/// What the workers of a process know together: every group that one of them uses.
#[derive(Debug)]
pub(crate) struct Groups {
    metrics: OutlierMetrics,
    slots: Mutex<Slots>,
    unwell: Arc<Unwell>,
}

#[derive(Debug)]
struct Slots {
    by_scope: HashMap<Scope, Weak<Slot>>,
    sweep_at: usize,
}

/// A group, and its lineup as somebody has made it last.
#[derive(Debug)]
struct Slot {
    group: Arc<Group>,
    made: Mutex<Option<Arc<Lineup>>>,
}

impl Groups {
    pub(crate) fn new(metrics: OutlierMetrics) -> Arc<Groups> {
        let slots = Slots { by_scope: HashMap::new(), sweep_at: SMALL };
        Arc::new(Groups { metrics, slots: Mutex::new(slots), unwell: Arc::default() })
    }

    fn slot(&self, scope: &Scope) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_scope.get(scope).and_then(Weak::upgrade) {
            return slot;
        }
        if slots.by_scope.len() >= slots.sweep_at {
            slots.by_scope.retain(|_, slot| slot.strong_count() > 0);
            slots.sweep_at = SMALL.max(slots.by_scope.len() * 2);
        }
        let (metrics, unwell) = (self.metrics.clone(), self.unwell.clone());
        let group = Arc::new(Group::new(scope.clone(), metrics, unwell, Instant::now()));
        let slot = Arc::new(Slot { group, made: Mutex::default() });
        slots.by_scope.insert(scope.clone(), Arc::downgrade(&slot));
        slot
    }

    /// Says which endpoints of a service are not well, in place of what was said before: as far as the service's policy
    /// wants them asked, nobody chooses them from now on, unless too few others are left.
    pub(crate) fn tell_unwell(&self, service: &NamespacedHostname, unwell: HashSet<Uid>) {
        self.unwell.put(service, unwell);
        // Only now, so that whoever makes a lineup of the old state makes it again.
        let slots = self.all_slots();
        let of_service = slots.iter().filter(|slot| slot.group.scope.service == *service);
        of_service.for_each(|slot| slot.group.reconsider());
    }

    fn all_slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.by_scope.values().filter_map(Weak::upgrade).collect()
    }

    /// Every endpoint that is left out now for its failures, in order.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        let slots = self.all_slots();
        let mut all: Vec<LeftOut> = slots.iter().flat_map(|slot| slot.group.left_out()).collect();
        all.sort_by_key(|it| (it.scope.cluster_name(), it.address));
        all
    }
}

impl Slot {
    /// The current lineup, made now if nobody has. The snapshot it belongs to comes with it.
    fn fetch_lineup(&self, reader: &Reader, me: &Uid) -> Option<(Arc<Lineup>, Weak<Snapshot>)> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock, so that nobody puts an older state in the place of a newer one.
        let snapshot = reader.snapshot();
        let basis = Basis::find(&snapshot, me, &self.group.scope)?;
        let seen = Arc::downgrade(&snapshot);
        if let Some(lineup) = &*made
            && lineup.is_current()
            && lineup.basis.is(&basis)
        {
            return Some((lineup.clone(), seen));
        }
        let lineup = Arc::new(Lineup::make(basis, &snapshot, &self.group, Instant::now()));
        *made = Some(lineup.clone());
        Some((lineup, seen))
    }
}

/// The lineups that one worker uses.
#[derive(Debug)]
pub(crate) struct Lineups {
    groups: Arc<Groups>,
    cached: Mutex<HashMap<NamespacedHostname, Vec<Cached>>>,
}

#[derive(Debug)]
struct Cached {
    slot: Arc<Slot>,
    lineup: Arc<Lineup>,
    /// The state of the mesh in which it was right. Weak: it only tells whether a state is this one.
    seen: Weak<Snapshot>,
}

impl Lineups {
    pub(crate) fn new(groups: Arc<Groups>) -> Lineups {
        Lineups { groups, cached: Mutex::default() }
    }

    /// The current lineup of a scope; none if its service, or this waypoint, is not known.
    pub(super) fn find(
        &self,
        reader: &Reader,
        me: &Uid,
        (service, port, subset, ipv4): (&NamespacedHostname, u16, Option<&Arc<str>>, bool),
    ) -> Option<Arc<Lineup>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cached.get_mut(service).and_then(|known| {
            let is_it =
                |scope: &Scope| scope.port == port && scope.subset.as_ref() == subset && scope.ipv4 == ipv4;
            known.iter_mut().find(|cached| is_it(&cached.slot.group.scope))
        });
        if let Some(known) = known {
            return known.renew(reader, me);
        }
        let scope = Scope { service: service.clone(), port, subset: subset.cloned(), ipv4 };
        let slot = self.groups.slot(&scope);
        let (lineup, seen) = slot.fetch_lineup(reader, me)?;
        if cached.len() >= MOST_CACHED {
            cached.clear();
        }
        let entry = Cached { slot, lineup: lineup.clone(), seen };
        cached.entry(scope.service).or_default().push(entry);
        Some(lineup)
    }
}

impl Cached {
    fn renew(&mut self, reader: &Reader, me: &Uid) -> Option<Arc<Lineup>> {
        if !reader.is_current(&self.seen) || !self.lineup.is_current() {
            (self.lineup, self.seen) = self.slot.fetch_lineup(reader, me)?;
        }
        Some(self.lineup.clone())
    }
}
