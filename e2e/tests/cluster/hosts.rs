//! Hosts that are no Services: wildcards whose hosts a waypoint looks up, and who sees a ServiceEntry.

use adit_e2e::manifests::{EchoPod, image, waypoint};
use adit_e2e::{Calls, Scene};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// A headless Service, and two pods with names below its own: one that is not in the mesh and speaks HTTP and HTTPS, and one
/// that is captured.
fn partners() -> String {
    let named = |host: &str| format!("spec:\n  hostname: {host}\n  subdomain: partners\n  ");
    let inside = EchoPod::new("inside").labelled(&["partner: \"true\""]).manifest();
    let inside = inside.replacen("spec:\n  ", &named("inside"), 1);
    format!(
        "{inside}---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: www\n  \
         labels: {{ app: www, partner: \"true\", istio.io/dataplane-mode: none }}\n{spec}terminationGracePeriodSeconds: 2\n  containers:\n  \
         - {{ name: echo, image: {image}, imagePullPolicy: IfNotPresent, args: [echo, --http=8080, --https=8443] }}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{ name: partners }}\nspec:\n  clusterIP: None\n  \
         selector: {{ partner: \"true\" }}\n  ports: [{{ name: http, port: 8080 }}]\n",
        spec = named("www"),
        image = image(),
    )
}

fn wildcard(domain: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: partners\n  \
         labels: {{ istio.io/use-waypoint: waypoint }}\nspec:\n  hosts: [\"*.{domain}\"]\n  resolution: DYNAMIC_DNS\n  \
         ports:\n  - {{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }}\n  \
         - {{ number: 81, name: http-tls, protocol: HTTP, targetPort: 8443 }}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{ name: partners }}\nspec:\n  \
         host: \"*.{domain}\"\n  trafficPolicy:\n    portLevelSettings:\n    \
         - {{ port: {{ number: 81 }}, tls: {{ mode: SIMPLE, insecureSkipVerify: true }} }}\n"
    )
}

fn all(calls: &Calls, status: u64) -> bool {
    calls.iter().all(|it| it.status() == Some(status))
}

#[tokio::test(flavor = "multi_thread")]
async fn eg_15_16_18_a_waypoint_looks_up_which_host_of_a_wildcard_is_meant() {
    Scene::play("eg_15_wildcard", true, async |scene: Scene| {
        scene.apply(&EchoPod::new("client").manifest()).await?;
        scene.apply(&partners()).await?;
        scene.apply(&waypoint("waypoint")).await?;
        scene.captured(&["client", "inside"]).await?;
        scene.ready("app=www", 1).await?;
        scene
            .condition(("gateway.networking.k8s.io/v1", "Gateway", "waypoint"), "Programmed", "True")
            .await?;
        let domain = scene.host("partners");
        let entry = ("networking.istio.io/v1", "ServiceEntry", "partners");
        scene.apply(&wildcard(&domain)).await?;
        scene.condition(entry, "istio.io/WaypointBound", "True").await?;

        let www = format!("http://www.{domain}/");
        let by_waypoint = |calls: &Calls| calls.all_ok() && calls.iter().all(|it| it.is_l7());
        let calls = scene.until("client", &[&www, "-n3"], by_waypoint).await?;
        ensure!(calls.count("pod", "www") == 3, "{calls:?}");
        // EG-18: the same host by TLS, which the waypoint makes, asking for this very name.
        let by_tls = |calls: &Calls| {
            by_waypoint(calls) && calls.iter().all(|it| it.tls_name() == Some(&format!("www.{domain}")))
        };
        scene.until("client", &[&format!("http://www.{domain}:81/"), "-n2"], by_tls).await?;
        // EG-16: what the request names is meant, wherever it was sent to; what is not below the wildcard is nobody.
        let nowhere = format!("http://nowhere.{domain}/");
        let host = |name: &str| format!("host: {name}");
        let named = host(&format!("www.{domain}"));
        scene.until("client", &[&nowhere, "-H", &named], by_waypoint).await?;
        scene.until("client", &[&www, "-H", &host("www.example.com")], |calls| all(calls, 404)).await?;
        scene.until("client", &[&nowhere], |calls| all(calls, 503)).await?;
        // Who is in the mesh can be asked by the mesh alone.
        let inside = host(&format!("inside.{domain}"));
        scene.until("client", &[&www, "-H", &inside], |calls| all(calls, 403)).await?;
        let wanted = format!("destination_service=\"*.{domain}\"");
        for (code, least) in [("200", 4.0), ("503", 1.0), ("403", 1.0)] {
            let code = format!("response_code=\"{code}\"");
            let labels = [wanted.as_str(), &code, "source_workload=\"client\""];
            scene.waypoint_counts("istio_requests_total", &labels, least).await?;
        }
        Ok(())
    })
    .await;
}

fn entry(host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{ name: ledger }}\nspec:\n  \
         hosts: [{host}]\n  resolution: STATIC\n  ports: [{{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }}]\n  \
         workloadSelector: {{ labels: {{ app: server }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn eg_05_the_mesh_configuration_decides_who_sees_a_serviceentry() {
    Scene::play("eg_05_own", true, async |own: Scene| {
        // Of another test that goes on at the same time, the host is another.
        let host = format!("ledger.{}.example", own.namespace);
        own.pair().await?;
        own.apply(&entry(&host)).await?;
        let own = &own;
        let play = async |other: Scene| seen_by_its_own(own, &other, &host).await;
        Scene::play("eg_05_other", true, play).await;
        Ok(())
    })
    .await;
}

async fn seen_by_its_own(own: &Scene, other: &Scene, host: &str) -> Result<()> {
    other.apply(&EchoPod::new("client").manifest()).await?;
    other.captured(&["client"]).await?;
    let url = format!("http://{host}/");
    for scene in [own, other] {
        scene.until("client", &[&url, "-n3"], Calls::all_ok).await?;
    }
    let here =
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": own.namespace } } });
    let private = json!({ "visibility": "NAMESPACE", "matchingRules": [here] });
    let fields =
        json!({ "serviceEntryVisibility": { "defaultVisibility": "PUBLIC", "policies": [private] } });
    own.with_mesh_config(fields, async || {
        let at = ("networking.istio.io/v1", "ServiceEntry", "ledger");
        other.until("client", &[&url], |calls| calls.iter().all(|it| it.error().is_some())).await?;
        let (reason, message) = own.condition(at, "istio.io/VisibilityApplied", "True").await?;
        ensure!(reason == "Namespace", "{reason}: {message}");
        let calls = own.call("client", &[&url, "-n5"]).await?;
        ensure!(calls.all_ok(), "{calls:?}");
        Ok(())
    })
    .await
    .context("with private entries")?;
    other.until("client", &[&url, "-n3"], Calls::all_ok).await.map(drop)
}
