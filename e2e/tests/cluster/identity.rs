//! The certificate authority gives identities to none but those who can prove them.

use std::time::Duration;

use adit_e2e::manifests::EchoPod;
use adit_e2e::{Caller, Cluster, SYSTEM, Scene, eventually};
use anyhow::{Context, Result, ensure};
use tonic::Code;

const AUDIENCE: &str = "istio-ca";
const REFUSALS: &str = "adit_controller_certificate_refusals_total";

/// A controller to ask; all questions go to the same, whose metrics can be compared.
async fn controller(cluster: &Cluster) -> Result<String> {
    let pods = cluster.pods(SYSTEM, "app=adit-controller").await?;
    let living = pods.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    living.and_then(|pod| pod.metadata.name).context("no controller runs")
}

async fn refusals(cluster: &Cluster, controller: &str, reason: &str) -> Result<f64> {
    let metrics = cluster.metrics(SYSTEM, controller, 15014).await?;
    Ok(metrics.sum(REFUSALS, &[&format!("reason=\"{reason}\"")]))
}

/// Makes sure that a question is refused, and that the controller has counted it under this reason.
async fn refused(
    cluster: &Cluster,
    controller: &str,
    token: &str,
    identity: &str,
    reason: &str,
) -> Result<()> {
    let before = refusals(cluster, controller, reason).await?;
    let answer = Caller::new(cluster, controller, token).await?.ask(identity).await?;
    ensure!(answer == Err(Code::Unauthenticated), "{identity} was answered with {answer:?}");
    let after = refusals(cluster, controller, reason).await?;
    ensure!(after > before, "{before} refusals for {reason} before, {after} after");
    Ok(())
}

/// One pod on the first node and one on the last, captured.
async fn two(scene: &Scene) -> Result<Vec<String>> {
    let nodes = scene.cluster.nodes().await?;
    ensure!(nodes.len() > 1, "two nodes are needed");
    scene.apply(&EchoPod::new("near").on(&nodes[0]).manifest()).await?;
    scene.apply(&EchoPod::new("far").on(&nodes[nodes.len() - 1]).manifest()).await?;
    scene.captured(&["near", "far"]).await?;
    Ok(nodes)
}

#[tokio::test(flavor = "multi_thread")]
async fn id_03_a_nodes_proxy_gets_the_identities_of_its_own_node_and_no_others() {
    Scene::play("id_03_forged", true, async |scene: Scene| {
        let nodes = two(&scene).await?;
        let cluster = &scene.cluster;
        let controller = controller(cluster).await?;
        let ztunnel = cluster.pod_on(SYSTEM, "app=ztunnel", &nodes[0]).await?;
        let token = cluster.token(SYSTEM, "ztunnel", &ztunnel, AUDIENCE).await?;
        let identity = |account: &str| format!("spiffe://cluster.local/ns/{}/sa/{account}", scene.namespace);
        // What it may: this is a refusal of the identity, not of everything.
        let answer = Caller::new(cluster, &controller, &token).await?.ask(&identity("near")).await?;
        ensure!(answer == Ok(identity("near")), "the node's own identity was answered with {answer:?}");
        refused(cluster, &controller, &token, &identity("far"), "not_on_node")
            .await
            .context("of another node")?;
        refused(cluster, &controller, &token, &identity("nobody"), "not_on_node")
            .await
            .context("of no pod")?;
        let foreign = identity("near").replace("cluster.local", "elsewhere.example");
        refused(cluster, &controller, &token, &foreign, "trust_domain")
            .await
            .context("of another trust domain")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn id_03_a_workload_gets_its_own_identity_and_no_others() {
    Scene::play("id_03_workload", true, async |scene: Scene| {
        two(&scene).await?;
        let cluster = &scene.cluster;
        let controller = controller(cluster).await?;
        let token = cluster.token(&scene.namespace, "near", "near", AUDIENCE).await?;
        let other = format!("spiffe://cluster.local/ns/{}/sa/far", scene.namespace);
        refused(cluster, &controller, &token, &other, "impersonation").await?;
        refused(
            cluster,
            &controller,
            &token,
            "spiffe://cluster.local/ns/istio-system/sa/ztunnel",
            "impersonation",
        )
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_prove_nothing_are_refused_and_counted() {
    Scene::play("bad_tokens", true, async |scene: Scene| {
        two(&scene).await?;
        let cluster = &scene.cluster;
        let controller = controller(cluster).await?;
        let own = format!("spiffe://cluster.local/ns/{}/sa/near", scene.namespace);
        let elsewhere = cluster.token(&scene.namespace, "near", "near", "elsewhere").await?;
        refused(cluster, &controller, &elsewhere, &own, "token").await.context("another audience")?;
        refused(cluster, &controller, "garbage", &own, "token").await.context("garbage")?;
        let (claims, _) = elsewhere.rsplit_once('.').context("not a token")?;
        refused(cluster, &controller, &format!("{claims}.AAAA"), &own, "token").await.context("forged")?;
        // Never used before its pod went, so nobody has it in a cache.
        let orphaned = cluster.token(&scene.namespace, "near", "near", AUDIENCE).await?;
        scene.delete("apiVersion: v1\nkind: Pod\nmetadata: { name: near }\n").await?;
        eventually(Duration::from_secs(30), async || {
            ensure!(scene.object("v1", "Pod", "near").await.is_err(), "the pod is still there");
            Ok(())
        })
        .await?;
        refused(cluster, &controller, &orphaned, &own, "token")
            .await
            .context("the token of a pod that is gone")
    })
    .await;
}
