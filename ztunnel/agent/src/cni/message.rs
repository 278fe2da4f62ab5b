//! What the plugin tells the agent about a new pod, as JSON.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A pod whose network has just been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NewPod {
    /// The file of its network namespace.
    pub(crate) netns: PathBuf,
    pub(crate) pod_name: String,
    pub(crate) pod_namespace: String,
    /// Its UID, where the container runtime says it.
    #[serde(default, rename = "PodUID")]
    pub(crate) pod_uid: String,
    #[serde(default, rename = "IPs")]
    pub(crate) ips: Vec<PodIp>,
}

/// One address of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PodIp {
    #[serde(default)]
    pub(crate) interface: Option<u32>,
    pub(crate) address: Network,
    #[serde(default)]
    pub(crate) gateway: Option<IpAddr>,
}

/// An address with the mask of its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    #[serde(rename = "IP")]
    pub(crate) ip: IpAddr,
    #[serde(default, rename = "Mask")]
    pub(crate) mask: Option<String>,
}
