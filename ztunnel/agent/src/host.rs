//! Probes of the kubelet, in the node's own network: what a process of the node sends
//! to an enrolled pod leaves with an address that the pod's rules let pass.

pub mod rules;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use mesh_net::namespace::Namespace;

use crate::capture::nft;

/// The rules of one node.
pub struct Host {
    namespace: Namespace,
    /// What the rules hold, as far as this agent knows.
    probed: Option<BTreeSet<IpAddr>>,
}

impl Host {
    /// The node whose own network is `namespace`.
    pub fn new(namespace: Namespace) -> Self {
        Self { namespace, probed: None }
    }

    /// Lets the node's probes reach exactly these pods, whatever was there of ours before.
    pub async fn probe(&mut self, pods: &BTreeSet<IpAddr>) -> io::Result<()> {
        if self.probed.as_ref() == Some(pods) {
            return Ok(());
        }
        // What cannot be said is tried anew as a whole.
        self.probed = None;
        nft::run(&self.namespace, &rules::ruleset(pods)).await?;
        self.probed = Some(pods.clone());
        Ok(())
    }

    /// Adds to the pods that probes reach.
    pub async fn probe_also(&mut self, pods: &BTreeSet<IpAddr>) -> io::Result<()> {
        let all = self.probed.iter().flatten().chain(pods).copied().collect();
        self.probe(&all).await
    }

    /// Removes every rule of ours from the node.
    pub async fn clear(&mut self) -> io::Result<()> {
        self.probed = None;
        nft::run(&self.namespace, &rules::removal()).await
    }
}
