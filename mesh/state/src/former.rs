//! Which waypoints services and workloads had a moment ago. Who addresses them
//! learns of a change at another moment than the waypoint does, and what is sent
//! in between has to be served (WP-02).

use std::hash::Hash;
use std::time::{Duration, Instant};

use mesh_model::{GatewayAddress, Service, Workload};

use crate::multimap::Map;

/// For how long a waypoint serves what it is no longer the waypoint of: well above
/// what a change takes to reach the nodes.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Former waypoints of the services, or of the workloads, by name.
#[derive(Clone)]
pub(crate) struct Former<K: Eq + Hash>(Map<K, Vec<Left>>);

/// A waypoint that was left, and when.
#[derive(Clone)]
struct Left {
    gateway: GatewayAddress,
    at: Instant,
}

impl Left {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < GRACE
    }
}

impl<K: Eq + Hash> Default for Former<K> {
    fn default() -> Self {
        Former(Map::default())
    }
}

impl<K: Clone + Eq + Hash> Former<K> {
    /// Remembers those of the `old` waypoints that are not among the `new` ones.
    pub(crate) fn note<'g>(
        &mut self,
        key: &K,
        old: impl Iterator<Item = &'g GatewayAddress>,
        new: impl Iterator<Item = &'g GatewayAddress> + Clone,
        now: Instant,
    ) {
        let left: Vec<_> = old.filter(|old| !new.clone().any(|new| new == *old)).collect();
        if left.is_empty() {
            return;
        }
        let mut known = self.0.get(key).cloned().unwrap_or_default();
        // One entry for each waypoint, however often it comes and goes.
        known.retain(|known| known.is_fresh(now) && !left.contains(&&known.gateway));
        known.extend(left.into_iter().map(|gateway| Left { gateway: gateway.clone(), at: now }));
        self.0.insert_mut(key.clone(), known);
    }

    /// Forgets what is gone itself: there is nothing left to serve.
    pub(crate) fn forget(&mut self, key: &K) {
        self.0.remove_mut(key);
    }

    /// Forgets what was left too long ago.
    pub(crate) fn prune(&mut self, now: Instant) {
        if self.0.is_empty() {
            return;
        }
        let is_stale = |left: &Vec<Left>| !left.iter().any(|left| left.is_fresh(now));
        let stale: Vec<K> =
            self.0.iter().filter(|(_, left)| is_stale(left)).map(|(key, _)| key.clone()).collect();
        for key in stale {
            self.0.remove_mut(&key);
        }
    }

    /// The waypoints that were left a moment before `now`.
    pub(crate) fn of(&self, key: &K, now: Instant) -> impl Iterator<Item = &GatewayAddress> {
        let known = self.0.get(key).map_or(&[][..], Vec::as_slice);
        known.iter().filter(move |left| left.is_fresh(now)).map(|left| &left.gateway)
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// The waypoints a service has, the weighted ones included.
pub(crate) fn of_service(service: &Service) -> impl Iterator<Item = &GatewayAddress> + Clone {
    service.waypoint.iter().chain(service.weighted_waypoints.iter().map(|weighted| &weighted.destination))
}

/// The waypoint a workload has.
pub(crate) fn of_workload(workload: &Workload) -> impl Iterator<Item = &GatewayAddress> + Clone {
    workload.waypoint.iter()
}
