//! Who reaches whom, by what: pods on one node and on two, in the mesh and not, by every kind of Service.

use adit_e2e::manifests::{EchoPod, image, service};
use adit_e2e::{Calls, Scene, eventually};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// A client and a server, on the first node and on the last.
async fn pair(scene: &Scene) -> Result<()> {
    let nodes = scene.cluster.nodes().await?;
    let (near, far) = (nodes[0].as_str(), nodes[nodes.len() - 1].as_str());
    let pods = [EchoPod::new("client").on(near), EchoPod::new("near").on(near), EchoPod::new("far").on(far)];
    for pod in &pods {
        scene.apply(&pod.manifest()).await?;
        scene.apply(&service(pod.name, pod.name)).await?;
    }
    scene.captured(&["client", "near", "far"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_03_services_on_the_same_and_on_another_node_by_every_protocol() {
    Scene::play("cap_03_services", true, async |scene: Scene| {
        pair(&scene).await?;
        for server in ["near", "far"] {
            let host = scene.host(server);
            for url in [format!("http://{host}/"), format!("grpc://{host}:7070")] {
                let calls = scene.until("client", &[&url, "-n5"], Calls::all_ok).await?;
                ensure!(calls.iter().all(|it| it.field("pod") == server), "{url}: {calls:?}");
                ensure!(
                    calls.iter().all(|it| !it.is_l7()),
                    "cap_04: {url} went through an L7 proxy: {calls:?}"
                );
            }
            let http2 = scene.call("client", &[&format!("http://{host}/"), "--http2"]).await?;
            ensure!(Calls::all_ok(&http2), "{http2:?}");
            let tcp = scene.call("client", &[&format!("tcp://{host}:9090"), "-d", "line"]).await?;
            ensure!(tcp.iter().all(|it| it.text().contains(": line")), "{tcp:?}");
            // CAP-06: whoever waits for the client's first byte hangs here.
            let first =
                scene.call("client", &[&format!("tcp://{host}:9091"), "--server-first", "-d", "x"]).await?;
            ensure!(first.iter().all(|it| it.text().starts_with("hello from")), "{first:?}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_05_the_application_sees_the_address_of_the_client_and_the_log_both_identities() {
    Scene::play("cap_05_source", true, async |scene: Scene| {
        pair(&scene).await?;
        let client = scene.object("v1", "Pod", "client").await?;
        let address = client["status"]["podIP"].as_str().context("no address")?.to_owned();
        for server in ["near", "far"] {
            let url = format!("http://{}/", scene.host(server));
            let calls = scene.until("client", &[&url], Calls::all_ok).await?;
            let source = calls.iter().next().map(|it| it.field("source").to_owned()).unwrap_or_default();
            ensure!(
                source.starts_with(&format!("{address}:")),
                "{server} saw {source}, the client is {address}"
            );
        }
        let identity = |account: &str| format!("spiffe://cluster.local/ns/{}/sa/{account}", scene.namespace);
        // CAP-17: on one node too.
        for server in ["near", "far"] {
            eventually(Duration::from_secs(10), async || {
                let log = scene.cluster.ztunnel_logs().await?;
                let both =
                    |line: &&str| line.contains(&identity("client")) && line.contains(&identity(server));
                log.lines().find(both).map(|_| ()).context("no line of ztunnel's log has both identities")
            })
            .await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_08_09_10_calls_of_oneself_and_of_addresses() {
    Scene::play("cap_08_addresses", true, async |scene: Scene| {
        pair(&scene).await?;
        let address = async |pod: &str| -> Result<String> {
            let pod = scene.object("v1", "Pod", pod).await?;
            Ok(pod["status"]["podIP"].as_str().context("no address")?.to_owned())
        };
        let own = address("client").await?;
        let far = address("far").await?;
        for url in [
            "http://localhost:8080/".to_owned(),
            format!("http://{own}:8080/"),
            format!("http://{}/", scene.host("client")),
            format!("http://{far}:8080/"),
        ] {
            scene.until("client", &[&url, "-n3"], Calls::all_ok).await.with_context(|| url.clone())?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_service_and_of_workload() {
    Scene::play("kinds_of_service", true, async |scene: Scene| {
        pair(&scene).await?;
        let pod = EchoPod::new("stateful").spec().replace('\n', "\n      ");
        let job = image();
        scene
            .apply(&format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{ name: headless }}\nspec:\n  clusterIP: None\n  selector: {{ app: stateful }}\n  ports: [{{ name: http, port: 8080 }}]\n---\n\
                 apiVersion: v1\nkind: ServiceAccount\nmetadata: {{ name: stateful }}\n---\n\
                 apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{ name: stateful }}\nspec:\n  serviceName: headless\n  replicas: 2\n  selector: {{ matchLabels: {{ app: stateful }} }}\n  template:\n    metadata: {{ labels: {{ app: stateful }} }}\n    spec:\n      {pod}\n---\n\
                 apiVersion: v1\nkind: Service\nmetadata: {{ name: outside }}\nspec: {{ type: NodePort, selector: {{ app: far }}, ports: [{{ name: http, port: 80, targetPort: 8080 }}] }}\n---\n\
                 apiVersion: v1\nkind: Service\nmetadata: {{ name: alias }}\nspec: {{ type: ExternalName, externalName: {far} }}\n---\n\
                 apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: caller }}\nspec:\n  template:\n    spec:\n      restartPolicy: OnFailure\n      containers: [{{ name: call, image: {job}, imagePullPolicy: IfNotPresent, args: [echo, call, 'http://{far}/', '-n3'] }}]\n",
                far = scene.host("far"),
            ))
            .await?;
        scene.ready("app=stateful", 2).await?;
        scene.until("client", &[&format!("http://{}:8080/", scene.host("headless")), "-n5"], Calls::all_ok).await?;
        for ordinal in 0..2 {
            let name = format!("stateful-{ordinal}");
            let url = format!("http://{name}.{}:8080/", scene.host("headless"));
            let calls = scene.until("client", &[&url, "-n3"], Calls::all_ok).await?;
            ensure!(calls.count("pod", &name) == 3, "{calls:?}");
        }
        scene.until("client", &[&format!("http://{}/", scene.host("alias"))], Calls::all_ok).await?;
        let service = scene.object("v1", "Service", "outside").await?;
        let port = service["spec"]["ports"][0]["nodePort"].as_u64().context("no node port")?;
        for node in scene.cluster.nodes().await? {
            let node = scene.object("v1", "Node", &node).await?;
            let addresses = node["status"]["addresses"].as_array().context("no addresses")?;
            let internal = addresses.iter().find(|it| it["type"] == "InternalIP").context("no address")?;
            let url = format!("http://{}:{port}/", internal["address"].as_str().unwrap_or_default());
            scene.until("client", &[&url], Calls::all_ok).await.with_context(|| url.clone())?;
        }
        // CNI-16: a job in the mesh ends, and is done.
        eventually(Duration::from_secs(60), async || {
            let job = scene.object("batch/v1", "Job", "caller").await?;
            ensure!(job["status"]["succeeded"] == 1, "the job has not succeeded: {}", job["status"]);
            Ok(())
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cap_15_16_captured_and_not_in_every_pairing_and_pods_on_the_nodes_network() {
    Scene::play("cap_15_pairings", true, async |scene: Scene| {
        let nodes = scene.cluster.nodes().await?;
        let far = nodes[nodes.len() - 1].as_str();
        let plain = ["istio.io/dataplane-mode: none"];
        let pods = [
            EchoPod::new("in-a").on(&nodes[0]),
            EchoPod::new("in-b").on(far),
            EchoPod::new("out-a").on(&nodes[0]).labelled(&plain),
            EchoPod::new("out-b").on(far).labelled(&plain),
        ];
        for pod in &pods {
            scene.apply(&pod.manifest()).await?;
            scene.apply(&service(pod.name, pod.name)).await?;
        }
        let node = EchoPod { host_network: true, ..EchoPod::new("on-node").on(far) };
        scene.apply(&node.manifest()).await?;
        scene.captured(&["in-a", "in-b"]).await?;
        for name in ["out-a", "out-b", "on-node"] {
            scene.ready(&format!("app={name}"), 1).await?;
            scene.redirection(name, None).await?;
        }
        let servers = ["in-a", "in-b", "out-a", "out-b"];
        for client in ["in-a", "in-b", "out-a", "out-b", "on-node"] {
            for server in servers {
                let url = format!("http://{}/", scene.host(server));
                scene
                    .until(client, &[&url, "-n2"], Calls::all_ok)
                    .await
                    .with_context(|| format!("{client} → {server}"))?;
            }
        }
        let node = scene.object("v1", "Pod", "on-node").await?;
        let url = format!("http://{}:18080/", node["status"]["podIP"].as_str().unwrap_or_default());
        for client in ["in-a", "in-b", "out-a"] {
            scene
                .until(client, &[&url], Calls::all_ok)
                .await
                .with_context(|| format!("{client} → the node"))?;
        }
        Ok(())
    })
    .await;
}
