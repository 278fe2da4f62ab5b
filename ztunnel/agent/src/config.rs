//! What the node agent has to be told.

use std::net::SocketAddr;
use std::path::PathBuf;

use mesh_runtime::env::{self, InvalidEnv};

use crate::enrolment::Rules;

/// Settings of a node agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the records of the node's pods are, one file each.
    pub pods: PathBuf,
    /// Where to write what became of each pod.
    pub results: PathBuf,
    /// The socket ztunnel connects to.
    pub zds_socket: PathBuf,
    /// Where to answer `/healthz` and `/readyz`; nowhere when absent.
    pub health: Option<SocketAddr>,
    /// Who may be enrolled, and how.
    pub rules: Rules,
}

impl Config {
    /// Settings from `NODE_AGENT_PODS`, `NODE_AGENT_RESULTS`, `NODE_AGENT_HEALTH`,
    /// `ZTUNNEL_UDS_ADDRESS`, `EXCLUDE_NAMESPACES` (comma separated) and `AMBIENT_DNS_CAPTURE`.
    pub fn from_env() -> Result<Self, InvalidEnv> {
        let excluded = env::text("EXCLUDE_NAMESPACES", "kube-system");
        Ok(Self {
            pods: env::text("NODE_AGENT_PODS", "/var/run/adit/pods").into(),
            results: env::text("NODE_AGENT_RESULTS", "/var/run/adit/results").into(),
            zds_socket: env::text("ZTUNNEL_UDS_ADDRESS", "/var/run/ztunnel/ztunnel.sock").into(),
            health: env::find("NODE_AGENT_HEALTH")?,
            rules: Rules {
                excluded_namespaces: excluded.split(',').map(|name| name.trim().to_owned()).collect(),
                dns_capture: env::boolean("AMBIENT_DNS_CAPTURE", false)?,
            },
        })
    }
}
