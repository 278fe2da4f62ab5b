//! Pods that are never captured, and what tells that one is (CNI-05, CNI-06, CNI-16, HB-01).

use std::time::Duration;

use adit_e2e::manifests::{EchoPod, image, service};
use adit_e2e::{Calls, Cluster, SYSTEM, Scene, eventually};
use anyhow::{Result, ensure};

const MODE: &str = "istio.io/dataplane-mode";
/// One of those that are excluded.
const EXCLUDED: &str = "kube-system";

#[tokio::test(flavor = "multi_thread")]
async fn cni_05_06_pods_of_excluded_namespaces_are_never_captured() {
    Scene::play("cni_05_excluded", true, async |scene: Scene| {
        let name = scene.namespace.as_str();
        let excluded = Scene { namespace: EXCLUDED.to_owned(), ..scene.clone() };
        let pod = EchoPod::new(name).labelled(&["istio.io/dataplane-mode: ambient"]).manifest();
        excluded.apply(&pod).await?;
        let seen = async {
            excluded.ready(&format!("app={name}"), 1).await?;
            // Changed after and captured: the agents have seen the excluded one, and its labels, before.
            excluded.label("v1", "Pod", name, ("touched", Some("true"))).await?;
            for (at, node) in scene.cluster.nodes().await?.iter().enumerate() {
                let name = format!("after-{at}");
                scene.apply(&EchoPod::new(&name).on(node).manifest()).await?;
                scene.captured(&[&name]).await?;
            }
            excluded.redirection(name, None).await
        }
        .await;
        excluded.delete(&pod).await?;
        seen
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cni_16_a_finished_pod_is_taken_out() {
    Scene::play("cni_16_finished", true, async |scene: Scene| {
        scene.apply(&EchoPod::new("server").manifest()).await?;
        scene.apply(&service("server", "server")).await?;
        scene.captured(&["server"]).await?;
        let before = proxies(&scene).await?;
        let url = format!("http://{}/", scene.host("server"));
        let image = image();
        scene
            .apply(&format!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: once }}\nspec:\n  template:\n    spec:\n      restartPolicy: OnFailure\n      containers: [{{ name: call, image: '{image}', imagePullPolicy: IfNotPresent, args: [echo, call, '{url}'] }}]\n"
            ))
            .await?;
        eventually(Duration::from_secs(90), async || {
            let job = scene.object("batch/v1", "Job", "once").await?;
            ensure!(job["status"]["succeeded"] == 1, "{}", job["status"]);
            Ok(())
        })
        .await?;
        eventually(Duration::from_secs(30), async || {
            let dumps = proxies(&scene).await?;
            ensure!(!dumps.iter().any(|name| name.starts_with("once-")), "{dumps:?}");
            Ok(())
        })
        .await?;
        ensure!(before.iter().any(|name| name == "server"), "a captured pod is not in the dump: {before:?}");
        Ok(())
    })
    .await;
}

/// The pods of the scene that the ztunnels stand in for, by their own word.
async fn proxies(scene: &Scene) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for pod in scene.cluster.pods(SYSTEM, "app=ztunnel").await? {
        let name = pod.metadata.name.unwrap_or_default();
        let dump = scene.cluster.get_inside(SYSTEM, &name, 15000, "/config_dump").await?;
        let dump: serde_json::Value = serde_json::from_str(&dump)?;
        for state in dump["workloadState"].as_object().into_iter().flatten().map(|(_, state)| state) {
            if state["info"]["namespace"] == scene.namespace.as_str() {
                names.push(state["info"]["name"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(names)
}

#[tokio::test(flavor = "multi_thread")]
async fn hb_01_mutual_tls_is_counted_with_both_identities_and_plain_text_without() {
    Scene::play("hb_01_metrics", true, async |scene: Scene| {
        for name in ["client", "server"] {
            scene.apply(&EchoPod::new(name).manifest()).await?;
        }
        scene.apply(&EchoPod::new("plain").labelled(&[&format!("{MODE}: none")]).manifest()).await?;
        scene.apply(&service("server", "server")).await?;
        scene.captured(&["client", "server"]).await?;
        scene.ready("app=plain", 1).await?;
        let url = format!("http://{}/", scene.host("server"));
        for client in ["client", "plain"] {
            scene.until(client, &[&url, "-n3"], Calls::all_ok).await?;
        }
        let identity = |account: &str| format!("spiffe://cluster.local/ns/{}/sa/{account}", scene.namespace);
        for (source, policy) in [(identity("client"), "mutual_tls"), ("unknown".to_owned(), "unknown")] {
            let labels = [
                "reporter=\"destination\"".to_owned(),
                format!("connection_security_policy=\"{policy}\""),
                format!("source_principal=\"{source}\""),
                format!("destination_workload_namespace=\"{}\"", scene.namespace),
            ];
            eventually(Duration::from_secs(30), async || {
                let opened = opened(&scene.cluster, &labels).await?;
                ensure!(opened >= 3.0, "{opened} connections with {labels:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await;
}

/// Connections that the ztunnels have counted under these labels.
async fn opened(cluster: &Cluster, labels: &[String]) -> Result<f64> {
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut opened = 0.0;
    for pod in cluster.pods(SYSTEM, "app=ztunnel").await? {
        let name = pod.metadata.name.unwrap_or_default();
        let metrics = cluster.metrics(SYSTEM, &name, 15020).await?;
        opened += metrics.sum("istio_tcp_connections_opened_total", &labels);
    }
    Ok(opened)
}
