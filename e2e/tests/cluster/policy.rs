//! L4 policy: what is refused is refused, and only that.

use adit_e2e::manifests::{EchoPod, service};
use adit_e2e::{Calls, Scene};
use anyhow::{Context, Result};

/// No answer at all: L4 has nothing to say it with.
fn all_refused(calls: &Calls) -> bool {
    calls.iter().all(|it| it.error().is_some())
}

async fn cast(scene: &Scene) -> Result<()> {
    scene.apply(&EchoPod::new("server").manifest()).await?;
    scene.apply(&service("server", "server")).await?;
    for name in ["friend", "stranger"] {
        scene.apply(&EchoPod::new(name).manifest()).await?;
    }
    scene.apply(&EchoPod::new("plain").labelled(&["istio.io/dataplane-mode: none"]).manifest()).await?;
    scene.captured(&["server", "friend", "stranger"]).await?;
    scene.ready("app=plain", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_refuses_plain_text_and_lets_the_mesh_in() {
    Scene::play("strict", true, async |scene: Scene| {
        cast(&scene).await?;
        let url = format!("http://{}/", scene.host("server"));
        scene.until("plain", &[&url, "-n2"], Calls::all_ok).await.context("before")?;
        let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: strict }\nspec: { mtls: { mode: STRICT } }\n";
        scene.apply(strict).await?;
        scene.until("plain", &[&url, "-n3"], all_refused).await.context("strict")?;
        scene.until("friend", &[&url, "-n3"], Calls::all_ok).await?;
        scene.delete(strict).await?;
        scene.until("plain", &[&url, "-n3"], Calls::all_ok).await.context("after").map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l4_allow_by_principal_and_by_namespace_live() {
    Scene::play("l4_allow", true, async |scene: Scene| {
        cast(&scene).await?;
        let url = format!("http://{}/", scene.host("server"));
        let policy = |source: &str| {
            format!(
                "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: guard }}\nspec:\n  selector: {{ matchLabels: {{ app: server }} }}\n  action: ALLOW\n  rules: [{{ from: [{{ source: {{ {source} }} }}] }}]\n"
            )
        };
        scene.apply(&policy(&format!("principals: [cluster.local/ns/{}/sa/friend]", scene.namespace))).await?;
        scene.until("stranger", &[&url, "-n3"], all_refused).await.context("by principal")?;
        scene.until("plain", &[&url, "-n3"], all_refused).await.context("without identity")?;
        scene.until("friend", &[&url, "-n3"], Calls::all_ok).await.context("by principal")?;
        let accepted = ("security.istio.io/v1", "AuthorizationPolicy", "guard");
        scene.condition(accepted, "ZtunnelAccepted", "True").await?;
        scene.apply(&policy(&format!("namespaces: [{}]", scene.namespace))).await?;
        scene.until("stranger", &[&url, "-n3"], Calls::all_ok).await.context("by namespace")?;
        scene.until("plain", &[&url, "-n3"], all_refused).await.context("no namespace without identity")?;
        scene.apply(&policy("namespaces: [elsewhere]")).await?;
        scene.until("friend", &[&url, "-n3"], all_refused).await.context("another namespace").map(drop)
    })
    .await;
}
