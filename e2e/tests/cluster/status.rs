//! What the controller writes on objects, and keeps there (ST-01, ST-03, ST-09).

use std::time::Duration;

use adit_e2e::manifests::{EchoPod, service, waypoint};
use adit_e2e::{Calls, Scene, eventually};
use anyhow::ensure;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::json;

const GATEWAY: (&str, &str, &str) = ("gateway.networking.k8s.io/v1", "Gateway", "waypoint");
const USE: &str = "istio.io/use-waypoint";

fn l7(calls: &Calls) -> bool {
    Calls::all_ok(calls) && calls.iter().all(|it| it.is_l7())
}

#[tokio::test(flavor = "multi_thread")]
async fn st_01_classes_of_waypoints_are_accepted_and_said_again_when_wiped() {
    Scene::play("st_01_class", true, async |scene: Scene| {
        for class in ["adit-waypoint", "istio-waypoint"] {
            let at = ("gateway.networking.k8s.io/v1", "GatewayClass", class);
            scene.condition(at, "Accepted", "True").await?;
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(
                "gateway.networking.k8s.io",
                "v1",
                "GatewayClass",
            ));
            let api: Api<DynamicObject> = Api::all_with(scene.cluster.client(), &kind);
            let wiped = json!({ "status": { "conditions": [] } });
            api.patch_status(class, &PatchParams::default(), &Patch::Merge(&wiped)).await?;
            eventually(Duration::from_secs(30), async || {
                let object = scene.object(at.0, at.1, at.2).await?;
                let condition = &object["status"]["conditions"][0];
                ensure!(condition["status"] == "True", "{}", object["status"]);
                ensure!(condition["observedGeneration"] == object["metadata"]["generation"], "{condition}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st_09_a_waypoint_says_where_it_is_and_what_its_listener_does() {
    Scene::play("st_09_gateway", true, async |scene: Scene| {
        scene.apply(&waypoint("waypoint")).await?;
        for condition in ["Accepted", "Programmed"] {
            scene.condition(GATEWAY, condition, "True").await?;
        }
        let gateway = scene.object(GATEWAY.0, GATEWAY.1, GATEWAY.2).await?;
        let service = scene.object("v1", "Service", "waypoint").await?;
        ensure!(
            gateway["status"]["addresses"][0]["value"] == service["spec"]["clusterIP"],
            "{}",
            gateway["status"]
        );
        ensure!(gateway["status"]["listeners"][0]["name"] == "mesh", "{}", gateway["status"]);
        ensure!(gateway["status"]["listeners"][0]["attachedRoutes"] == 0, "{}", gateway["status"]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn st_03_wp_07_08_why_a_waypoint_is_not_used() {
    Scene::play("st_03_reasons", true, async |scene: Scene| {
        for name in ["client", "server"] {
            scene.apply(&EchoPod::new(name).manifest()).await?;
        }
        scene.apply(&service("server", "server")).await?;
        scene.captured(&["client", "server"]).await?;
        let workload = waypoint("waypoint")
            .replace("{ name: waypoint }", "{ name: waypoint, labels: { istio.io/waypoint-for: workload } }");
        scene.apply(&workload).await?;
        scene.condition(GATEWAY, "Programmed", "True").await?;
        scene.label("v1", "Service", "server", (USE, Some("waypoint"))).await?;
        let server = ("v1", "Service", "server");
        let (reason, _) = scene.condition(server, "istio.io/WaypointBound", "False").await?;
        ensure!(reason == "UnsupportedTrafficType", "{reason}");
        let url = format!("http://{}/", scene.host("server"));
        scene
            .until("client", &[&url, "-n3"], |calls| {
                Calls::all_ok(calls) && calls.iter().all(|it| !it.is_l7())
            })
            .await?;
        // WP-03: it is one for pods, called by their addresses.
        scene.label("v1", "Pod", "server", (USE, Some("waypoint"))).await?;
        let pod = scene.object("v1", "Pod", "server").await?;
        let address = format!("http://{}:8080/", pod["status"]["podIP"].as_str().unwrap_or_default());
        scene.until("client", &[&address, "-n3"], l7).await?;
        scene
            .until("client", &[&url, "-n3"], |calls| {
                Calls::all_ok(calls) && calls.iter().all(|it| !it.is_l7())
            })
            .await
            .map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wp_06_who_is_not_captured_goes_past_the_waypoint() {
    Scene::play("wp_06_plain", true, async |scene: Scene| {
        for name in ["client", "server"] {
            scene.apply(&EchoPod::new(name).manifest()).await?;
        }
        scene.apply(&EchoPod::new("plain").labelled(&["istio.io/dataplane-mode: none"]).manifest()).await?;
        scene.apply(&service("server", "server")).await?;
        scene.captured(&["client", "server"]).await?;
        scene.ready("app=plain", 1).await?;
        scene.apply(&waypoint("waypoint")).await?;
        scene.condition(GATEWAY, "Programmed", "True").await?;
        scene.label("v1", "Service", "server", (USE, Some("waypoint"))).await?;
        let url = format!("http://{}/", scene.host("server"));
        scene.until("client", &[&url, "-n3"], l7).await?;
        scene
            .until("plain", &[&url, "-n3"], |calls| {
                Calls::all_ok(calls) && calls.iter().all(|it| !it.is_l7())
            })
            .await?;
        // WP-33: what is no HTTP passes too, also where the server speaks first.
        let host = scene.host("server");
        scene.until("client", &[&format!("tcp://{host}:9090"), "-d", "line"], Calls::all_ok).await?;
        scene
            .until("client", &[&format!("tcp://{host}:9091"), "--server-first", "-d", "line"], Calls::all_ok)
            .await
            .map(drop)
    })
    .await;
}
