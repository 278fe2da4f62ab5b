//! Waypoints: a Gateway makes one, a label sends traffic through it, routes take hold there.

use std::time::Duration;

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, Scene, eventually};
use anyhow::{Result, ensure};

const GATEWAY: (&str, &str, &str) = ("gateway.networking.k8s.io/v1", "Gateway", "waypoint");
const USE: &str = "istio.io/use-waypoint";

/// A client, and two versions of `reviews` that a waypoint is ready for.
pub(crate) async fn shop(scene: &Scene) -> Result<()> {
    scene.apply(&EchoPod::new("client").manifest()).await?;
    for (name, version) in [("reviews-v1", "v1"), ("reviews-v2", "v2")] {
        let pod = EchoPod { version, ..EchoPod::new(name).labelled(&["shop: reviews"]) };
        scene.apply(&pod.manifest()).await?;
        scene.apply(&service(name, name)).await?;
    }
    let all = service("reviews", "x").replace("{ app: x }", "{ shop: reviews }");
    scene.apply(&all).await?;
    scene.captured(&["client", "reviews-v1", "reviews-v2"]).await?;
    scene.apply(&waypoint("waypoint")).await?;
    scene.condition(GATEWAY, "Programmed", "True").await.map(drop)
}

fn l7(calls: &Calls) -> bool {
    calls.all_ok() && calls.iter().all(|it| it.is_l7())
}

fn l4(calls: &Calls) -> bool {
    calls.all_ok() && calls.iter().all(|it| !it.is_l7())
}

