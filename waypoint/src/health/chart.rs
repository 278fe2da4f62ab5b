//! How the endpoints that are asked are: counted, told to the balancers, to metrics, to the log when that changes, and
//! to whoever looks at the dump.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_model::{NamespacedHostname, Uid};
use mesh_state::Endpoint;
use mesh_telemetry::{EndpointCounts, HealthMetrics};

use super::ask::{NotWell, Question};
use super::condition::{Condition, Health};
use crate::balance::Groups;

/// An endpoint of a service that is asked how it is.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) service: NamespacedHostname,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) question: Arc<Question>,
}

impl Patient {
    pub(super) fn uid(&self) -> &Uid {
        &self.endpoint.workload.uid
    }
}

/// How all endpoints are that are asked, for the whole process.
#[derive(Debug)]
pub(crate) struct Charts {
    groups: Arc<Groups>,
    metrics: HealthMetrics,
    services: Mutex<BTreeMap<NamespacedHostname, HashMap<Uid, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    patient: Arc<Patient>,
    condition: Condition,
    /// What was wrong the last time, if anything was.
    complaint: Option<String>,
}

/// How an endpoint is, for whoever looks for a reason.
#[derive(Debug)]
pub(crate) struct Charted {
    pub(crate) service: NamespacedHostname,
    pub(crate) workload: Uid,
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
    pub(crate) complaint: Option<String>,
}

impl Charts {
    pub(crate) fn new(groups: Arc<Groups>, metrics: HealthMetrics) -> Arc<Charts> {
        Arc::new(Charts { groups, metrics, services: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedHostname, HashMap<Uid, Entry>>> {
        // Every change under the lock leaves the charts whole.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes these the patients of a service. Who was one stays as it was; who is new is unchecked.
    pub(super) fn put(&self, service: &NamespacedHostname, patients: impl Iterator<Item = Arc<Patient>>) {
        let mut services = self.lock();
        let mut known = services.remove(service).unwrap_or_default();
        let entries = patients.map(|patient| {
            let before = known.remove(patient.uid()).filter(|it| Arc::ptr_eq(&it.patient, &patient));
            let new = || Entry { patient: patient.clone(), condition: Condition::default(), complaint: None };
            (patient.uid().clone(), before.unwrap_or_else(new))
        });
        let entries: HashMap<Uid, Entry> = entries.collect();
        self.publish(service, &entries);
        services.insert(service.clone(), entries);
    }

    /// The endpoints of a service are asked no more.
    pub(super) fn remove(&self, service: &NamespacedHostname) {
        let mut services = self.lock();
        services.remove(service);
        self.groups.tell_unwell(service, Default::default());
        self.metrics.forget(service);
    }

    /// Notes what an endpoint has answered, unless it is none of the patients any more.
    pub(super) fn note(&self, patient: &Arc<Patient>, answer: Result<(), NotWell>) {
        let mut services = self.lock();
        let Some(entries) = services.get_mut(&patient.service) else { return };
        let entry = entries.get_mut(patient.uid()).filter(|entry| Arc::ptr_eq(&entry.patient, patient));
        let Some(entry) = entry else { return };
        let (good, before) = (answer.is_ok(), entry.condition.health);
        entry.complaint = answer.err().map(|reason| reason.to_string());
        self.metrics.checked(&patient.service, good);
        if !entry.condition.count(good, &patient.question.check) {
            return;
        }
        let (service, endpoint, address) = (&patient.service, patient.uid(), patient.endpoint.address);
        match (before, &entry.complaint) {
            (_, Some(reason)) => {
                tracing::warn!(%service, %endpoint, %address, reason, "an endpoint is not well");
            }
            (Health::Unhealthy, None) => {
                tracing::info!(%service, %endpoint, %address, "an endpoint is well again")
            }
            (_, None) => tracing::debug!(%service, %endpoint, %address, "an endpoint is well"),
        }
        self.publish(service, entries);
    }

    /// Tells balancers and metrics. Under the lock, so that they are told in order.
    fn publish(&self, service: &NamespacedHostname, entries: &HashMap<Uid, Entry>) {
        let mut counts = EndpointCounts::default();
        for entry in entries.values() {
            match entry.condition.health {
                Health::Unchecked => counts.unchecked += 1,
                Health::Healthy => counts.healthy += 1,
                Health::Unhealthy => counts.unhealthy += 1,
            }
        }
        self.metrics.count(service, counts);
        let unwell = entries.iter().filter(|(_, entry)| entry.condition.health == Health::Unhealthy);
        self.groups.tell_unwell(service, unwell.map(|(uid, _)| uid.clone()).collect());
    }

    /// How all endpoints that are asked are now, in order.
    pub(crate) fn list(&self) -> Vec<Charted> {
        let services = self.lock();
        let charted = services.iter().flat_map(|(service, entries)| {
            entries.values().map(|entry| Charted {
                service: service.clone(),
                workload: entry.patient.uid().clone(),
                address: entry.patient.endpoint.address,
                health: entry.condition.health,
                complaint: entry.complaint.clone(),
            })
        });
        let mut all: Vec<Charted> = charted.collect();
        all.sort_by(|a, b| (&a.service, a.address).cmp(&(&b.service, b.address)));
        all
    }
}
