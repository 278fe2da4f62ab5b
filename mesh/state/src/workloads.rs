//! Workloads by uid, by address and by host name.

use std::sync::Arc;

use mesh_model::{NamespacedHostname, NetworkAddress, TunnelProtocol, Uid, Workload};

use crate::multimap::{Map, MultiMap, put, take, values};

/// The index. Only workloads with addresses of their own are found by address.
#[derive(Clone, Default)]
pub(crate) struct Workloads {
    by_uid: Map<Uid, Arc<Workload>>,
    by_address: MultiMap<NetworkAddress, Workload>,
    by_hostname: MultiMap<NamespacedHostname, Workload>,
}

impl Workloads {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_uid.values()
    }

    pub(crate) fn find(&self, uid: &Uid) -> Option<&Arc<Workload>> {
        self.by_uid.get(uid)
    }

    /// Of several workloads with one address the first in rank (CAP-21).
    pub(crate) fn at(&self, address: &NetworkAddress) -> Option<&Arc<Workload>> {
        values(&self.by_address, address).first()
    }

    pub(crate) fn called(&self, name: &NamespacedHostname) -> Option<&Arc<Workload>> {
        values(&self.by_hostname, name).first()
    }

    /// Replaces what is known under a uid; returns what was.
    pub(crate) fn update(&mut self, uid: &Uid, new: Option<&Arc<Workload>>) -> Option<Arc<Workload>> {
        let old = self.by_uid.get(uid).cloned();
        if let Some(old) = &old {
            for address in old.own_addresses() {
                if !new.is_some_and(|new| new.own_addresses().any(|kept| kept == address)) {
                    take(&mut self.by_address, &address, |known| known.uid == *uid);
                }
            }
            if let Some(name) = hostname(old) {
                take(&mut self.by_hostname, &name, |known| known.uid == *uid);
            }
        }
        let Some(new) = new else {
            self.by_uid.remove_mut(uid);
            return old;
        };
        for address in new.own_addresses() {
            put(&mut self.by_address, address.clone(), new, |known| known.uid == *uid);
            if let Some(sharers) = self.by_address.get_mut(&address) {
                sharers.sort_by(|a, b| rank(a).cmp(&rank(b)));
            }
        }
        if let Some(name) = hostname(new) {
            put(&mut self.by_hostname, name, new, |known| known.uid == *uid);
        }
        self.by_uid.insert_mut(uid.clone(), new.clone());
        old
    }
}

/// Pods before entries, HBONE before plain, then by name so that every proxy agrees.
fn rank(workload: &Workload) -> (bool, bool, &Uid) {
    let pod = workload.uid.0.contains("//Pod/");
    (!pod, workload.tunnel != TunnelProtocol::Hbone, &workload.uid)
}

fn hostname(workload: &Workload) -> Option<NamespacedHostname> {
    (!workload.hostname.is_empty())
        .then(|| NamespacedHostname::new(workload.namespace.clone(), workload.hostname.clone()))
}

#[cfg(test)]
impl Workloads {
    /// How many entries each part of the index has.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.by_uid.size(), self.by_address.size(), self.by_hostname.size()]
    }
}

#[cfg(test)]
mod tests;
