//! Coming into the mesh and leaving it, by labels, without a restart.

use std::time::Duration;

use adit_e2e::manifests::{EchoPod, service};
use adit_e2e::{Calls, Scene};
use anyhow::{Context, Result, ensure};

const MODE: &str = "istio.io/dataplane-mode";

async fn two(scene: &Scene) -> Result<()> {
    for name in ["client", "server"] {
        scene.apply(&EchoPod::new(name).manifest()).await?;
        scene.apply(&service(name, name)).await?;
    }
    scene.ready("app=client", 1).await?;
    scene.ready("app=server", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_01_a_namespace_comes_and_goes_while_its_pods_run() {
    Scene::play("cap_01_namespace", false, async |scene: Scene| {
        two(&scene).await?;
        let restarts = async || -> Result<Vec<String>> {
            let pods = scene.cluster.pods(&scene.namespace, "").await?;
            Ok(pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect())
        };
        let before = restarts().await?;
        scene.label("v1", "Namespace", &scene.namespace, (MODE, Some("ambient"))).await?;
        scene.captured(&["client", "server"]).await?;
        let url = format!("http://{}/", scene.host("server"));
        scene.until("client", &[&url, "-n3"], Calls::all_ok).await?;
        // A pod's own word counts more than its namespace's.
        scene.label("v1", "Pod", "server", (MODE, Some("none"))).await?;
        scene.redirection("server", None).await?;
        scene.until("client", &[&url, "-n3"], Calls::all_ok).await?;
        scene.label("v1", "Pod", "server", (MODE, None)).await?;
        scene.redirection("server", Some("enabled")).await?;
        scene.label("v1", "Namespace", &scene.namespace, (MODE, None)).await?;
        scene.redirection("client", None).await?;
        scene.redirection("server", None).await?;
        scene.until("client", &[&url, "-n3"], Calls::all_ok).await?;
        ensure!(before == restarts().await?, "pods were made anew");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_02_a_running_server_leaves_and_comes_back_under_load() {
    Scene::play("cap_02_toggle", true, async |scene: Scene| {
        two(&scene).await?;
        scene.captured(&["client", "server"]).await?;
        let url = format!("http://{}/", scene.host("server"));
        scene.until("client", &[&url], Calls::all_ok).await?;
        let load = scene.load("client", &url, 400, "50ms");
        for _ in 0..3 {
            scene.label("v1", "Pod", "server", (MODE, Some("none"))).await?;
            tokio::time::sleep(Duration::from_millis(500)).await; // as long as the behaviour says
            scene.label("v1", "Pod", "server", (MODE, None)).await?;
            scene.redirection("server", Some("enabled")).await?;
        }
        let calls = load.end().await?;
        let failed = calls.failures();
        println!("cap_02: {} of {} calls failed", failed.len(), calls.len());
        ensure!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), calls.len(), failed.first());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cni_14_probes_of_every_kind_pass_when_plain_text_is_refused() {
    Scene::play("cni_14_probes", true, async |scene: Scene| {
        scene
            .apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: strict }\nspec: { mtls: { mode: STRICT } }\n")
            .await?;
        for (name, probe) in [
            ("by-http", "httpGet: { path: /healthz, port: 8080 }"),
            ("by-tcp", "tcpSocket: { port: 9090 }"),
            ("by-grpc", "grpc: { port: 8080 }"),
            ("by-exec", "exec: { command: [/adit, echo, call, 'http://localhost:8080/healthz'] }"),
        ] {
            let pod = EchoPod::new(name).manifest();
            let readiness = "readinessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 1 }";
            ensure!(pod.contains(readiness), "the manifest of a pod has changed");
            let probes = format!(
                "readinessProbe: {{ {probe}, periodSeconds: 1 }}\n    livenessProbe: {{ {probe}, periodSeconds: 1, failureThreshold: 2 }}"
            );
            scene.apply(&pod.replace(readiness, &probes)).await?;
        }
        let names = ["by-http", "by-tcp", "by-grpc", "by-exec"];
        scene.captured(&names).await?;
        // Ten probes of each kind have come and gone.
        tokio::time::sleep(Duration::from_secs(10)).await;
        for name in names {
            let pod = scene.object("v1", "Pod", name).await?;
            let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
            ensure!(restarts == 0, "{name} was restarted {restarts} times");
            scene.ready(&format!("app={name}"), 1).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_12_the_api_server_knows_a_captured_pod_by_its_token() {
    Scene::play("cap_12_api_server", true, async |scene: Scene| {
        // The operator's own client, from inside a captured pod: TLS to the API server passes unchanged.
        let pod = EchoPod::new("caller").manifest().replace(
            "[echo, --http=8080, --tcp=9090, --server-first=9091, --name=caller, --version=v1]",
            "[withdraw, --namespace=does-not-exist, --revision=none]",
        );
        let pod = pod.replace("  containers:", "  restartPolicy: Never\n  containers:");
        scene.apply(&pod).await?;
        adit_e2e::eventually(Duration::from_secs(90), async || {
            let log = scene.cluster.logs(&scene.namespace, "caller").await?;
            let who = format!("system:serviceaccount:{}:caller", scene.namespace);
            ensure!(log.contains(&who), "the API server has not named {who}: {log}");
            Ok(())
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_made_again_at_once_under_the_same_name_are_reached() {
    Scene::play("made_again", true, async |scene: Scene| {
        two(&scene).await?;
        scene.captured(&["client", "server"]).await?;
        let url = format!("http://{}/", scene.host("server"));
        for round in 0..3 {
            let pod = EchoPod::new("server").manifest();
            let (_, pod) = pod.split_once("---\n").context("two documents")?;
            scene.delete(pod).await?;
            adit_e2e::eventually(Duration::from_secs(30), async || {
                ensure!(scene.object("v1", "Pod", "server").await.is_err(), "still there");
                Ok(())
            })
            .await?;
            scene.apply(pod).await?;
            scene.captured(&["server"]).await?;
            scene
                .until("client", &[&url, "-n3"], Calls::all_ok)
                .await
                .with_context(|| format!("round {round}"))?;
        }
        Ok(())
    })
    .await;
}
