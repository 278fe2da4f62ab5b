//! Letting pods go, and the node's probes, which know who is enrolled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use mesh_net::namespace::Namespace;
use tokio::time::Instant;
use tracing::warn;

use super::Agent;
use crate::capture;
use crate::enrolment::{Actual, Wanted};
use crate::pod::{Pods, Uid};
use crate::results::Redirection;

impl Agent {
    /// Pods that were leaving and are wanted again are enrolled again.
    pub(super) fn stay(&mut self, wanted: &BTreeMap<Uid, Wanted>) {
        let back = self.leaving.keys().filter(|uid| matches!(wanted.get(*uid), Some(Wanted::Enrolled(..))));
        for uid in back.cloned().collect::<Vec<_>>() {
            self.leaving.remove(&uid);
            // Its rules and its ztunnel are there, and both take what they have already.
            self.actual.remove(&uid);
        }
    }

    /// Says that the pod leaves, and once that has had time to be heard lets it go.
    pub(super) async fn release(
        &mut self,
        uid: &Uid,
        reason: &str,
        given: Option<Namespace>,
        netns: Option<&Path>,
    ) {
        let now = Instant::now();
        let served = self.results.find(uid) == Some(Redirection::Enabled);
        let until = self.leaving.get(uid).copied().or_else(|| served.then(|| now + self.grace));
        if let Some(until) = until {
            self.say(uid, Redirection::None, reason);
            if now < until {
                self.proxies.keep(uid);
                self.leaving.insert(uid.clone(), until);
                return;
            }
        }
        let namespace = match (self.namespaces.get(uid), given, netns) {
            (Some(held), _, _) => Some(held.clone()),
            // A namespace that is gone has no rules, and those of another pod stay.
            (None, Some(given), _) => self.unowned(given),
            (None, None, Some(path)) => Namespace::open(path).ok().and_then(|opened| self.unowned(opened)),
            (None, None, None) => None,
        };
        if let Some(namespace) = namespace
            && let Err(error) = capture::remove(&namespace).await
        {
            warn!("pod {uid}: removing capture: {error}");
            self.unfinished = true;
            if self.leaving.contains_key(uid) {
                self.leaving.insert(uid.clone(), now + super::RETRY);
            }
            return;
        }
        self.leaving.remove(uid);
        self.proxies.delete(uid);
        self.namespaces.remove(uid);
        self.actual.insert(uid.clone(), Actual::Free);
        self.say(uid, Redirection::None, reason);
    }

    fn unowned(&self, namespace: Namespace) -> Option<Namespace> {
        let owned = namespace == self.own || self.namespaces.values().any(|held| *held == namespace);
        (!owned).then_some(namespace)
    }

    /// Lets every pod go at once: the mesh leaves the node.
    pub(crate) async fn release_all(&mut self) {
        for (uid, namespace) in std::mem::take(&mut self.namespaces) {
            if let Err(error) = capture::remove(&namespace).await {
                warn!("pod {uid}: removing capture: {error}");
            }
            self.proxies.delete(&uid);
            self.actual.insert(uid, Actual::Free);
        }
        // Also of those that an earlier agent enrolled and whose namespaces this one has not found.
        for uid in self.results.known() {
            self.say(&uid, Redirection::None, "the mesh has left the node");
        }
        if let Some(host) = &mut self.host
            && let Err(error) = host.clear().await
        {
            warn!("removing the node's rules: {error}");
        }
    }

    /// Probes reach a pod before its rules are there: one refused would cost it its life.
    pub(super) async fn probe_also(&mut self, pods: &Pods, wanted: &BTreeMap<Uid, Wanted>) {
        let addresses = self.addresses(pods, wanted);
        if let Some(host) = &mut self.host
            && let Err(error) = host.probe_also(&addresses).await
        {
            warn!("probes of the node: {error}");
            self.unfinished = true;
        }
    }

    /// Probes of a pod that is enrolled no longer take their usual way.
    pub(super) async fn probe_only(&mut self, pods: &Pods, wanted: &BTreeMap<Uid, Wanted>) {
        let addresses = self.addresses(pods, wanted);
        if let Some(host) = &mut self.host
            && let Err(error) = host.probe(&addresses).await
        {
            warn!("probes of the node: {error}");
            self.unfinished = true;
        }
    }

    /// Of the pods that are, are to be, or may still be captured.
    fn addresses(&self, pods: &Pods, wanted: &BTreeMap<Uid, Wanted>) -> BTreeSet<IpAddr> {
        let captured = pods.iter().filter(|(uid, pod)| {
            !pod.host_network
                && (!matches!(wanted.get(*uid), Some(Wanted::Free { .. }) | None)
                    || self.leaving.contains_key(*uid)
                    || matches!(self.actual.get(*uid), Some(Actual::Enrolled(..))))
        });
        captured.flat_map(|(_, pod)| pod.ips.iter().copied()).collect()
    }

    pub(super) fn count(&self, pods: &Pods) {
        let found = pods.keys().map(|uid| self.results.find(uid));
        let (mut enabled, mut pending) = (0, 0);
        for redirection in found {
            match redirection {
                Some(Redirection::Enabled) => enabled += 1,
                Some(Redirection::Pending) => pending += 1,
                Some(Redirection::None) | None => {}
            }
        }
        self.metrics.count("enrolled", enabled);
        self.metrics.count("pending", pending);
        self.metrics.count("refused", self.refused.len());
    }
}
