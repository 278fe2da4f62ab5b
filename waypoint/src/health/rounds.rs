//! Which endpoints are asked, and how: brought up to date whenever something is known that changes it. Each endpoint has
//! a visitor of its own, so that one that is silent holds up nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_hbone::Pool;
use mesh_model::{HealthCheck, NamespacedHostname, TrafficPolicy, Uid};
use mesh_state::{Endpoint, Reader, Snapshot, balance};
use rand::RngExt;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::ask::{Question, ask};
use super::basis::Basis;
use super::chart::{Charts, Patient};
use crate::http::version_for;
use crate::routes::Destination;
use crate::upstream::{TermsCache, Upstream};
use crate::worker::Common;

/// Endpoints asked at the same time, in the whole process.
const MOST_AT_ONCE: usize = 256;
/// Changes often come together.
const LULL: Duration = Duration::from_millis(20);
/// How far from its interval a check may be, so that waypoints and endpoints do not fall into step.
const JITTER: f64 = 0.1;

/// Sees to it that endpoints are asked as their services' policies say.
pub(crate) struct Rounds {
    reader: Reader,
    upstream: Arc<Upstream>,
    terms: TermsCache,
    charts: Arc<Charts>,
    slots: Arc<Semaphore>,
    wards: HashMap<NamespacedHostname, Ward>,
}

/// The endpoints of one service.
struct Ward {
    basis: Basis,
    question: Arc<Question>,
    /// The policy that the question's terms are made of.
    policy: Option<TrafficPolicy>,
    visits: HashMap<Uid, Visits>,
}

/// An endpoint that is asked again and again until this is dropped.
struct Visits {
    patient: Arc<Patient>,
    visitor: AbortHandle,
}

impl Drop for Visits {
    fn drop(&mut self) {
        self.visitor.abort();
    }
}

impl Rounds {
    /// Rounds with connections of their own.
    pub(crate) fn new(common: &Common, charts: Arc<Charts>) -> Rounds {
        let settings = &common.settings;
        let upstream = Arc::new(Upstream {
            me: common.me.clone(),
            reader: common.reader.clone(),
            certificates: common.certificates.clone(),
            tunnels: Pool::new(settings.hbone.clone()),
            settings: settings.hbone.clone(),
        });
        Rounds {
            reader: common.reader.clone(),
            upstream,
            terms: TermsCache::new(common.ledger.clone(), settings.tls),
            charts,
            slots: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            wards: HashMap::new(),
        }
    }

    /// Goes on until nobody is left who could change what is known; what it has started ends with it.
    pub(crate) async fn run(mut self) {
        // Subscribed before the first look, so that no change falls between.
        let mut configs = self.reader.configs_changed();
        let mut addresses = self.reader.addresses_changed();
        loop {
            self.go();
            let changed = tokio::select! {
                changed = configs.changed() => changed,
                changed = addresses.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            sleep(LULL).await;
        }
    }

    fn go(&mut self) {
        let snapshot = self.reader.snapshot();
        let mut wards = HashMap::new();
        for config in snapshot.service_configs() {
            let Some(check) = &config.health_check else { continue };
            let before = self.wards.remove(&config.key);
            if let Some(ward) = self.look_after(&snapshot, &config.key, check, before) {
                wards.insert(config.key.clone(), ward);
            }
        }
        // Services without a check any more, and those of which nothing else is known.
        let left = std::mem::replace(&mut self.wards, wards);
        left.keys().for_each(|service| self.charts.remove(service));
    }

    /// The ward of a service as it is now; none while the service, or this waypoint, is not known.
    fn look_after(
        &self,
        snapshot: &Snapshot,
        service: &NamespacedHostname,
        check: &HealthCheck,
        before: Option<Ward>,
    ) -> Option<Ward> {
        let Some(basis) = Basis::find(snapshot, &self.upstream.me.uid, service) else {
            self.charts.remove(service);
            return None;
        };
        let (question, policy, mut known) = match before {
            Some(ward) if ward.basis.is(&basis) => return Some(ward),
            Some(ward) => self.ask_anew(&basis, check, Some(ward)),
            None => self.ask_anew(&basis, check, None),
        };
        let me = self.upstream.me.ip;
        let endpoints = balance::ranked(snapshot, &basis.me, &basis.service, check.port, me);
        let visits = endpoints.map(|(endpoint, _)| {
            let known = known.remove(&endpoint.workload.uid).filter(|it| it.leads_to(&endpoint));
            let patient = known.as_ref().map_or_else(
                || {
                    let (service, question) = (service.clone(), question.clone());
                    Arc::new(Patient { service, endpoint: Arc::new(endpoint), question })
                },
                |known| known.patient.clone(),
            );
            (patient, known)
        });
        let visits: Vec<_> = visits.collect();
        // On the chart before the first answer is noted there.
        self.charts.put(service, visits.iter().map(|(patient, _)| patient.clone()));
        let visits = visits
            .into_iter()
            .map(|(patient, known)| (patient.uid().clone(), known.unwrap_or_else(|| self.visit(patient))));
        Some(Ward { visits: visits.collect(), basis, question, policy })
    }

    /// How endpoints are asked, and those that are asked so already: none, if it is another question now.
    fn ask_anew(
        &self,
        basis: &Basis,
        check: &HealthCheck,
        before: Option<Ward>,
    ) -> (Arc<Question>, Option<TrafficPolicy>, HashMap<Uid, Visits>) {
        let policy = basis.config.as_ref().and_then(|config| config.find_traffic(check.port, None)).cloned();
        let declared = basis.service.find_port(check.port).map(|port| port.app_protocol).unwrap_or_default();
        let asked = policy.as_ref().map(|policy| policy.http_version).unwrap_or_default();
        let version = version_for((asked, declared), http::Version::HTTP_11, false, false);
        if let Some(ward) = before
            && (&ward.question.check, ward.question.version, &ward.policy) == (check, version, &policy)
        {
            return (ward.question, policy, ward.visits);
        }
        let service = basis.service.key.clone();
        let destination = Destination::Service { service, port: check.port, subset: None };
        let terms = self.terms.find(&self.reader, &destination);
        let question = Question { check: check.clone(), terms, version };
        (Arc::new(question), policy, HashMap::new())
    }

    /// Has an endpoint asked from now on.
    fn visit(&self, patient: Arc<Patient>) -> Visits {
        let (upstream, charts) = (self.upstream.clone(), self.charts.clone());
        let (slots, visited) = (self.slots.clone(), patient.clone());
        let visitor = tokio::spawn(async move {
            loop {
                // Never closed. Who waits for a slot is not silent, so that does not count.
                let Ok(slot) = slots.acquire().await else { return };
                let answer = ask(&upstream, &visited.endpoint, &visited.question).await;
                drop(slot);
                charts.note(&visited, answer);
                sleep(jittered(visited.question.check.interval)).await;
            }
        });
        Visits { patient, visitor: visitor.abort_handle() }
    }
}

impl Visits {
    /// Whether it is asked in the same place, in the same way.
    fn leads_to(&self, endpoint: &Endpoint) -> bool {
        let known = &self.patient.endpoint;
        (known.address, known.tunnel, &known.accepted)
            == (endpoint.address, endpoint.tunnel, &endpoint.accepted)
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 + rand::rng().random_range(-JITTER..JITTER))
}
