//! Deciding about a new pod from what the API server says now, for the agent's own
//! watch may be behind, and waiting until it is enrolled.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace as KubernetesNamespace, Pod};
use kube::Api;
use kube::ResourceExt;
use mesh_net::namespace::Namespace;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::cni::message::NewPod;
use crate::enrolment::{self, Rules};
use crate::pod::{PodRecord, Uid};
use crate::results::{Board, Redirection};
use crate::source::kubernetes::{Announcement, Facts, namespace_labels};

/// What became of a new pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is enrolled.
    Enrolled,
    /// It is none of the mesh, and why.
    Passed(&'static str),
}

impl Verdict {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Verdict::Enrolled => "enrolled",
            Verdict::Passed(_) => "passed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Enrolled => f.write_str("enrolled"),
            Verdict::Passed(reason) => write!(f, "not enrolled: {reason}"),
        }
    }
}

/// Why a new pod has to wait.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the API server could not be asked about the pod: {0}")]
    Kubernetes(#[from] kube::Error),
    #[error("the API server did not answer in time")]
    Late,
    #[error("the API server knows the pod by UID {known}, the container runtime by {given}")]
    OtherPod { known: Uid, given: Uid },
    #[error("network namespace {0}; is /var/run/netns of the node mounted with propagation?")]
    Namespace(std::io::Error),
    #[error("the pod is not enrolled yet: {0}")]
    NotEnrolled(String),
    #[error("the node agent is ending")]
    Ending,
}

/// Takes new pods into the mesh.
pub(crate) struct Admission {
    pub(crate) client: kube::Client,
    pub(crate) rules: Rules,
    pub(crate) announce: mpsc::Sender<Announcement>,
    pub(crate) board: watch::Receiver<Board>,
}

impl Admission {
    /// Returns once the pod may start.
    pub(crate) async fn admit(&self, new: &NewPod, within: Duration) -> Result<Verdict, Refusal> {
        let deadline = Instant::now() + within;
        let mut record = timeout_at(deadline, self.fetch(new)).await.map_err(|_| Refusal::Late)??;
        record.ips = new.ips.iter().map(|ip| ip.address.ip).collect();
        record.ips.sort();
        record.namespace_held = Some(Namespace::open(&new.netns).map_err(Refusal::Namespace)?);
        if let Err(reason) = enrolment::decide(&record, &self.rules) {
            return Ok(Verdict::Passed(reason));
        }
        let (uid, inode) = (record.uid.clone(), record.namespace_held.as_ref().map(Namespace::inode));
        self.announce.send(Announcement::Made(Box::new(record))).await.map_err(|_| Refusal::Ending)?;
        let enrolled = self.wait(&uid, inode, deadline).await;
        if enrolled.is_err() {
            // The runtime takes this namespace back and comes with another.
            let _ = self.announce.send(Announcement::Failed(uid)).await;
        }
        enrolled
    }

    /// The pod and its namespace's labels as they are now.
    async fn fetch(&self, new: &NewPod) -> Result<PodRecord, Refusal> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &new.pod_namespace);
        let namespaces: Api<KubernetesNamespace> = Api::all(self.client.clone());
        let (pod, namespace) =
            tokio::try_join!(pods.get(&new.pod_name), namespaces.get_metadata(&new.pod_namespace))?;
        let Facts { uid, mut record } = Facts::of(&pod);
        // The kubelet knows a static pod by the hash of its file.
        let is_static = pod.annotations().get("kubernetes.io/config.hash") == Some(&new.pod_uid);
        if !new.pod_uid.is_empty() && uid != new.pod_uid && !is_static {
            return Err(Refusal::OtherPod { known: uid, given: new.pod_uid.clone() });
        }
        record.namespace_labels = namespace_labels(namespace.labels());
        Ok(record)
    }

    /// Waits until the agent says that the pod is enrolled, in this very namespace.
    async fn wait(&self, uid: &Uid, inode: Option<u64>, deadline: Instant) -> Result<Verdict, Refusal> {
        let mut board = self.board.clone();
        let enrolled = board.wait_for(|board| {
            let outcome = board.get(uid).and_then(|card| card.outcome.as_ref());
            outcome.is_some_and(|it| it.redirection == Redirection::Enabled && it.namespace == inode)
        });
        match timeout_at(deadline, enrolled).await {
            Ok(Ok(_)) => return Ok(Verdict::Enrolled),
            Ok(Err(_)) => return Err(Refusal::Ending),
            Err(_) => {}
        }
        let board = self.board.borrow();
        let said =
            board.get(uid).and_then(|card| card.outcome.as_ref()).map(|outcome| outcome.message.clone());
        let reason = said.filter(|said| !said.is_empty());
        Err(Refusal::NotEnrolled(reason.unwrap_or_else(|| "the agent is still busy with others".to_owned())))
    }
}
