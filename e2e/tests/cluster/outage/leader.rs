//! Several controllers: all serve, one leads, and another takes its place when it is killed.

use std::time::Duration;

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, SYSTEM, Scene, eventually};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;

use super::CONTROLLER;

/// What the leader holds.
const LEASE: &str = "adit-controller-leader";
/// A lease that is not renewed is waited for, and then somebody has to notice.
const SUCCESSION: Duration = Duration::from_secs(60);

async fn leader(scene: &Scene) -> Result<String> {
    let api: Api<Lease> = Api::namespaced(scene.cluster.client(), SYSTEM);
    let lease = api.get(LEASE).await?.spec.context("a lease without a spec")?;
    lease.holder_identity.filter(|holder| !holder.is_empty()).context("nobody leads")
}

/// Ends a pod as a node does that loses its power.
async fn kill(scene: &Scene, pod: &str) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(scene.cluster.client(), SYSTEM);
    api.delete(pod, &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// While three run.
async fn succession(scene: &Scene) -> Result<()> {
    let before = leader(scene).await?;
    let pods = scene.cluster.pods(SYSTEM, &format!("app={CONTROLLER}")).await?;
    let names: Vec<String> = pods.into_iter().filter_map(|pod| pod.metadata.name).collect();
    ensure!(names.contains(&before), "{before} leads and is none of {names:?}");
    kill(scene, &before).await?;
    // What only a leader does, for what has come since.
    scene.apply(&waypoint("waypoint")).await?;
    scene.apply(&EchoPod::new("late").manifest()).await?;
    scene.apply(&service("late", "late")).await?;
    let after = eventually(SUCCESSION, async || {
        let now = leader(scene).await?;
        ensure!(now != before, "{before} still leads");
        Ok(now)
    })
    .await?;
    println!("{after} leads after {before}");
    let at = ("gateway.networking.k8s.io/v1", "Gateway", "waypoint");
    scene.condition(at, "Programmed", "True").await?;
    scene.captured(&["late"]).await?;
    let url = format!("http://{}/", scene.host("late"));
    scene.until("client", &[&url, "-n5"], Calls::all_ok).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn up_20_another_controller_leads_when_the_leader_is_killed() {
    Scene::play("up_20_leader", true, async |scene: Scene| {
        scene.apply(&EchoPod::new("client").manifest()).await?;
        scene.captured(&["client"]).await?;
        let replicas = scene.cluster.replicas(SYSTEM, CONTROLLER).await?;
        scene.cluster.scale(SYSTEM, CONTROLLER, 3).await?;
        // Whatever happens, other tests find as many controllers as before.
        let succeeded = succession(&scene).await;
        scene.cluster.scale(SYSTEM, CONTROLLER, replicas).await?;
        succeeded
    })
    .await;
}
