//! A pod that has been made: its place, its processes, and the documents that tell others of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};

use crate::local::network::Netns;
use crate::local::pod::{self, Board, ContainerStatus, Orders, Phase, Place, PodPlan, PodStatus, State};
use crate::local::rollout::{Existing, PodName, name_of};

/// The annotation that says whether a pod's traffic is captured.
const REDIRECTION: &str = "ambient.istio.io/redirection";

/// Where a pod is.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The node's number; 0 is the fabric.
    pub(super) node: u8,
    pub(super) node_name: String,
    pub(super) node_address: Ipv4Addr,
    pub(super) address: Ipv4Addr,
    /// The node's, for a pod that shares its network.
    pub(super) netns: Netns,
    pub(super) has_own_network: bool,
}

/// What a node agent says about a pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Outcome {
    pub(super) redirection: String,
    #[serde(default)]
    pub(super) message: String,
}

/// A pod.
pub(super) struct RunningPod {
    /// As it was asked for.
    pub(super) asked: Pod,
    pub(super) uid: String,
    pub(super) created: String,
    pub(super) site: Site,
    pub(super) outcome: Option<Outcome>,
    /// Why it cannot be run.
    pub(super) failure: Option<String>,
    /// Since when it is to end.
    pub(super) ending: Option<String>,
    status: watch::Receiver<PodStatus>,
    /// The status last told.
    seen: PodStatus,
    admitted: watch::Sender<bool>,
    stop: watch::Sender<Option<Duration>>,
}

impl RunningPod {
    /// A pod whose containers start as soon as it is admitted.
    pub(super) fn start(
        asked: Pod,
        uid: String,
        created: String,
        site: Site,
        plan: PodPlan,
        changed: Arc<Notify>,
    ) -> Self {
        let board = Arc::new(Board::new(plan.status.clone(), changed));
        let status = board.subscribe();
        let (admitted, is_admitted) = watch::channel(false);
        let (stop, is_stopped) = watch::channel(None);
        let orders = Orders { admitted: is_admitted, stop: is_stopped };
        let place = Place { namespace: site.netns.namespace().clone(), address: site.address };
        // The runtime has one thread, which lives as long as the mesh: see `Process::start`.
        tokio::spawn(pod::run(plan, place, orders, board));
        RunningPod {
            asked,
            uid,
            created,
            site,
            outcome: None,
            failure: None,
            ending: None,
            seen: PodStatus::default(),
            status,
            admitted,
            stop,
        }
    }

    /// A pod that cannot be run; it is shown, with the reason.
    pub(super) fn failed(asked: Pod, uid: String, created: String, site: Site, reason: String) -> Self {
        let ended = PodStatus { has_ended: true, ..PodStatus::default() };
        let (_, status) = watch::channel(ended);
        let (admitted, _) = watch::channel(false);
        let (stop, _) = watch::channel(None);
        RunningPod {
            asked,
            uid,
            created,
            site,
            outcome: None,
            failure: Some(reason),
            ending: None,
            seen: PodStatus::default(),
            status,
            admitted,
            stop,
        }
    }

    pub(super) fn name(&self) -> PodName {
        name_of(&self.asked)
    }

    /// Lets its containers start.
    pub(super) fn admit(&self) {
        self.admitted.send_replace(true);
    }

    pub(super) fn is_admitted(&self) -> bool {
        *self.admitted.borrow()
    }

    /// Has it end within `grace`.
    pub(super) fn end(&mut self, now: &str, grace: Duration) {
        self.ending.get_or_insert_with(|| now.to_owned());
        self.stop.send_replace(Some(grace));
    }

