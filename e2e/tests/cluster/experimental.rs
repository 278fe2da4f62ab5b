//! What needs fields that the Gateway API has in its experimental channel alone. Played by a step of its own, which puts
//! these CRDs in place and takes them back: they are the whole cluster's.

use adit_e2e::{Calls, Scene};
use anyhow::{Context, Result, ensure};

use crate::waypoint::shop;

const ROUTE: (&str, &str, &str) = ("gateway.networking.k8s.io/v1", "HTTPRoute", "reviews");

fn route(session: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: reviews }}\nspec:\n  \
         parentRefs: [{{ group: '', kind: Service, name: reviews, port: 80 }}]\n  rules:\n  \
         - backendRefs: [{{ name: reviews-v1, port: 80 }}, {{ name: reviews-v2, port: 80 }}]\n    \
         sessionPersistence: {{ {session} }}\n"
    )
}

/// Of forty requests none goes elsewhere; without a session each has two ways to go.
async fn keeps(scene: &Scene, url: &str, token: &str, version: &str) -> Result<()> {
    let calls = scene.call("client", &[url, "-n40", "-H", token]).await?;
    ensure!(calls.all_ok() && calls.count("version", version) == 40, "{token}: {calls:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gw_sessions_stay_with_the_endpoint_that_served_them_first() {
    Scene::play("gw_sessions", true, async |scene: Scene| {
        shop(&scene).await?;
        let label = ("istio.io/use-waypoint", Some("waypoint"));
        scene.label("v1", "Service", "reviews", label).await?;
        let url = format!("http://{}/", scene.host("reviews"));
        let both = |calls: &Calls| {
            calls.all_ok() && ["v1", "v2"].iter().all(|version| calls.count("version", version) > 0)
        };
        scene.until("client", &[&url, "-n40"], both).await?;

        scene.apply(&route("sessionName: cart, type: Cookie")).await?;
        scene.condition(ROUTE, "Accepted", "True").await?;
        let told = |name: &'static str| move |calls: &Calls| calls.iter().all(|it| it.header(name).is_some());
        let calls = scene.until("client", &[&url, "-n40"], told("set-cookie")).await?;
        // New clients are spread as ever, and each stays where it is.
        ensure!(both(&calls), "{calls:?}");
        for version in ["v1", "v2"] {
            let first = calls.iter().find(|it| it.field("version") == version).context("no such answer")?;
            let cookie = first.header("set-cookie").unwrap_or_default();
            ensure!(cookie.starts_with("cart=") && cookie.contains("HttpOnly"), "{cookie}");
            let pair = cookie.split(';').next().unwrap_or_default();
            keeps(&scene, &url, &format!("cookie: {pair}"), version).await?;
        }

        scene.apply(&route("sessionName: x-cart, type: Header")).await?;
        let calls = scene.until("client", &[&url], told("x-cart")).await?;
        let first = calls.iter().next().context("no answer")?;
        let token = format!("x-cart: {}", first.header("x-cart").unwrap_or_default());
        keeps(&scene, &url, &token, first.field("version")).await
    })
    .await;
}
