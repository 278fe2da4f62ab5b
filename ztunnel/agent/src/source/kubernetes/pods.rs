//! What is known of the node's pods from three sides: the API server's pods and
//! namespaces, the pods the container runtime is making, the namespaces found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use mesh_net::namespace::Namespace as NetworkNamespace;
use tokio::time::Instant;

use super::Announcement;
use super::record::{Facts, namespace_labels};
use crate::enrolment::{self, NO_NAMESPACE, Rules};
use crate::pod::{PodRecord, Pods, Uid};

type Labels = BTreeMap<String, String>;

/// An announced pod the watch never tells of is forgotten after this: it was deleted meanwhile.
const LONGEST_UNSEEN: Duration = Duration::from_secs(120);
/// What an agent that ran before left on a pod it enrolled.
const REDIRECTION: &str = "ambient.istio.io/redirection";

pub(super) struct Known {
    rules: Rules,
    pods: Listed<PodRecord>,
    namespaces: Listed<Labels>,
    announced: BTreeMap<Uid, (PodRecord, Instant)>,
    found: BTreeMap<Uid, Found>,
}

/// A network namespace, and the addresses its pod had when it was found: a pod whose
/// sandbox is made anew has others.
struct Found {
    namespace: NetworkNamespace,
    ips: Vec<IpAddr>,
}

/// Objects by name, of which a list may be under way.
struct Listed<T> {
    now: BTreeMap<String, T>,
    /// What the list under way has brought so far.
    next: Option<BTreeMap<String, T>>,
    listed: bool,
}

impl<T> Listed<T> {
    fn new() -> Self {
        Self { now: BTreeMap::new(), next: None, listed: false }
    }

    fn take(&mut self, event: Event<(String, T)>) {
        match event {
            Event::Apply((name, object)) => drop(self.now.insert(name, object)),
            Event::Delete((name, _)) => drop(self.now.remove(&name)),
            Event::Init => self.next = Some(BTreeMap::new()),
            Event::InitApply((name, object)) => drop(self.next.get_or_insert_default().insert(name, object)),
            Event::InitDone => {
                // What the list does not have is gone: its deletion was missed.
                self.now = self.next.take().unwrap_or_default();
                self.listed = true;
            }
        }
    }
}

impl Known {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            pods: Listed::new(),
            namespaces: Listed::new(),
            announced: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// Both lists have been read once.
    pub(super) fn is_complete(&self) -> bool {
        self.pods.listed && self.namespaces.listed
    }

    pub(super) fn take_pod(&mut self, event: Event<Facts>) {
        let deleted = match &event {
            Event::Delete(facts) => Some(facts.uid.clone()),
            _ => None,
        };
        self.pods.take(super::map(event, |facts| (facts.uid.clone(), facts.record.clone())));
        if let Some(uid) = deleted {
            self.announced.remove(&uid);
        }
        let (pods, announced) = (&self.pods.now, &self.announced);
        // A pod that has finished has no sandbox; holding its namespace would keep that alive.
        self.found.retain(|uid, found| {
            pods.get(uid).is_some_and(|pod| !pod.finished && (pod.ips.is_empty() || pod.ips == found.ips))
                || announced.contains_key(uid)
        });
    }

    pub(super) fn take_namespace(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        self.namespaces
            .take(super::map(event, |object| (object.name_any(), namespace_labels(object.labels()))));
    }

    pub(super) fn announce(&mut self, announcement: Announcement) {
        match announcement {
            Announcement::Made(record) => {
                self.found.remove(&record.uid);
                self.announced.insert(record.uid.clone(), (*record, Instant::now()));
            }
            Announcement::Failed(uid) => {
                self.announced.remove(&uid);
                self.found.remove(&uid);
            }
        }
    }

    /// The running pods whose network namespace is needed and not known.
    pub(super) fn missing(&self) -> BTreeSet<Uid> {
        let records = self.pods.now.keys().filter_map(|uid| self.record(uid));
        let missing = records.filter(|pod| {
            let wanted = match enrolment::decide(pod, &self.rules) {
                Err(reason) => reason == NO_NAMESPACE || pod.annotations.contains_key(REDIRECTION),
                Ok(_) => false,
            };
            let runs = !pod.ips.is_empty() && !pod.host_network && !pod.finished;
            wanted && runs && pod.namespace_held.is_none()
        });
        missing.map(|pod| pod.uid).collect()
    }

    pub(super) fn found(&mut self, found: BTreeMap<Uid, NetworkNamespace>) {
        for (uid, namespace) in found {
            let ips = self.pods.now.get(&uid).map(|pod| pod.ips.clone()).unwrap_or_default();
            self.found.insert(uid, Found { namespace, ips });
        }
    }

    /// All pods of the node.
    pub(super) fn records(&mut self) -> Pods {
        let pods = &self.pods.now;
        self.announced.retain(|uid, (record, at)| match pods.get(uid) {
            // The addresses in the object are those of a later sandbox.
            Some(pod) => !pod.finished && (pod.ips.is_empty() || pod.ips == record.ips),
            None => at.elapsed() < LONGEST_UNSEEN,
        });
        let uids: BTreeSet<Uid> = self.pods.now.keys().chain(self.announced.keys()).cloned().collect();
        uids.into_iter().filter_map(|uid| Some((uid.clone(), self.record(&uid)?))).collect()
    }

    fn record(&self, uid: &str) -> Option<PodRecord> {
        let announced = self.announced.get(uid).map(|(record, _)| record);
        let mut record = self.pods.now.get(uid).or(announced)?.clone();
        // A watch that has to catch up has not heard of a new namespace; who announced the pod has asked for it.
        let labels = self.namespaces.now.get(&record.namespace);
        if let Some(labels) = labels.or(announced.map(|announced| &announced.namespace_labels)) {
            record.namespace_labels = labels.clone();
        }
        if let Some(found) = self.found.get(uid) {
            record.namespace_held = Some(found.namespace.clone());
        }
        if let Some(announced) = announced {
            record.namespace_held = announced.namespace_held.clone();
            if record.ips.is_empty() {
                record.ips = announced.ips.clone();
            }
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests;
