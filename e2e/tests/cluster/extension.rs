//! What the mesh's configuration names outside of it: whoever decides about requests.

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, Scene};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const POLICY: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ask }
spec:
  targetRefs: [{ group: '', kind: Service, name: server }]
  action: CUSTOM
  provider: { name: e2e-authz }
  rules: [{ to: [{ operation: { paths: [/private*] } }] }]
";

const MAP: &str = "istio";

fn maps(scene: &Scene) -> Api<ConfigMap> {
    Api::namespaced(scene.cluster.client(), "istio-system")
}

/// The mesh's configuration as it is.
async fn mesh_text(scene: &Scene) -> Result<String> {
    let data = maps(scene).get(MAP).await?.data.context("no data")?;
    data.get("mesh").cloned().context("no mesh configuration")
}

async fn set_mesh(scene: &Scene, text: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "data": { "mesh": text } }));
    maps(scene).patch(MAP, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// The same with somebody to ask; what is JSON is YAML.
fn asking(text: &str, host: &str) -> Result<String> {
    let mut mesh: Value = serde_saphyr::from_str(text)?;
    let authorizer = json!({ "service": host, "port": 80, "timeout": "5s" });
    mesh["extensionProviders"] = json!([{ "name": "e2e-authz", "envoyExtAuthzHttp": authorizer }]);
    Ok(mesh.to_string())
}

fn all(calls: &Calls, status: u64) -> bool {
    calls.iter().all(|it| it.status() == Some(status))
}

#[tokio::test(flavor = "multi_thread")]
async fn az_custom_asks_whom_the_mesh_configuration_names() {
    Scene::play("az_custom", true, async |scene: Scene| {
        let url = scene.pair().await?;
        scene.apply(&EchoPod::new("authz").manifest()).await?;
        scene.apply(&service("authz", "authz")).await?;
        scene.captured(&["authz"]).await?;
        scene.apply(&waypoint("waypoint")).await?;
        let label = ("istio.io/use-waypoint", Some("waypoint"));
        scene.label("v1", "Service", "server", label).await?;
        scene
            .until("client", &[&url, "-n5"], |calls| calls.all_ok() && calls.iter().all(|it| it.is_l7()))
            .await?;

        scene.apply(POLICY).await?;
        let at = ("security.istio.io/v1", "AuthorizationPolicy", "ask");
        let (reason, message) = scene.condition(at, "WaypointAccepted", "True").await?;
        ensure!(reason == "PartiallyInvalid" && message.contains("e2e-authz"), "{reason}: {message}");
        let private = format!("{url}private");
        scene.until("client", &[&private, "-n3"], |calls| all(calls, 403)).await?;

        let before = mesh_text(&scene).await?;
        set_mesh(&scene, &asking(&before, &scene.host("authz"))?).await?;
        let outcome = async {
            scene.until("client", &[&private, "-n5"], Calls::all_ok).await?;
            // Whoever is asked answers as the query says, and the backend never sees that request.
            let denied = format!("{url}private?status=401&header=x-from:authz");
            scene.until("client", &[&denied, "-n3"], |calls| all(calls, 401)).await?;
            // Nobody is asked about this one, so it is the backend's answer.
            let public = format!("{url}?status=418");
            scene.until("client", &[&public, "-n3"], |calls| all(calls, 418)).await?;
            scene.delete(&service("authz", "authz")).await?;
            scene.until("client", &[&private, "-n3"], |calls| all(calls, 403)).await.map(drop)
        };
        let outcome = outcome.await;
        // To the letter: another text would be somebody else's, and stand in the way of the next upgrade by Helm.
        set_mesh(&scene, &before).await?;
        outcome
    })
    .await;
}
