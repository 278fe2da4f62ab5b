//! What a source says about one pod of the node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use mesh_net::namespace::Namespace;
use serde::Deserialize;

/// Identifies a pod: the UID Kubernetes gave it.
pub type Uid = String;

/// All pods of the node.
pub type Pods = BTreeMap<Uid, PodRecord>;

/// One pod as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// The pod's UID.
    pub uid: Uid,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The service account it runs as.
    #[serde(default = "default_service_account")]
    pub service_account: String,
    /// The file that stands for its network namespace; absent until it has one.
    #[serde(default)]
    pub netns: Option<PathBuf>,
    /// Its network namespace held open, from a source that knows more than a file's name.
    #[serde(skip)]
    pub namespace_held: Option<Namespace>,
    /// Its addresses.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The labels of its namespace.
    #[serde(default)]
    pub namespace_labels: BTreeMap<String, String>,
    /// It lives in the node's own network.
    #[serde(default)]
    pub host_network: bool,
    /// Its containers have ended for good.
    #[serde(default)]
    pub finished: bool,
}

fn default_service_account() -> String {
    "default".to_owned()
}

/// Reads one record, which must be whole: every text non-empty and no longer than Kubernetes allows.
pub fn parse(json: &[u8]) -> Result<PodRecord, String> {
    let pod: PodRecord = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let texts = [
        ("uid", &pod.uid, 64),
        ("name", &pod.name, 253),
        ("namespace", &pod.namespace, 63),
        ("serviceAccount", &pod.service_account, 253),
    ];
    for (field, text, longest) in texts {
        if text.is_empty() || text.len() > longest {
            return Err(format!("{field} has {} bytes, expected 1 to {longest}", text.len()));
        }
    }
    if !pod.uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(format!("uid {:?} has characters other than letters, digits and -", pod.uid));
    }
    Ok(pod)
}
