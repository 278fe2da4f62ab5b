//! A kind that the cluster does not serve: said once, and taken up when it appears.

use std::time::Duration;

use adit_e2e::{SYSTEM, Scene, Workload, can_enter, eventually};
use anyhow::{Context, Result, ensure};

use super::CONTROLLER;

/// One that nobody but this test uses, and nobody misses.
const CRD: &str = include_str!("../../../../helm/adit-base/files/crds/wasmplugins.extensions.istio.io.yaml");
const NAME: &str = "wasmplugins.extensions.istio.io";
const KIND: &str = "WasmPlugin";

/// How often the controller has said that it does not find the kind.
async fn said(scene: &Scene) -> Result<usize> {
    let pods = scene.cluster.pods(SYSTEM, &format!("app={CONTROLLER}")).await?;
    let name = pods.into_iter().find_map(|pod| pod.metadata.name).context("no controller runs")?;
    let log = scene.cluster.logs(SYSTEM, &name).await?;
    Ok(log.lines().filter(|line| line.contains(KIND) && line.contains("is not served")).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_missing_is_said_once_and_taken_up_when_it_appears() {
    if !can_enter() {
        println!("left out: with a kind all objects of it go, so this needs a cluster of its own");
        return;
    }
    Scene::play("missing_kind", true, async |scene: Scene| {
        scene.delete(CRD).await?;
        // Whatever happens, the kind comes back.
        let without = async {
            scene.cluster.restart(SYSTEM, Workload::Deployment(CONTROLLER)).await?;
            eventually(Duration::from_secs(30), async || {
                ensure!(said(&scene).await? == 1, "said {} times", said(&scene).await?);
                Ok(())
            })
            .await
        };
        let without = without.await;
        // What is applied to a definition that is ending ends with it.
        eventually(Duration::from_secs(60), async || {
            let found = scene.object("apiextensions.k8s.io/v1", "CustomResourceDefinition", NAME).await;
            ensure!(found.is_err(), "{NAME} is still there");
            Ok(())
        })
        .await?;
        eventually(Duration::from_secs(60), async || scene.apply(CRD).await).await?;
        without?;
        let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: { name: late }\nspec: { url: 'oci://nowhere.example/plugin', targetRefs: [{ kind: Service, group: '', name: nobody }] }\n";
        eventually(Duration::from_secs(60), async || scene.apply(plugin).await).await?;
        eventually(Duration::from_secs(60), async || {
            let object = scene.object("extensions.istio.io/v1alpha1", KIND, "late").await?;
            ensure!(!object["status"]["conditions"].is_null(), "nothing is said of it: {}", object["status"]);
            Ok(())
        })
        .await?;
        ensure!(said(&scene).await? == 1, "said again");
        Ok(())
    })
    .await;
}
