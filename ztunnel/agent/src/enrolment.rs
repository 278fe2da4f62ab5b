//! Which pods are to be enrolled, and the steps from what is to what should be.
//! Pure: the world is looked at, and changed, elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::capture::Settings;
use crate::pod::{PodRecord, Uid};

const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
const BYPASS_INBOUND: &str = "ambient.istio.io/bypass-inbound-capture";
const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";

/// Why a pod that is to be enrolled cannot be yet.
pub(crate) const NO_NAMESPACE: &str = "the pod has no network namespace yet";

/// What holds for all pods of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Namespaces none of whose pods is enrolled, whatever their labels say.
    pub excluded_namespaces: Vec<String>,
    /// Whether to take over name lookups of a pod that does not say.
    pub dns_capture: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { excluded_namespaces: vec!["kube-system".to_owned()], dns_capture: true }
    }
}

/// How a pod is to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The service account it runs as.
    pub service_account: String,
    /// The file of its network namespace; none where its source holds the namespace open.
    pub netns: Option<PathBuf>,
    /// Its addresses, which the node's own probes come to.
    pub ips: Vec<IpAddr>,
    /// How its traffic is captured.
    pub capture: Settings,
    /// What the user should know: an annotation that says nothing we know.
    pub notice: Option<String>,
}

/// How the pod is to be enrolled, or else why it is not.
pub fn decide(pod: &PodRecord, rules: &Rules) -> Result<Enrolment, &'static str> {
    let [own, inherited] =
        [&pod.labels, &pod.namespace_labels].map(|labels| labels.get(DATAPLANE_MODE).map(String::as_str));
    match (own, inherited) {
        _ if pod.host_network => return Err("the pod uses the node's own network"),
        _ if pod.finished => return Err("the pod has finished"),
        _ if rules.excluded_namespaces.contains(&pod.namespace) => return Err("its namespace is excluded"),
        _ if pod.annotations.contains_key(SIDECAR_STATUS) => return Err("the pod has a sidecar"),
        (Some("ambient"), _) => {}
        (Some("none"), _) => return Err("the pod's label istio.io/dataplane-mode is none"),
        (_, Some("ambient")) => {}
        _ => return Err("no label istio.io/dataplane-mode=ambient on the pod or its namespace"),
    }
    if pod.netns.is_none() && pod.namespace_held.is_none() {
        return Err(NO_NAMESPACE);
    }
    let mut notice = None;
    let mut flag = |name: &str, default: bool| {
        let Some(value) = pod.annotations.get(name) else { return default };
        value.parse().unwrap_or_else(|_| {
            notice = Some(format!("annotation {name} is {value:?}, expected true or false: ignored"));
            default
        })
    };
    let capture =
        Settings { inbound: !flag(BYPASS_INBOUND, false), dns: flag(DNS_CAPTURE, rules.dns_capture) };
    Ok(Enrolment {
        name: pod.name.clone(),
        namespace: pod.namespace.clone(),
        service_account: pod.service_account.clone(),
        netns: pod.netns.clone(),
        ips: pod.ips.clone(),
        capture,
        notice,
    })
}

/// What should be true of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Enrolled, in the network namespace with this inode.
    Enrolled(Enrolment, u64),
    /// Not enrolled.
    Free {
        /// Why not.
        reason: String,
        /// The file of its own network namespace, where an earlier agent may have left rules.
        netns: Option<PathBuf>,
    },
    /// Enrolled, but its network namespace cannot be used at the moment, and why.
    Unusable(String),
}

/// What this agent has made true of a pod. A pod it does not know may still be
/// captured, by the agent that ran before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actual {
    /// Enrolled, in the network namespace with this inode.
    Enrolled(Enrolment, u64),
    /// Looked at and not enrolled.
    Free,
}

/// What to do about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Program its rules and hand it to ztunnel.
    Enrol(Enrolment, u64),
    /// Remove its rules and take it from ztunnel.
    Release {
        /// Why it is not enrolled.
        reason: String,
        /// The file of its own network namespace, if it has one.
        netns: Option<PathBuf>,
    },
    /// Leave its rules, if any, as they are, let ztunnel keep it, and say why.
    Keep(String),
    /// It is gone: take it from ztunnel.
    Forget,
}

/// The steps that make true what is wanted; none for what is true already.
pub fn plan(wanted: &BTreeMap<Uid, Wanted>, actual: &BTreeMap<Uid, Actual>) -> Vec<(Uid, Step)> {
    let gone = actual.keys().filter(|uid| !wanted.contains_key(*uid)).map(|uid| (uid.clone(), Step::Forget));
    let changed = wanted.iter().filter_map(|(uid, wanted)| {
        let step = match (wanted, actual.get(uid)) {
            (Wanted::Enrolled(new, inode), Some(Actual::Enrolled(old, before)))
                if new == old && inode == before =>
            {
                return None;
            }
            (Wanted::Enrolled(enrolment, inode), _) => Step::Enrol(enrolment.clone(), *inode),
            (Wanted::Free { .. }, Some(Actual::Free)) => return None,
            (Wanted::Free { reason, netns }, _) => {
                Step::Release { reason: reason.clone(), netns: netns.clone() }
            }
            (Wanted::Unusable(_), Some(Actual::Enrolled(..))) => return None,
            (Wanted::Unusable(reason), _) => Step::Keep(reason.clone()),
        };
        Some((uid.clone(), step))
    });
    // Leaving first: a new pod may have the address of one that is gone.
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests;
