//! What the node agent has to be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesh_runtime::env::{self, InvalidEnv};

use crate::cni::install::Places;
use crate::enrolment::Rules;

/// How long a pod that leaves the mesh is still served: what was said of it has to reach
/// the controller, and the controller's word every proxy.
const GRACE: Duration = Duration::from_secs(2);

/// Settings of a node agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the pods come from, and where it is said what became of them.
    pub origin: Origin,
    /// The socket ztunnel connects to.
    pub zds_socket: PathBuf,
    /// Where to answer `/healthz` and `/readyz`; nowhere when absent.
    pub health: Option<SocketAddr>,
    /// Where to answer `/metrics`; nowhere when absent.
    pub metrics: Option<SocketAddr>,
    /// Where to take commands: a loopback address; nowhere when absent.
    pub commands: Option<SocketAddr>,
    /// Who may be enrolled, and how.
    pub rules: Rules,
    /// How long a pod that leaves the mesh is still served.
    pub grace: Duration,
}

/// Where the pods of the node come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Directories of files.
    Directory {
        /// Where the records of the node's pods are, one file each.
        pods: PathBuf,
        /// Where to write what became of each pod.
        results: PathBuf,
    },
    /// A cluster.
    Kubernetes(Kubernetes),
}

/// What a node of a cluster needs besides.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The node's name.
    pub node: String,
    /// The agent's own namespace, where its DaemonSet is.
    pub namespace: String,
    /// The name of its DaemonSet.
    pub daemon_set: String,
    /// The node's `/proc`.
    pub proc: PathBuf,
    /// Where the network plugin goes.
    pub places: Places,
    /// Whether the taint that keeps pods off the node until the agent is ready is removed from it.
    pub removes_taint: bool,
}

/// A setting without which there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// A variable means nothing.
    #[error(transparent)]
    Env(#[from] InvalidEnv),
    /// A variable is missing.
    #[error("environment variable {0} is not set; the DaemonSet sets it by the downward API")]
    Missing(&'static str),
    /// A variable has a value that is none of those known.
    #[error("environment variable SOURCE is {0:?}; expected kubernetes or directory")]
    Source(String),
    /// Commands would be taken from everybody.
    #[error(
        "environment variable NODE_AGENT_COMMANDS is {0}; expected a loopback address, such as 127.0.0.1:15000"
    )]
    Commands(SocketAddr),
}

impl Config {
    /// Settings from the environment, as `docs/node-agent.md` lists it. Without `SOURCE` a
    /// process inside a cluster that was given no directory of pods reads the API server.
    pub fn from_env() -> Result<Self, InvalidConfig> {
        let excluded = env::text("EXCLUDE_NAMESPACES", "kube-system");
        let excluded = excluded.split(',').map(str::trim).filter(|name| !name.is_empty());
        let inside = env::find_text("KUBERNETES_SERVICE_HOST").is_some();
        let default =
            if inside && env::find_text("NODE_AGENT_PODS").is_none() { "kubernetes" } else { "directory" };
        let origin = match env::text("SOURCE", default).as_str() {
            "kubernetes" => Origin::Kubernetes(kubernetes()?),
            "directory" => Origin::Directory {
                pods: env::text("NODE_AGENT_PODS", "/var/run/adit/pods").into(),
                results: env::text("NODE_AGENT_RESULTS", "/var/run/adit/results").into(),
            },
            other => return Err(InvalidConfig::Source(other.to_owned())),
        };
        let in_cluster = matches!(origin, Origin::Kubernetes(_));
        let address = |name, host, port| match env::find(name) {
            Ok(None) if in_cluster => Ok(Some(SocketAddr::from((host, port)))),
            found => found,
        };
        let (any, own) = ([0, 0, 0, 0], [127, 0, 0, 1]);
        let commands = address("NODE_AGENT_COMMANDS", own, 15000)?;
        if let Some(public) = commands.filter(|it: &SocketAddr| !it.ip().is_loopback()) {
            return Err(InvalidConfig::Commands(public));
        }
        Ok(Self {
            health: address("NODE_AGENT_HEALTH", any, 8000)?,
            metrics: address("NODE_AGENT_METRICS", any, 15014)?,
            commands,
            zds_socket: env::text("ZTUNNEL_UDS_ADDRESS", "/var/run/ztunnel/ztunnel.sock").into(),
            rules: Rules {
                excluded_namespaces: excluded.map(str::to_owned).collect(),
                dns_capture: env::boolean("AMBIENT_DNS_CAPTURE", true)?,
            },
            grace: if in_cluster { GRACE } else { Duration::ZERO },
            origin,
        })
    }
}

fn kubernetes() -> Result<Kubernetes, InvalidConfig> {
    let required = |name| env::find_text(name).ok_or(InvalidConfig::Missing(name));
    Ok(Kubernetes {
        node: required("NODE_NAME")?,
        namespace: required("POD_NAMESPACE")?,
        daemon_set: env::text("DAEMON_SET", "adit-node-agent"),
        proc: env::text("HOST_PROC", "/host/proc").into(),
        removes_taint: env::boolean("REMOVE_NODE_TAINT", false)?,
        places: Places {
            bin_dir: env::text("CNI_BIN_DIR", "/host/opt/cni/bin").into(),
            conf_dir: env::text("CNI_CONF_DIR", "/host/etc/cni/net.d").into(),
            conf_name: env::find_text("CNI_CONF_NAME"),
            run_dir: env::text("CNI_RUN_DIR", "/var/run/adit-cni").into(),
        },
    })
}
