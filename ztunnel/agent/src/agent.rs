//! The loop that makes true what the source wants, one pod at a time: probes of the
//! node, rules, then ztunnel, then the result. It ends without undoing anything:
//! capture, and the ztunnel that has it, do not need the agent.
//!
//! A pod that leaves goes the other way round. Its result is said first, and for a
//! while nothing else happens: until the controller has told the other proxies, they
//! connect to the pod's ztunnel, which needs the pod's rules to pass on what it gets.

mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_net::namespace::Namespace;
use mesh_proto::istio::workload::zds::WorkloadInfo;
use mesh_runtime::readiness::ReadinessTask;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::capture;
use crate::enrolment::{self, Actual, Enrolment, NO_NAMESPACE, Rules, Step, Wanted};
use crate::host::Host;
use crate::metrics::Metrics;
use crate::pod::{PodRecord, Pods, Uid};
use crate::results::{Outcome, Redirection, Results};
use crate::zds::{Answer, NoProxy, Proxies, Workload};

/// When to try again what failed, or what ztunnel refused.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Agent {
    rules: Rules,
    proxies: Proxies,
    results: Results,
    metrics: Metrics,
    /// The node's probes; none where nobody probes.
    host: Option<Host>,
    /// How long a pod that leaves is served after that was said.
    grace: Duration,
    /// The pods that leave, and when.
    leaving: BTreeMap<Uid, Instant>,
    /// The node's own network, which is never touched.
    own: Namespace,
    actual: BTreeMap<Uid, Actual>,
    /// The namespaces of the enrolled pods, open for as long as they are.
    namespaces: BTreeMap<Uid, Namespace>,
    /// Pods ztunnel did not take.
    refused: BTreeSet<Uid>,
    /// Something failed and is to be tried again.
    unfinished: bool,
}

/// What an agent is made of.
pub(crate) struct Parts {
    pub(crate) rules: Rules,
    pub(crate) proxies: Proxies,
    pub(crate) results: Results,
    pub(crate) metrics: Metrics,
    /// Whether the node probes its pods.
    pub(crate) probed: bool,
    pub(crate) grace: Duration,
}

