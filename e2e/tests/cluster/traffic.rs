//! DestinationRules at a waypoint: which endpoint is chosen, and how much a service takes.

use std::time::Duration;

use adit_e2e::{Calls, Scene, eventually};
use anyhow::ensure;

use crate::waypoint::shop;

const RULE: (&str, &str, &str) = ("networking.istio.io/v1", "DestinationRule", "reviews");

fn rule(policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{ name: reviews }}\nspec:\n  host: reviews\n  trafficPolicy: {policy}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn lb_21_res_21_a_destinationrule_decides_how_its_host_is_called() {
    Scene::play("lb_21_res_21_traffic", true, async |scene: Scene| {
        shop(&scene).await?;
        let label = ("istio.io/use-waypoint", Some("waypoint"));
        scene.label("v1", "Service", "reviews", label).await?;
        let url = format!("http://{}/", scene.host("reviews"));
        let both = |calls: &Calls| {
            calls.all_ok() && ["v1", "v2"].iter().all(|version| calls.count("version", version) > 0)
        };
        scene.until("client", &[&url, "-n20"], both).await?;

        // LB-21: what is alike goes to the same endpoint, and the rest is spread.
        scene.apply(&rule("{ loadBalancer: { consistentHash: { httpHeaderName: x-user } } }")).await?;
        for user in ["x-user:jane", "x-user:joe", "x-user:mary"] {
            let one = |calls: &Calls| calls.all_ok() && [0, 10].contains(&calls.count("version", "v1"));
            scene.until("client", &[&url, "-n10", "-H", user], one).await?;
        }
        scene.until("client", &[&url, "-n20"], both).await?;

        // RES-21: more requests than the service takes are answered here, at once.
        let limits = "{ connectionPool: { http: { http2MaxRequests: 1, http1MaxPendingRequests: 1 } } }";
        scene.apply(&rule(limits)).await?;
        let slow = format!("{url}?delay=500ms");
        let overflow = |calls: &Calls| {
            calls.iter().any(|it| it.status() == Some(503) && it.header("x-envoy-overloaded").is_some())
        };
        eventually(Duration::from_secs(60), async || {
            let loads: Vec<_> = (0..4).map(|_| scene.load("client", &slow, 4, "0s")).collect();
            let mut overflown = false;
            for load in loads {
                let calls = load.end().await?;
                overflown |= overflow(&calls);
            }
            ensure!(overflown, "no call was too many");
            Ok(())
        })
        .await?;
        let (reason, _) = scene.condition(RULE, "Accepted", "True").await?;
        ensure!(reason == "Accepted", "{reason}");
        scene.delete(&rule("{}")).await?;
        scene.until("client", &[&url, "-n20"], both).await.map(drop)
    })
    .await;
}
