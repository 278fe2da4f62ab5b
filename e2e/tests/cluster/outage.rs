//! What goes on while the API server or the controller is away, and that all is well when it is back. Run one
//! at a time.

mod agent;
mod kinds;
mod leader;

use std::env;
use std::time::Duration;

use adit_e2e::manifests::{EchoPod, image, service};
use adit_e2e::{Calls, Removed, SYSTEM, Scene, can_enter, eventually};
use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

const CONTROLLER: &str = "adit-controller";
/// The API server and its kubelet need this to come back.
const RETURN: Duration = Duration::from_secs(120);

/// How long it is away: short, or as long as `E2E_LONG=1` asks for.
fn outage(short: u64, long: u64) -> Duration {
    let is_long = env::var("E2E_LONG").is_ok_and(|it| it == "1");
    Duration::from_secs(if is_long { long } else { short })
}

/// A client and a server; of the client also one that calls all by itself for so long, ten times a second, and
/// writes what it hears into its log: nobody can be reached by way of the API server while that is away.
async fn shop(scene: &Scene, length: Duration) -> Result<String> {
    let url = scene.pair().await?;
    let count = length.as_secs() * 10;
    scene
        .apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: caller, labels: {{ app: caller }} }}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: call\n    image: {image}\n    imagePullPolicy: IfNotPresent\n    args: [echo, call, --json, --timeout=10s, --interval=100ms, -n{count}, '{url}']\n",
            image = image(),
        ))
        .await?;
    scene.ready("app=caller", 1).await?;
    scene.redirection("caller", Some("enabled")).await?;
    Ok(url)
}

/// Waits until the caller has made its last call; not one may have failed.
async fn caller_lost_nothing(scene: &Scene, length: Duration) -> Result<()> {
    eventually(length + RETURN, async || {
        let phase = scene.object("v1", "Pod", "caller").await?["status"]["phase"].clone();
        ensure!(phase == "Succeeded" || phase == "Failed", "the caller is {phase}");
        Ok(())
    })
    .await?;
    let calls = Calls::read(&scene.cluster.logs(&scene.namespace, "caller").await?);
    let failed = calls.failures();
    println!("{} of {} calls failed", failed.len(), calls.len());
    ensure!(calls.len() as u64 == length.as_secs() * 10, "{} calls are in the log", calls.len());
    ensure!(failed.is_empty(), "{} of {} calls failed: {:?}", failed.len(), calls.len(), failed.first());
    Ok(())
}

/// A pod that comes afterwards is as good as any.
async fn joins(scene: &Scene, name: &str) -> Result<()> {
    scene.captured(&[name]).await?;
    let url = format!("http://{}/", scene.host(name));
    scene.until("client", &[&url, "-n5"], Calls::all_ok).await.context("to it")?;
    let url = format!("http://{}/", scene.host("server"));
    scene.until(name, &[&url, "-n5"], Calls::all_ok).await.context("from it").map(drop)
}

async fn control_plane(scene: &Scene) -> Result<String> {
    for node in scene.cluster.nodes().await? {
        let object = scene.object("v1", "Node", &node).await?;
        if !object["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_null() {
            return Ok(node);
        }
    }
    anyhow::bail!("no node runs the control plane")
}

#[tokio::test(flavor = "multi_thread")]
async fn up_11_the_api_server_is_away() {
    if !can_enter() {
        println!("left out: the API server can only be taken away with E2E_NODE_EXEC=docker");
        return;
    }
    Scene::play("up_11_api_server", true, async |scene: Scene| {
        let length = outage(20, 60);
        // The caller goes on before, during and after.
        let calling = length + Duration::from_secs(40);
        shop(&scene, calling).await?;
        let removed = Removed::api_server(&control_plane(&scene).await?)?;
        let version = scene.cluster.client();
        eventually(RETURN, async || {
            ensure!(version.apiserver_version().await.is_err(), "the API server still answers");
            Ok(())
        })
        .await?;
        sleep(length).await; // the outage itself
        drop(removed);
        eventually(RETURN, async || Ok(version.apiserver_version().await?)).await?;
        caller_lost_nothing(&scene, calling).await?;
        scene.apply(&EchoPod::new("late").manifest()).await?;
        scene.apply(&service("late", "late")).await?;
        joins(&scene, "late").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_11_the_controller_is_away() {
    Scene::play("up_11_controller", true, async |scene: Scene| {
        let length = outage(30, 300);
        let calling = length + Duration::from_secs(10);
        shop(&scene, calling).await?;
        let replicas = scene.cluster.replicas(SYSTEM, CONTROLLER).await?;
        scene.cluster.scale(SYSTEM, CONTROLLER, 0).await?;
        // Whatever happens, the controller comes back: other tests need it.
        let meanwhile = async {
            scene.apply(&EchoPod::new("late").manifest()).await?;
            scene.apply(&service("late", "late")).await?;
            sleep(length).await; // the outage itself
            let phase = scene.object("v1", "Pod", "late").await?["status"]["phase"].clone();
            println!("a pod that came while the controller was away is {phase}");
            caller_lost_nothing(&scene, calling).await
        };
        let meanwhile = meanwhile.await;
        scene.cluster.scale(SYSTEM, CONTROLLER, replicas).await?;
        meanwhile?;
        joins(&scene, "late").await
    })
    .await;
}
