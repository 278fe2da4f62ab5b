//! What the mesh's configuration names outside of it: whoever decides about requests.

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, Scene};
use anyhow::ensure;
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

/// Whom the mesh can ask.
fn provider(host: &str) -> Value {
    json!({ "name": "e2e-authz", "envoyExtAuthzHttp": { "service": host, "port": 80, "timeout": "5s" } })
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

        let asking = json!({ "extensionProviders": [provider(&scene.host("authz"))] });
        scene
            .with_mesh_config(asking, async || {
                scene.until("client", &[&private, "-n5"], Calls::all_ok).await?;
                // Whoever is asked answers as the query says, and the backend never sees that request.
                let denied = format!("{url}private?status=401&header=x-from:authz");
                scene.until("client", &[&denied, "-n3"], |calls| all(calls, 401)).await?;
                // Nobody is asked about this one, so it is the backend's answer.
                let public = format!("{url}?status=418");
                scene.until("client", &[&public, "-n3"], |calls| all(calls, 418)).await?;
                scene.delete(&service("authz", "authz")).await?;
                scene.until("client", &[&private, "-n3"], |calls| all(calls, 403)).await.map(drop)
            })
            .await
    })
    .await;
}
