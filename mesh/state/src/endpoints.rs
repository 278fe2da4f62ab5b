//! The workloads that back each service. Kept by the service's name whether or
//! not the service is known, so the order in which the two arrive does not
//! matter and an update of the service does not touch them (LB-13).

use std::sync::Arc;

use mesh_model::{NamespacedHostname, Uid, Workload};

use crate::multimap::Map;

/// Workloads by the services they back, sorted by uid.
#[derive(Clone, Default)]
pub(crate) struct Endpoints {
    by_service: Map<NamespacedHostname, Arc<Vec<Arc<Workload>>>>,
}

impl Endpoints {
    pub(crate) fn of(&self, service: &NamespacedHostname) -> &[Arc<Workload>] {
        self.by_service.get(service).map_or(&[], |list| list)
    }

    /// The list itself: as long as nothing of it changes, it is the same one.
    pub(crate) fn list(&self, service: &NamespacedHostname) -> Option<&Arc<Vec<Arc<Workload>>>> {
        self.by_service.get(service)
    }

    /// Follows a workload from what it was to what it is.
    pub(crate) fn update(&mut self, old: Option<&Workload>, new: Option<&Arc<Workload>>) {
        let stays = |service: &NamespacedHostname| new.is_some_and(|new| new.services.contains_key(service));
        if let Some(old) = old {
            for service in old.services.keys().filter(|service| !stays(service)) {
                self.remove(service, &old.uid);
            }
        }
        if let Some(new) = new {
            for service in new.services.keys() {
                self.put(service, new);
            }
        }
    }

    fn put(&mut self, service: &NamespacedHostname, workload: &Arc<Workload>) {
        let Some(list) = self.by_service.get_mut(service) else {
            self.by_service.insert_mut(service.clone(), Arc::new(vec![workload.clone()]));
            return;
        };
        // Copied once per batch, when a published snapshot still holds it (LB-15).
        let list = Arc::make_mut(list);
        match list.binary_search_by(|known| known.uid.cmp(&workload.uid)) {
            Ok(place) => list[place] = workload.clone(),
            Err(place) => list.insert(place, workload.clone()),
        }
    }

    fn remove(&mut self, service: &NamespacedHostname, uid: &Uid) {
        let Some(list) = self.by_service.get_mut(service) else {
            return;
        };
        let list = Arc::make_mut(list);
        if let Ok(place) = list.binary_search_by(|known| known.uid.cmp(uid)) {
            list.remove(place);
        }
        if list.is_empty() {
            self.by_service.remove_mut(service);
        }
    }
}

#[cfg(test)]
impl Endpoints {
    /// How many entries each part of the index has.
    pub(crate) fn sizes(&self) -> [usize; 1] {
        [self.by_service.size()]
    }
}
