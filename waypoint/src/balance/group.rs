//! The endpoints that a choice is made among, as the whole process knows them: who belongs to them since when,
//! and who is left out for a while. Locked when endpoints change or one of them fails too often, never for a
//! request that goes well.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_model::{NamespacedHostname, OutlierDetection, Uid};
use mesh_state::Endpoint;
use mesh_telemetry::OutlierMetrics;
use tokio::time::Instant;

use super::outlier::{Ejection, History, Reason, may_eject};
use super::record::Record;
use super::unwell::Unwell;

/// Which endpoints: those of a service port, or a subset there, at addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) service: NamespacedHostname,
    pub(crate) port: u16,
    pub(crate) subset: Option<Arc<str>>,
    pub(crate) ipv4: bool,
}

impl Scope {
    /// An address of the family.
    pub(super) fn like(&self) -> IpAddr {
        if self.ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    }

    /// Envoy's name for it (telemetry.md §5).
    pub(super) fn cluster_name(&self) -> String {
        let subset = self.subset.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("inbound-vip|{}|http{subset}|{}", self.port, self.service.hostname)
    }
}

/// A scope's endpoints.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) scope: Scope,
    /// Changes whenever somebody is left out or taken back, or is not well any more or again.
    epoch: AtomicU64,
    members: Mutex<HashMap<Uid, Member>>,
    began: Instant,
    metrics: OutlierMetrics,
    unwell: Arc<Unwell>,
}

#[derive(Debug)]
struct Member {
    record: Arc<Record>,
    history: History,
}

/// The members of a group at one moment.
pub(super) struct Roll {
    pub(super) epoch: u64,
    /// In the order asked for, and whether each is left out.
    pub(super) members: Vec<(Arc<Record>, bool)>,
}

/// An endpoint that is left out, for whoever looks for a reason.
#[derive(Debug)]
pub(crate) struct LeftOut {
    pub(crate) scope: Scope,
    pub(crate) workload: Uid,
    pub(crate) address: SocketAddr,
    pub(crate) reason: Reason,
    pub(crate) until: Instant,
}

impl Group {
    pub(super) fn new(scope: Scope, metrics: OutlierMetrics, unwell: Arc<Unwell>, began: Instant) -> Group {
        Group { scope, epoch: AtomicU64::new(0), members: Mutex::default(), began, metrics, unwell }
    }

    /// The endpoints of its service that are not well, as far as they are asked.
    pub(super) fn unwell(&self) -> Arc<HashSet<Uid>> {
        self.unwell.of(&self.scope.service)
    }

    /// Other endpoints are not well now.
    pub(super) fn reconsider(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Member>> {
        // Every change under the lock leaves the members whole.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes these endpoints the members. Who was one keeps its record, who is not any more loses it; where
    /// nobody is to be left out, all are taken back.
    pub(super) fn call<'e>(
        &self,
        endpoints: impl Iterator<Item = &'e Endpoint>,
        leaves_out: bool,
        now: Instant,
    ) -> Roll {
        let mut members = self.lock();
        let mut present = HashSet::new();
        let called = endpoints.map(|endpoint| {
            let uid = &endpoint.workload.uid;
            present.insert(uid.clone());
            let new = || Member {
                record: Arc::new(Record::new(uid.clone(), endpoint.address, now)),
                history: History::default(),
            };
            let member = members.entry(uid.clone()).or_insert_with(new);
            if member.record.address != endpoint.address {
                *member = new();
            }
            if !leaves_out && member.history.out().is_some() {
                member.history.take_back(now);
            }
            (member.record.clone(), member.history.out().is_some())
        });
        let called = called.collect();
        members.retain(|uid, _| present.contains(uid));
        self.show(&members);
        Roll { epoch: self.epoch(), members: called }
    }

    /// Leaves an endpoint out for a while, unless it is already or too many are. Call on a worker's runtime:
    /// it is taken back there.
    pub(super) fn eject(
        self: &Arc<Self>,
        record: &Record,
        detection: &OutlierDetection,
        reason: Reason,
        now: Instant,
    ) {
        let mut members = self.lock();
        let out = members.values().filter(|member| member.history.out().is_some()).count();
        let all = members.len();
        let Some(member) = members.get_mut(&record.uid) else { return };
        if !std::ptr::eq(&*member.record, record) || member.history.out().is_some() {
            return;
        }
        let (group, endpoint, address) = (self.scope.cluster_name(), &record.uid, record.address);
        if !may_eject(out, all, detection) {
            tracing::debug!(group, %endpoint, %address, %reason, out, all, "an endpoint stays, for too many are left out");
            return;
        }
        let until = member.history.eject(detection, reason, self.began, now);
        let seconds = until.saturating_duration_since(now).as_secs_f64();
        tracing::debug!(group, %endpoint, %address, %reason, seconds, "an endpoint is left out");
        self.metrics.ejected(&group);
        self.changed(&members);
        drop(members);
        let (group, uid) = (Arc::downgrade(self), record.uid.clone());
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            if let Some(group) = group.upgrade() {
                group.take_back(&uid, until);
            }
        });
    }

    fn take_back(&self, uid: &Uid, until: Instant) {
        let mut members = self.lock();
        let Some(member) = members.get_mut(uid) else { return };
        // It may have been taken back and left out again meanwhile.
        if member.history.out().is_none_or(|ejection| ejection.until != until) {
            return;
        }
        member.history.take_back(until);
        tracing::debug!(group = self.scope.cluster_name(), endpoint = %uid, "an endpoint is taken back");
        self.changed(&members);
    }

    /// Somebody is left out or taken back. Under the lock, so that nobody sees the one without the other.
    fn changed(&self, members: &HashMap<Uid, Member>) {
        self.epoch.fetch_add(1, Ordering::Release);
        self.show(members);
    }

    fn show(&self, members: &HashMap<Uid, Member>) {
        let out = members.values().filter(|member| member.history.out().is_some()).count();
        self.metrics.left_out(&self.scope.cluster_name(), out);
    }

    /// Who is left out now.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        let of = |member: &Member| {
            let Ejection { until, reason } = member.history.out()?;
            let (workload, address) = (member.record.uid.clone(), member.record.address);
            Some(LeftOut { scope: self.scope.clone(), workload, address, reason, until })
        };
        self.lock().values().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests;
