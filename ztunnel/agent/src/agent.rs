//! The loop that makes true what the source wants, one pod at a time: rules, then
//! ztunnel, then the result. It ends without undoing anything: capture, and the
//! ztunnel that has it, do not need the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_net::namespace::Namespace;
use mesh_proto::istio::workload::zds::WorkloadInfo;
use mesh_runtime::readiness::ReadinessTask;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::capture;
use crate::enrolment::{self, Actual, Enrolment, Rules, Step, Wanted};
use crate::pod::{Pods, Uid};
use crate::results::{Redirection, Results};
use crate::zds::{Answer, NoProxy, Proxies, Workload};

/// When to try again what failed, or what ztunnel refused.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Agent {
    rules: Rules,
    proxies: Proxies,
    results: Results,
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

impl Agent {
    pub(crate) fn new(rules: Rules, proxies: Proxies, results: Results) -> io::Result<Self> {
        Ok(Self {
            rules,
            proxies,
            results,
            own: Namespace::current()?,
            actual: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            refused: BTreeSet::new(),
            unfinished: false,
        })
    }

    /// Follows the pods for as long as they are told; `starting` is done once all
    /// pods there are at the start have been seen to.
    pub(crate) async fn run(
        mut self,
        mut pods: watch::Receiver<Option<Pods>>,
        mut answers: mpsc::Receiver<Answer>,
        starting: ReadinessTask,
    ) -> Result<()> {
        let mut starting = Some(starting);
        let mut retry = tokio::time::interval(RETRY);
        loop {
            tokio::select! {
                changed = pods.changed() => changed.context("the source of pods has ended")?,
                Some(answer) = answers.recv() => {
                    self.take(answer);
                    continue;
                }
                _ = retry.tick(), if self.unfinished => {}
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
        for uid in std::mem::take(&mut self.refused) {
            // Without a ztunnel, the next one gets it with its snapshot.
            let _ = self.hand_over(&uid);
        }
        let mut opened = BTreeMap::new();
        let wanted = self.observe(pods, &mut opened);
        for (uid, step) in enrolment::plan(&wanted, &self.actual) {
            match step {
                Step::Enrol(enrolment, inode) => {
                    if let Some(namespace) = opened.remove(&uid) {
                        self.enrol(&uid, enrolment, inode, namespace).await;
                    }
                }
                Step::Release { reason, netns } => self.release(&uid, &reason, netns.as_deref()).await,
                Step::Keep(reason) => self.fail(&uid, Redirection::Pending, &reason),
                Step::Forget => self.forget(&uid),
            }
        }
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
                Ok(enrolment) => match self.open(&enrolment.netns, &owners) {
                    Ok(namespace) => {
                        let inode = namespace.inode();
                        owners.insert(inode, uid);
                        opened.insert(uid.clone(), namespace);
                        Wanted::Enrolled(enrolment, inode)
                    }
                    Err(reason) => Wanted::Unusable(reason),
                },
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
    fn open(&self, netns: &Path, owners: &BTreeMap<u64, &Uid>) -> Result<Namespace, String> {
        let namespace = Namespace::open(netns).map_err(|error| format!("network namespace: {error}"))?;
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
        let Answer { uid, result } = answer;
        let Some(Actual::Enrolled(enrolment, _)) = self.actual.get(&uid) else { return };
        match result {
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

    async fn release(&mut self, uid: &str, reason: &str, netns: Option<&Path>) {
        let namespace = match (self.namespaces.get(uid), netns) {
            (Some(held), _) => Some(held.clone()),
            // A namespace that is gone has no rules, and those of another pod stay.
            (None, Some(path)) => Namespace::open(path).ok().filter(|namespace| {
                *namespace != self.own && !self.namespaces.values().any(|held| held == namespace)
            }),
            (None, None) => None,
        };
        if let Some(namespace) = namespace
            && let Err(error) = capture::remove(&namespace).await
        {
            warn!("pod {uid}: removing capture: {error}");
            self.unfinished = true;
            return;
        }
        self.proxies.delete(uid);
        self.namespaces.remove(uid);
        self.actual.insert(uid.to_owned(), Actual::Free);
        self.say(uid, Redirection::None, reason);
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
    }

    fn say(&mut self, uid: &str, redirection: Redirection, message: &str) {
        if self.results.find(uid) != Some(redirection) {
            info!("pod {uid}: {redirection:?}: {message}");
        }
        if let Err(error) = self.results.set(uid, redirection, message) {
            warn!("result of pod {uid}: {error}");
            self.unfinished = true;
        }
    }
}
