//! The taint that keeps pods off a node until its agent is ready: a pod that came earlier would wait in vain, or start
//! uncaptured where the plugin is not there yet. Whoever makes nodes sets it; the agent takes it away, and nothing
//! else, whenever it is there and the agent is ready (CNI-07).

use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use mesh_runtime::readiness::Readiness;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::backoff::ShortBackoff;

/// As Istio calls it, for the sake of those who set it.
const KEY: &str = "cni.istio.io/not-ready";
/// Before looking again whether the agent is ready, which nothing tells.
const POLL: Duration = Duration::from_millis(500);
/// Before trying again what failed.
const RETRY: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(10);
/// How often a write is tried again because somebody else wrote in between.
const CONFLICTS: usize = 5;

/// Keeps the taint off that node for as long as it runs.
pub(super) async fn keep_off(client: kube::Client, node: String, readiness: Readiness) {
    let nodes: Api<Node> = Api::all(client);
    let own = watcher::Config::default().fields(&format!("metadata.name={node}"));
    let mut events = watcher(nodes.clone(), own).backoff(ShortBackoff::default()).boxed();
    let mut is_tainted = false;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found))) => {
                    is_tainted = taints(&found).iter().any(is_ours);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => debug!("cannot watch node {node}, trying again: {error}"),
                None => return,
            },
            () = sleep_until(next), if is_tainted => {
                next = Instant::now() + POLL;
                if !readiness.is_ready() {
                    continue;
                }
                let reason = match timeout(DEADLINE, remove(&nodes, &node)).await {
                    Ok(Ok(())) => {
                        info!("the agent is ready: node {node} has no taint {KEY} any more");
                        is_tainted = false;
                        continue;
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no answer within {DEADLINE:?}"),
                };
                warn!("cannot remove taint {KEY} from node {node}, trying again: {reason}");
                next = Instant::now() + RETRY;
            }
        }
    }
}

/// Removes it if it is there; what else the node has stays, also what comes meanwhile.
async fn remove(nodes: &Api<Node>, name: &str) -> kube::Result<()> {
    let mut attempt = 1;
    loop {
        let node = nodes.get(name).await?;
        let taints = taints(&node);
        let others: Vec<&Taint> = taints.iter().filter(|taint| !is_ours(taint)).collect();
        if others.len() == taints.len() {
            return Ok(());
        }
        // The list is replaced as a whole, so it must be the one that was read.
        let version = node.metadata.resource_version.as_deref();
        let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": others } });
        match nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < CONFLICTS => attempt += 1,
            result => return result.map(drop),
        }
    }
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn is_ours(taint: &Taint) -> bool {
    taint.key == KEY
}

#[cfg(test)]
mod tests;
