//! What is done to a node from outside, where nodes are containers of this machine.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The manifest by which the kubelet runs the API server.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Where it lies meanwhile: not in a folder that the kubelet watches.
const ASIDE: &str = "/etc/kubernetes/kube-apiserver.yaml";

/// The API server, taken away until this is dropped.
pub struct Removed {
    node: String,
}

/// Whether nodes can be entered: `E2E_NODE_EXEC=docker` says so.
pub fn can_enter() -> bool {
    env::var("E2E_NODE_EXEC").is_ok_and(|how| how == "docker")
}

impl Removed {
    /// Takes the API server of a node away.
    pub fn api_server(node: &str) -> Result<Self> {
        ensure!(can_enter(), "nodes cannot be entered here");
        run(node, &["mv", MANIFEST, ASIDE])?;
        Ok(Removed { node: node.to_owned() })
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = run(&self.node, &["mv", ASIDE, MANIFEST]) {
            eprintln!("the API server of {} is not put back: {error:#}", self.node);
        }
    }
}

fn run(node: &str, command: &[&str]) -> Result<()> {
    let output = Command::new("docker").args(["exec", node]).args(command).output().context("docker")?;
    ensure!(output.status.success(), "{command:?} on {node}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
