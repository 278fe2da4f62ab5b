//! Objects that are legal and strange: whoever is beside them does not notice, and they work themselves.

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, SYSTEM, Scene};
use anyhow::{Context, ensure};

const USE: &str = "istio.io/use-waypoint";

#[tokio::test(flavor = "multi_thread")]
async fn wp_32_a_waypoint_that_is_to_use_itself_does_not() {
    Scene::play("wp_32_cycle", true, async |scene: Scene| {
        let url = scene.pair().await?;
        let gateway = waypoint("waypoint")
            .replace("{ name: waypoint }", &format!("{{ name: waypoint, labels: {{ {USE}: waypoint }} }}"));
        scene.apply(&gateway).await?;
        scene.label("v1", "Namespace", &scene.namespace, (USE, Some("waypoint"))).await?;
        let at = ("gateway.networking.k8s.io/v1", "Gateway", "waypoint");
        scene.condition(at, "Programmed", "True").await?;
        let l7 = |calls: &Calls| Calls::all_ok(calls) && calls.iter().all(|it| it.is_l7());
        scene.until("client", &[&url, "-n5"], l7).await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_metadata_and_many_labels_harm_nobody() {
    Scene::play("strange", true, async |scene: Scene| {
        let url = scene.pair().await?;
        let labels: Vec<String> = (0..300).map(|at| format!("label-{at}: {}", "x".repeat(63))).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let strange = r#"    annotations: { strange: "\u0001\uFFFD\u202E\u0000 not quite text" }"#;
        let pod = EchoPod::new("strange").labelled(&labels).manifest();
        let pod =
            pod.replacen("kind: Pod\nmetadata:\n", &format!("kind: Pod\nmetadata:\n{}\n", &strange[2..]), 1);
        scene.apply(&pod).await?;
        scene.apply(&service("strange", "strange")).await?;
        scene.captured(&["strange"]).await?;
        let there = format!("http://{}/", scene.host("strange"));
        scene.until("client", &[&there, "-n3"], Calls::all_ok).await.context("the strange one itself")?;
        scene.until("client", &[&url, "-n3"], Calls::all_ok).await?;
        for pod in scene.cluster.pods(SYSTEM, "").await? {
            let containers = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            let restarts: i32 = containers.iter().map(|it| it.restart_count).sum();
            ensure!(restarts == 0, "{:?} was restarted {restarts} times", pod.metadata.name);
        }
        Ok(())
    })
    .await;
}
