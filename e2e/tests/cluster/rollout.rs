//! Exchanging every part of the mesh, and the application, while requests go on. Run one at a time: each
//! disturbs the whole mesh, and each measures.

use std::path::Path;

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, Pressure, SYSTEM, Scene, Workload};
use anyhow::{Context, Result, ensure};
use tokio::process::Command;

const USE: &str = "istio.io/use-waypoint";

/// A client and a server of two pods, one on each node where there are two. A pod that ends serves on until
/// everybody knows.
async fn shop(scene: &Scene) -> Result<String> {
    scene.apply(&EchoPod::new("client").manifest()).await?;
    let ending = "\nterminationGracePeriodSeconds: 20\n";
    let spec = EchoPod::new("server").spec().replace("\nterminationGracePeriodSeconds: 2\n", ending);
    ensure!(spec.contains(ending), "the manifest of a pod has changed");
    let spec = format!("{spec}\n  lifecycle: {{ preStop: {{ sleep: {{ seconds: 5 }} }} }}")
        .replace('\n', "\n      ");
    scene
        .apply(&format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{ name: server }}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: server }}\nspec:\n  replicas: 2\n  strategy: {{ rollingUpdate: {{ maxUnavailable: 0 }} }}\n  selector: {{ matchLabels: {{ app: server }} }}\n  template:\n    metadata: {{ labels: {{ app: server }} }}\n    spec:\n      {spec}\n"
        ))
        .await?;
    scene.apply(&service("server", "server")).await?;
    scene.captured(&["client"]).await?;
    scene.cluster.settled(&scene.namespace, Workload::Deployment("server")).await?;
    let url = format!("http://{}/", scene.host("server"));
    scene.until("client", &[&url, "-n10"], Calls::all_ok).await?;
    Ok(url)
}

/// Ends the load; not one request may have failed, and the mesh works on.
async fn lost_nothing(scene: &Scene, load: Pressure, url: &str, what: &str) -> Result<()> {
    let sustained = load.end().await?;
    sustained.say(what);
    sustained.lost_nothing()?;
    scene.until("client", &[url, "-n10"], Calls::all_ok).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn up_20_the_controller() {
    Scene::play("up_20_controller", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        let load = scene.press("client", &url);
        scene.cluster.restart(SYSTEM, Workload::Deployment("adit-controller")).await?;
        lost_nothing(&scene, load, &url, "restart of the controller").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_15_the_node_agent() {
    Scene::play("up_15_node_agent", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        let load = scene.press("client", &url);
        scene.cluster.restart(SYSTEM, Workload::DaemonSet("adit-node-agent")).await?;
        lost_nothing(&scene, load, &url, "restart of the node agents").await?;
        // The new agents do what the old ones did.
        scene.apply(&EchoPod::new("late").manifest()).await?;
        scene.captured(&["late"]).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_18_a_waypoint_of_two_pods() {
    Scene::play("up_18_waypoint", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        scene.apply(&waypoint("waypoint")).await?;
        scene
            .condition(("gateway.networking.k8s.io/v1", "Gateway", "waypoint"), "Programmed", "True")
            .await?;
        scene.cluster.scale(&scene.namespace, "waypoint", 2).await?;
        scene.label("v1", "Service", "server", (USE, Some("waypoint"))).await?;
        let l7 = |calls: &Calls| Calls::all_ok(calls) && calls.iter().all(|it| it.is_l7());
        scene.until("client", &[&url, "-n20"], l7).await?;
        let load = scene.press("client", &url);
        scene.cluster.restart(&scene.namespace, Workload::Deployment("waypoint")).await?;
        lost_nothing(&scene, load, &url, "restart of a waypoint of two pods").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_01_the_application() {
    Scene::play("up_01_application", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        let load = scene.press("client", &url);
        scene.cluster.restart(&scene.namespace, Workload::Deployment("server")).await?;
        lost_nothing(&scene, load, &url, "restart of the application").await
    })
    .await;
}

/// Connections that are open when a ztunnel goes end with it, so this one is measured.
#[tokio::test(flavor = "multi_thread")]
async fn up_02_ztunnel() {
    Scene::play("up_02_ztunnel", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        let load = scene.press("client", &url);
        scene.cluster.restart(SYSTEM, Workload::DaemonSet("ztunnel")).await?;
        let sustained = load.end().await?;
        sustained.say("restart of ztunnel on all nodes");
        ensure!(sustained.percentage() >= 90.0, "only {:.1} % succeeded", sustained.percentage());
        scene.until("client", &[&url, "-n20"], Calls::all_ok).await.map(drop)
    })
    .await;
}

/// Runs helm in the root of the repository, to its end.
async fn helm(arguments: &[&str]) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")?;
    let output = Command::new("helm").args(arguments).args(["-n", SYSTEM]).current_dir(root).output().await?;
    ensure!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// To the same release, with something else in every pod, so that all are made anew; and back.
async fn upgrade_and_roll_back() -> Result<()> {
    let changes = ["controller", "ztunnel", "cni"].map(|part| format!("--set={part}.podAnnotations.e2e=new"));
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let wait = ["--wait", "--timeout=5m"];
    let upgrade = ["upgrade", "adit", "./helm/adit", "--reuse-values"];
    helm(&[&upgrade[..], &changes, &wait].concat()).await?;
    helm(&["test", "adit", "--timeout=2m"]).await?;
    helm(&[&["rollback", "adit"][..], &wait].concat()).await?;
    helm(&["test", "adit", "--timeout=2m"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn up_01_02_15_20_the_release_is_upgraded_and_rolled_back() {
    Scene::play("up_release", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        let load = scene.press("client", &url);
        upgrade_and_roll_back().await?;
        for workload in [
            Workload::Deployment("adit-controller"),
            Workload::DaemonSet("adit-node-agent"),
            Workload::DaemonSet("ztunnel"),
        ] {
            scene.cluster.settled(SYSTEM, workload).await?;
        }
        lost_nothing(&scene, load, &url, "upgrade and rollback of the release").await
    })
    .await;
}