#[tokio::test(flavor = "multi_thread")]
async fn wp_01_02_05_09_a_gateway_makes_a_waypoint_and_labels_decide_who_uses_it() {
    Scene::play("wp_01_labels", true, async |scene: Scene| {
        shop(&scene).await?;
        let reviews = ("v1", "Service", "reviews");
        let url = format!("http://{}/", scene.host("reviews"));
        scene.until("client", &[&url, "-n3"], l4).await?;
        scene.redirection_of_waypoint().await?;
        scene.label("v1", "Service", "reviews", (USE, Some("waypoint"))).await?;
        scene.until("client", &[&url, "-n5"], l7).await?;
        // ST-02: the Service says so, and by name.
        let (reason, message) = scene.condition(reviews, "istio.io/WaypointBound", "True").await?;
        ensure!(reason == "WaypointAccepted" && message.contains("waypoint"), "{reason}: {message}");
        // WP-05: one that does not exist is as none, and is said.
        scene.label("v1", "Service", "reviews", (USE, Some("bogus"))).await?;
        scene.until("client", &[&url, "-n5"], l4).await?;
        scene.condition(reviews, "istio.io/WaypointBound", "False").await?;
        scene.label("v1", "Service", "reviews", (USE, None)).await?;
        eventually(Duration::from_secs(30), async || {
            let service = scene.object("v1", "Service", "reviews").await?;
            let text = service["status"].to_string();
            ensure!(!text.contains("WaypointBound"), "the condition stays: {text}");
            Ok(())
        })
        .await?;
        // WP-04, WP-09: a namespace sends all its Services through, but for those that opt out.
        scene.label("v1", "Namespace", &scene.namespace, (USE, Some("waypoint"))).await?;
        scene.until("client", &[&url, "-n5"], l7).await?;
        scene.label("v1", "Service", "reviews", (USE, Some("none"))).await?;
        scene.until("client", &[&url, "-n5"], l4).await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_split_traffic_and_say_what_is_wrong_with_them() {
    Scene::play("routes", true, async |scene: Scene| {
        shop(&scene).await?;
        scene.label("v1", "Namespace", &scene.namespace, (USE, Some("waypoint"))).await?;
        let url = format!("http://{}/", scene.host("reviews"));
        scene.until("client", &[&url, "-n5"], l7).await?;
        let route = |backends: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: reviews }}\nspec:\n  parentRefs: [{{ group: '', kind: Service, name: reviews, port: 80 }}]\n  rules: [{{ backendRefs: {backends} }}]\n"
            )
        };
        scene.apply(&route("[{ name: reviews-v2, port: 80 }]")).await?;
        scene.until("client", &[&url, "-n20"], |calls| calls.count("version", "v2") == 20).await?;
        scene.apply(&route("[{ name: reviews-v1, port: 80, weight: 80 }, { name: reviews-v2, port: 80, weight: 20 }]")).await?;
        let split = |calls: &Calls| (15..=45).contains(&calls.count("version", "v2"));
        let calls = scene.until("client", &[&url, "-n150"], split).await?;
        ensure!(calls.all_ok(), "{calls:?}");
        let at = ("gateway.networking.k8s.io/v1", "HTTPRoute", "reviews");
        scene.condition(at, "Accepted", "True").await?;
        scene.condition(at, "ResolvedRefs", "True").await?;
        // WP-28, ST-10: a backend that is not there is 500, and said.
        scene.apply(&route("[{ name: nobody, port: 80 }]")).await?;
        scene.until("client", &[&url, "-n5"], |calls| calls.iter().all(|it| it.status() == Some(500))).await?;
        let (reason, message) = scene.condition(at, "ResolvedRefs", "False").await?;
        ensure!(reason == "BackendNotFound" && message.contains("nobody"), "{reason}: {message}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wp_15_17_another_revision_is_left_alone_and_what_is_deleted_goes() {
    Scene::play("wp_15_revision", true, async |scene: Scene| {
        let foreign = waypoint("foreign")
            .replace("{ name: foreign }", "{ name: foreign, labels: { istio.io/rev: other } }");
        scene.apply(&foreign).await?;
        let own = waypoint("waypoint");
        scene.apply(&own).await?;
        scene.condition(GATEWAY, "Programmed", "True").await?;
        ensure!(
            scene.object("apps/v1", "Deployment", "foreign").await.is_err(),
            "a waypoint of another revision"
        );
        // Drift is mended.
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: waypoint }\n";
        scene.delete(deployment).await?;
        eventually(Duration::from_secs(30), async || {
            scene.object("apps/v1", "Deployment", "waypoint").await.map(drop)
        })
        .await?;
        scene.delete(&own).await?;
        eventually(Duration::from_secs(60), async || {
            let left = scene
                .cluster
                .pods(&scene.namespace, "gateway.networking.k8s.io/gateway-name=waypoint")
                .await?;
            ensure!(left.is_empty(), "{} pods are left", left.len());
            ensure!(scene.object("v1", "Service", "waypoint").await.is_err(), "the Service is left");
            Ok(())
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l7_16_wp_33_connections_follow_the_tcp_routes_of_a_virtualservice() {
    Scene::play("l7_16_connections", true, async |scene: Scene| {
        shop(&scene).await?;
        scene.label("v1", "Namespace", &scene.namespace, (USE, Some("waypoint"))).await?;
        let url = format!("http://{}/", scene.host("reviews"));
        scene.until("client", &[&url, "-n5"], l7).await?;
        let (tcp, first) = (
            format!("tcp://{}:9090", scene.host("reviews")),
            format!("tcp://{}:9091", scene.host("reviews")),
        );
        scene.apply(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: reviews }\nspec:\n  hosts: [reviews]\n  tcp:\n  - match: [{ port: 9090 }]\n    route:\n    - { destination: { host: reviews-v1, port: { number: 9090 } }, weight: 3 }\n    - { destination: { host: reviews-v2, port: { number: 9090 } }, weight: 1 }\n  - match: [{ port: 9091 }]\n    route: [{ destination: { host: reviews-v2, port: { number: 9091 } } }]\n",
        )
        .await?;
        let from = |calls: &Calls, name: &str| calls.iter().filter(|it| it.text().contains(name)).count();
        // 30 and 10 of 40; the bounds are more than three standard deviations away.
        let split = |calls: &Calls| (20..=39).contains(&from(calls, "reviews-v1"));
        let calls = scene.until("client", &[&tcp, "-n40", "-d", "line"], split).await?;
        ensure!(calls.all_ok() && from(&calls, "reviews-v2") > 0, "{calls:?}");
        // WP-33: the server speaks first, and the rule holds without a word of the client.
        let options = [first.as_str(), "--server-first", "-n5", "-d", "x"];
        let greeted = |calls: &Calls| {
            calls.all_ok() && calls.iter().all(|it| it.text().starts_with("hello from reviews-v2"))
        };
        scene.until("client", &options, greeted).await?;
        let at = ("networking.istio.io/v1", "VirtualService", "reviews");
        scene.condition(at, "Accepted", "True").await?;
        scene.condition(at, "ResolvedRefs", "True").await.map(drop)
    })
    .await;
}
