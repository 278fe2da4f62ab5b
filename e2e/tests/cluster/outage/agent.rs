//! The node agent is away: new pods wait, and none ever runs uncaptured (CNI-01, UP-15).

use std::time::Duration;

use adit_e2e::manifests::EchoPod;
use adit_e2e::{Calls, SYSTEM, Scene, Workload, eventually};
use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

const AGENT: &str = "adit-node-agent";

/// Leaves the DaemonSet without a node to run on, as an upgrade that has got stuck would; or no longer.
async fn banish(scene: &Scene, nowhere: Option<&str>) -> Result<()> {
    let api: Api<DaemonSet> = Api::namespaced(scene.cluster.client(), SYSTEM);
    let pod = json!({ "nodeSelector": { "adit-e2e/nowhere": nowhere } });
    let patch = json!({ "spec": { "template": { "spec": pod } } });
    api.patch(AGENT, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn said_of(scene: &Scene, pod: &str) -> Result<Vec<String>> {
    let api: Api<Event> = Api::namespaced(scene.cluster.client(), &scene.namespace);
    let events = api.list(&ListParams::default().fields(&format!("involvedObject.name={pod}"))).await?;
    Ok(events.items.into_iter().filter_map(|event| event.reason).collect())
}

/// While no agent runs.
async fn meanwhile(scene: &Scene, url: &str) -> Result<()> {
    eventually(Duration::from_secs(120), async || {
        let left = scene.cluster.pods(SYSTEM, &format!("app={AGENT}")).await?;
        ensure!(left.is_empty(), "{} agents are left", left.len());
        Ok(())
    })
    .await?;
    scene.until("client", &[url, "-n5"], Calls::all_ok).await?;
    scene.apply(&EchoPod::new("waiting").manifest()).await?;
    eventually(Duration::from_secs(60), async || {
        let said = said_of(scene, "waiting").await?;
        ensure!(said.iter().any(|reason| reason == "FailedCreatePodSandBox"), "{said:?}");
        Ok(())
    })
    .await?;
    let pod = scene.object("v1", "Pod", "waiting").await?;
    ensure!(pod["status"]["phase"] == "Pending", "it runs: {}", pod["status"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cni_01_new_pods_wait_for_the_agent_and_never_run_uncaptured() {
    Scene::play("cni_01_agent", true, async |scene: Scene| {
        let url = scene.pair().await?;
        banish(&scene, Some("true")).await?;
        // Whatever happens, the agent comes back: other tests need it.
        let waited = meanwhile(&scene, &url).await;
        banish(&scene, None).await?;
        scene.cluster.settled(SYSTEM, Workload::DaemonSet(AGENT)).await?;
        waited?;
        scene.captured(&["waiting"]).await?;
        scene.until("waiting", &[&url, "-n5"], Calls::all_ok).await.map(drop)
    })
    .await;
}
