//! The manifests of `e2e/manifests`, applied unchanged: each says so, has its effect, and leaves nothing behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

#[path = "../../manifests/checks.rs"]
mod checks;

use adit_e2e::manifests::{EchoPod, image};
use adit_e2e::{Scene, eventually};
use anyhow::{Context, Result, ensure};
use checks::{CHECKS, Call, Check, L7, PLAIN, numbered};
use serde_json::json;
use tokio::time::Instant;

/// For one effect.
const PATIENCE: Duration = Duration::from_secs(20);
/// For all of them, on a machine with other tests to play.
const WHOLE: Duration = Duration::from_secs(150);

/// A scene, and when its play has to be over.
struct Stage {
    scene: Scene,
    end: Instant,
}

fn text(manifest: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(manifest);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

impl Stage {
    fn patience(&self) -> Duration {
        PATIENCE.min(self.end.saturating_duration_since(Instant::now()))
    }

    async fn holds(&self, call: &Call) -> Result<()> {
        let mut attempt = 0;
        eventually(self.patience(), async || {
            attempt += 1;
            let beside = call.beside.map(|url| self.scene.load("client", url, 1, "0s"));
            let url = numbered(call.url, attempt);
            let mut answers = self.scene.call("client", &[&[url.as_str()], call.options].concat()).await?;
            if let Some(then) = call.then {
                answers = self.scene.call("client", &[then]).await?;
            }
            if let Some(beside) = beside {
                beside.end().await?;
            }
            let fits = call.expect.fits(&answers.values(), attempt);
            ensure!(fits, "{url} {:?}: no {:?} in {answers:?}", call.options, call.expect);
            Ok(())
        })
        .await
    }

    async fn all_hold(&self, when: &str, calls: &[Call]) -> Result<()> {
        for call in calls {
            self.holds(call).await.with_context(|| when.to_owned())?;
        }
        Ok(())
    }

    async fn plays(&self, check: &Check) -> Result<()> {
        self.all_hold("before", check.without).await?;
        let manifest = text(check.manifest)?;
        self.scene.apply(&manifest).await?;
        for saying in check.says {
            let said = self.scene.condition(saying.object, saying.condition, "True").await?;
            ensure!(said.0 == saying.reason, "{saying:?}, but it says {said:?}");
        }
        let outcome = self.all_hold("with it", check.with).await;
        self.scene.delete(&manifest).await?;
        outcome?;
        self.all_hold("after", check.without).await
    }
}

/// The pods that `shop.yaml` speaks of, and a client.
async fn pods(scene: &Scene) -> Result<()> {
    let captured = ["client", "reviews-v1", "reviews-v2", "shadow"];
    for name in captured {
        let labels: &[&str] = if name.starts_with("reviews") { &["shop: reviews"] } else { &[] };
        let version = if name == "reviews-v2" { "v2" } else { "v1" };
        scene.apply(&EchoPod { version, ..EchoPod::new(name).labelled(labels) }.manifest()).await?;
    }
    scene
        .apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: outside\n  \
             labels: {{ app: outside, istio.io/dataplane-mode: none }}\nspec:\n  terminationGracePeriodSeconds: 2\n  \
             containers:\n  - {{ name: echo, image: {image}, imagePullPolicy: IfNotPresent, args: [echo, --https=8443] }}\n",
            image = image()
        ))
        .await?;
    scene.captured(&captured).await?;
    scene.ready("app=outside", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn gw_01_l7_33_public_manifests_work_unchanged() {
    Scene::play("manifests", true, async |scene: Scene| {
        pods(&scene).await?;
        scene.apply(&text("shop.yaml")?).await?;
        scene
            .condition(("gateway.networking.k8s.io/v1", "Gateway", "waypoint"), "Programmed", "True")
            .await?;
        let stage = Stage { end: Instant::now() + WHOLE, scene };
        stage.holds(&L7).await?;
        for check in &CHECKS {
            let plays = async || stage.plays(check).await.context(check.manifest);
            if check.needs_authorizer {
                let shadow = json!({ "service": stage.scene.host("shadow"), "port": 80, "timeout": "5s" });
                let providers = json!([{ "name": "shop-authorizer", "envoyExtAuthzHttp": shadow }]);
                let asking = json!({ "extensionProviders": providers });
                stage.scene.with_mesh_config(asking, plays).await?;
            } else {
                plays().await?;
            }
        }
        stage.holds(&L7).await?;
        stage.holds(&PLAIN).await
    })
    .await;
}