    /// Whether its status has changed since the last call.
    pub(super) fn take_change(&mut self) -> bool {
        // The channel's own mark is lost when the pod ends, which is a change too.
        let now = self.status();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    pub(super) fn status(&self) -> PodStatus {
        self.status.borrow().clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ending.is_none() && self.failure.is_none() && self.status.borrow().is_ready()
    }

    /// It has run to a good end.
    pub(super) fn is_done(&self) -> bool {
        self.failure.is_none() && self.status.borrow().phase() == Phase::Succeeded
    }

    /// Nothing runs any more.
    pub(super) fn has_ended(&self) -> bool {
        self.status.borrow().has_ended
    }

    pub(super) fn existing(&self) -> Existing {
        Existing { pod: self.asked.clone(), is_ready: self.is_ready(), is_ending: self.ending.is_some() }
    }

    /// The file of the record for the node agent.
    pub(super) fn record_name(&self) -> String {
        format!("{}.json", self.uid)
    }

    /// What the node agent has to know.
    pub(super) fn record(&self, namespace_labels: &BTreeMap<String, String>) -> Value {
        let (namespace, name) = self.name();
        json!({
            "uid": self.uid,
            "name": name,
            "namespace": namespace,
            "serviceAccount": self.service_account(),
            "netns": PathBuf::from(self.site.netns.path()),
            "ips": [self.site.address],
            "labels": self.asked.metadata.labels.clone().unwrap_or_default(),
            "annotations": self.asked.metadata.annotations.clone().unwrap_or_default(),
            "namespaceLabels": namespace_labels,
            "hostNetwork": !self.site.has_own_network,
            "finished": self.has_ended(),
        })
    }

    pub(super) fn service_account(&self) -> &str {
        let account = self.asked.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        account.filter(|account| !account.is_empty()).unwrap_or("default")
    }

    /// The pod as the API server of a cluster would show it.
    pub(super) fn document(&self) -> serde_json::Result<Value> {
        let mut document = serde_json::to_value(&self.asked)?;
        let metadata = &mut document["metadata"];
        metadata["namespace"] = self.name().0.into();
        metadata["uid"] = self.uid.clone().into();
        metadata["creationTimestamp"] = self.created.clone().into();
        if let Some(since) = &self.ending {
            metadata["deletionTimestamp"] = since.clone().into();
        }
        if let Some(outcome) = self.outcome.as_ref().filter(|outcome| outcome.redirection != "none") {
            let annotations = &mut metadata["annotations"];
            if !annotations.is_object() {
                *annotations = Value::Object(Map::new());
            }
            annotations[REDIRECTION] = outcome.redirection.clone().into();
        }
        document["spec"]["nodeName"] = self.site.node_name.clone().into();
        document["spec"]["serviceAccountName"] = self.service_account().into();
        document["status"] = self.status_document();
        Ok(document)
    }

    fn status_document(&self) -> Value {
        let status = self.status();
        let truth = |is: bool| if is { "True" } else { "False" };
        let phase = if self.failure.is_some() { Phase::Pending } else { status.phase() };
        let reason = self.reason();
        json!({
            "phase": phase.as_str(),
            "message": reason,
            "podIP": self.site.address,
            "podIPs": [{ "ip": self.site.address }],
            "hostIP": self.site.node_address,
            "startTime": self.created,
            "conditions": [
                { "type": "PodScheduled", "status": "True" },
                { "type": "Initialized", "status": truth(status.is_initialised) },
                { "type": "ContainersReady", "status": truth(status.is_ready()) },
                { "type": "Ready", "status": truth(self.is_ready()) },
            ],
            "initContainerStatuses": containers(&status, true),
            "containerStatuses": containers(&status, false),
        })
    }

    /// Why it is not ready, for a person.
    pub(super) fn reason(&self) -> String {
        if let Some(failure) = &self.failure {
            return failure.clone();
        }
        if self.ending.is_some() {
            return "ending".to_owned();
        }
        if !self.is_admitted() {
            let message = self.outcome.as_ref().map(|outcome| outcome.message.as_str()).unwrap_or_default();
            return format!("waiting for its traffic to be captured: {message}")
                .trim_end_matches([':', ' '])
                .to_owned();
        }
        self.status().reason().to_owned()
    }
}

fn containers(status: &PodStatus, is_init: bool) -> Value {
    let containers = status.containers.iter().filter(|container| container.is_init == is_init);
    containers.map(container).collect()
}

fn container(container: &ContainerStatus) -> Value {
    let state = match &container.state {
        State::Waiting => json!({ "waiting": { "reason": "Waiting", "message": container.reason } }),
        State::Running { .. } => json!({ "running": {} }),
        State::Ended { code } => json!({ "terminated": { "exitCode": code } }),
    };
    let id = match &container.state {
        State::Running { pid } => format!("process://{pid}"),
        _ => String::new(),
    };
    json!({
        "name": container.name,
        "containerID": id,
        "image": container.image,
        "imageID": "",
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": state,
    })
}