impl Agent {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let own = Namespace::current()?;
        Ok(Self {
            rules: parts.rules,
            proxies: parts.proxies,
            results: parts.results,
            metrics: parts.metrics,
            host: parts.probed.then(|| Host::new(own.clone())),
            grace: parts.grace,
            leaving: BTreeMap::new(),
            own,
            actual: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            refused: BTreeSet::new(),
            unfinished: false,
        })
    }

    /// Follows the pods for as long as they are told; `starting` is done once all
    /// pods there are at the start have been seen to.
    pub(crate) async fn run(
        &mut self,
        mut pods: watch::Receiver<Option<Pods>>,
        mut answers: mpsc::Receiver<Answer>,
        starting: ReadinessTask,
    ) -> Result<()> {
        let mut starting = Some(starting);
        let mut retry = tokio::time::interval(RETRY);
        loop {
            let next = self.leaving.values().min().copied();
            tokio::select! {
                changed = pods.changed() => changed.context("the source of pods has ended")?,
                Some(answer) = answers.recv() => {
                    self.take(answer);
                    continue;
                }
                _ = retry.tick(), if self.unfinished => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            let Some(now) = pods.borrow_and_update().clone() else { continue };
            self.reconcile(&now).await;
            retry.reset();
            if starting.take().is_some() {
                self.proxies.complete();
                info!("{} pods at the start, {} of them enrolled", now.len(), self.namespaces.len());
            }
        }
    }

    async fn reconcile(&mut self, pods: &Pods) {
        self.unfinished = false;
        self.results.learn(pods);
        for uid in std::mem::take(&mut self.refused) {
            // Without a ztunnel, the next one gets it with its snapshot.
            let _ = self.hand_over(&uid);
        }
        let mut opened = BTreeMap::new();
        let wanted = self.observe(pods, &mut opened);
        self.stay(&wanted);
        self.probe_also(pods, &wanted).await;
        for (uid, step) in enrolment::plan(&wanted, &self.actual) {
            match step {
                Step::Enrol(enrolment, inode) => {
                    if let Some(namespace) = opened.remove(&uid) {
                        self.enrol(&uid, enrolment, inode, namespace).await;
                    }
                }
                Step::Release { reason, netns } => {
                    let held = pods.get(&uid).and_then(|pod| pod.namespace_held.clone());
                    self.release(&uid, &reason, held, netns.as_deref()).await;
                }
                Step::Keep(reason) => self.keep(&uid, &reason),
                Step::Forget => self.forget(&uid),
            }
        }
        self.probe_only(pods, &wanted).await;
        self.count(pods);
        if let Err(error) = self.results.retain(|uid| pods.contains_key(uid)) {
            warn!("removing results: {error}");
            self.unfinished = true;
        }
    }

    /// What is wanted for each pod, with the namespaces of those to be enrolled.
    fn observe(&self, pods: &Pods, opened: &mut BTreeMap<Uid, Namespace>) -> BTreeMap<Uid, Wanted> {
        let mut owners: BTreeMap<u64, &Uid> = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for (uid, pod) in pods {
            let want = match enrolment::decide(pod, &self.rules) {
                Ok(enrolment) => match self.open(pod, &owners) {
                    Ok(namespace) => {
                        let inode = namespace.inode();
                        owners.insert(inode, uid);
                        opened.insert(uid.clone(), namespace);
                        Wanted::Enrolled(enrolment, inode)
                    }
                    Err(reason) => Wanted::Unusable(reason),
                },
                // Its processes were not found; a pod that is enrolled stays so.
                Err(NO_NAMESPACE) if !pod.ips.is_empty() => Wanted::Unusable(NO_NAMESPACE.to_owned()),
                Err(reason) => Wanted::Free {
                    reason: reason.to_owned(),
                    netns: pod.netns.clone().filter(|_| !pod.host_network),
                },
            };
            wanted.insert(uid.clone(), want);
        }
        wanted
    }

    /// A pod's network namespace, unless it is the node's or that of another pod.
    fn open(&self, pod: &PodRecord, owners: &BTreeMap<u64, &Uid>) -> Result<Namespace, String> {
        let namespace = match (&pod.namespace_held, &pod.netns) {
            (Some(held), _) => held.clone(),
            (None, Some(path)) => {
                Namespace::open(path).map_err(|error| format!("network namespace: {error}"))?
            }
            (None, None) => return Err(NO_NAMESPACE.to_owned()),
        };
        if namespace == self.own {
            return Err("its network namespace is the node's own".to_owned());
        }
        match owners.get(&namespace.inode()) {
            Some(other) => Err(format!("its network namespace is that of pod {other}")),
            None => Ok(namespace),
        }
    }

    async fn enrol(&mut self, uid: &str, enrolment: Enrolment, inode: u64, namespace: Namespace) {
        let same = matches!(self.actual.get(uid), Some(Actual::Enrolled(_, before)) if *before == inode);
        if let Err(error) = capture::apply(&namespace, &enrolment.capture).await {
            // The rules from before are still there.
            let stays = if same { Redirection::Enabled } else { Redirection::Pending };
            return self.fail(uid, stays, &error.to_string());
        }
        let moved = !same && self.actual.contains_key(uid);
        self.actual.insert(uid.to_owned(), Actual::Enrolled(enrolment, inode));
        self.namespaces.insert(uid.to_owned(), namespace);
        let taken = self.hand_over(uid);
        // Without a ztunnel, a pod that is enrolled already stays so: its own may only be away from the agent.
        let served = !moved && self.results.find(uid) == Some(Redirection::Enabled);
        if let (Err(nobody), false) = (taken, served) {
            self.say(uid, Redirection::Pending, &nobody.to_string());
        }
    }

    /// Gives an enrolled pod to ztunnel, whose answer comes later.
    fn hand_over(&self, uid: &str) -> Result<(), NoProxy> {
        let (Some(Actual::Enrolled(enrolment, _)), Some(namespace)) =
            (self.actual.get(uid), self.namespaces.get(uid))
        else {
            // Released meanwhile.
            return Ok(());
        };
        let info = WorkloadInfo {
            name: enrolment.name.clone(),
            namespace: enrolment.namespace.clone(),
            service_account: enrolment.service_account.clone(),
        };
        self.proxies.add(uid, Workload { info, namespace: namespace.clone() })
    }

    /// What ztunnel said about a pod it was given.
    fn take(&mut self, answer: Answer) {
        let Answer { uid, namespace, result } = answer;
        let Some(Actual::Enrolled(enrolment, _)) = self.actual.get(&uid) else { return };
        // The pod has a new sandbox, about which ztunnel has not said anything yet.
        if self.namespaces.get(&uid) != Some(&namespace) {
            return;
        }
        match result {
            // The pod leaves, and has said so.
            Ok(()) if self.leaving.contains_key(&uid) => {}
            Ok(()) => {
                let notice = enrolment.notice.clone().unwrap_or_default();
                self.refused.remove(&uid);
                self.say(&uid, Redirection::Enabled, &notice);
            }
            Err(reason) => {
                self.say(&uid, Redirection::Pending, &format!("ztunnel could not take the pod: {reason}"));
                self.refused.insert(uid);
                self.unfinished = true;
            }
        }
    }

    /// The pod's namespace is not at hand: what it has stays, and so does what was said of it.
    fn keep(&mut self, uid: &str, reason: &str) {
        let served = self.results.find(uid) == Some(Redirection::Enabled);
        self.fail(uid, if served { Redirection::Enabled } else { Redirection::Pending }, reason);
    }

    /// The pod could not be enrolled as it should be; a ztunnel that has it may keep it.
    fn fail(&mut self, uid: &str, redirection: Redirection, reason: &str) {
        self.proxies.keep(uid);
        self.say(uid, redirection, reason);
        self.unfinished = true;
    }

    fn forget(&mut self, uid: &str) {
        self.proxies.delete(uid);
        self.namespaces.remove(uid);
        self.actual.remove(uid);
        self.leaving.remove(uid);
    }

    fn say(&mut self, uid: &str, redirection: Redirection, message: &str) {
        if self.results.find(uid) != Some(redirection) {
            info!("pod {uid}: {redirection:?}: {message}");
        }
        let namespace = match self.actual.get(uid) {
            Some(Actual::Enrolled(_, inode)) => Some(*inode),
            _ => None,
        };
        let outcome = Outcome { redirection, message: message.to_owned(), namespace };
        if let Err(error) = self.results.set(&uid.to_owned(), outcome) {
            warn!("result of pod {uid}: {error}");
            self.unfinished = true;
        }
    }
}

#[cfg(test)]
mod tests;
