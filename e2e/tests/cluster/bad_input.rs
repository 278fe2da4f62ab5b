//! Objects that make no sense: refused with the field's name, or accepted with a condition that says so, and
//! never to the harm of anything else.

use adit_e2e::manifests::waypoint;
use adit_e2e::{Calls, Scene};
use anyhow::{Context, ensure};

const USE: &str = "istio.io/use-waypoint";
const ROUTE: (&str, &str) = ("gateway.networking.k8s.io/v1", "HTTPRoute");
const POLICY: (&str, &str) = ("security.istio.io/v1", "AuthorizationPolicy");

/// The schema of each lets these through; the field is where the mistake is.
const REFUSED: [(&str, &str, &str); 8] = [
    (
        "AuthorizationPolicy",
        "{ selector: { matchLabels: { app: server } }, targetRefs: [{ kind: Service, group: '', name: server }] }",
        "spec: only one of selector",
    ),
    ("AuthorizationPolicy", "{ rules: [{ from: [{ source: {} }] }] }", "spec.rules[0].from[0].source"),
    (
        "AuthorizationPolicy",
        "{ rules: [{ when: [{ key: no.such, values: [x] }] }] }",
        "spec.rules[0].when[0].key",
    ),
    (
        "AuthorizationPolicy",
        "{ rules: [{ when: [{ key: source.ip, values: [not-an-address] }] }] }",
        "spec.rules[0].when[0].values",
    ),
    ("PeerAuthentication", "{ portLevelMtls: { '8080': { mode: STRICT } } }", "spec.portLevelMtls"),
    ("VirtualService", "{ hosts: [server], http: [{}] }", "spec.http[0]"),
    (
        "VirtualService",
        "{ hosts: [server], http: [{ match: [{ uri: { regex: '(' } }], route: [{ destination: { host: server } }] }] }",
        "spec.http[0].match[0].uri",
    ),
    (
        "DestinationRule",
        "{ host: server, subsets: [{ name: a, labels: { v: a } }, { name: a, labels: { v: b } }] }",
        "spec.subsets[1].name",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_with_the_name_of_the_field() {
    Scene::play("refused", false, async |scene: Scene| {
        for (kind, spec, field) in REFUSED {
            let group = match kind {
                "VirtualService" | "DestinationRule" => "networking.istio.io",
                _ => "security.istio.io",
            };
            let object =
                format!("apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{ name: bad }}\nspec: {spec}\n");
            let Err(error) = scene.apply(&object).await else { anyhow::bail!("was accepted: {object}") };
            let text = format!("{error:#}");
            ensure!(text.contains("validation.adit.io"), "not refused by the mesh: {text}");
            ensure!(text.contains(field), "{field} is not named: {text}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_is_accepted_and_says_so() {
    Scene::play("no_effect", true, async |scene: Scene| {
        scene.pair().await?;
        let to_nothing = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: to-nothing }\nspec:\n  parentRefs: [{ group: '', kind: Service, name: nobody, port: 80 }]\n  rules: [{ backendRefs: [{ name: server, port: 80 }] }]\n";
        scene.apply(to_nothing).await?;
        let (reason, message) = scene.condition((ROUTE.0, ROUTE.1, "to-nothing"), "Accepted", "False").await?;
        ensure!(reason == "NoMatchingParent" && message.contains("nobody"), "{reason}: {message}");

        scene.label("v1", "Service", "server", (USE, Some("bogus"))).await?;
        let (reason, message) =
            scene.condition(("v1", "Service", "server"), "istio.io/WaypointBound", "False").await?;
        ensure!(reason == "WaypointIsNotReady" && message.contains("bogus"), "{reason}: {message}");
        scene.label("v1", "Service", "server", (USE, None)).await?;

        let policy = |name: &str, target: &str| {
            format!(
                "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: {name} }}\nspec: {{ targetRefs: [{{ kind: Service, group: '', name: {target} }}], rules: [{{}}] }}\n"
            )
        };
        scene.apply(&policy("of-nothing", "nobody")).await?;
        let of_nothing = (POLICY.0, POLICY.1, "of-nothing");
        let (reason, _) = scene.condition(of_nothing, "WaypointAccepted", "False").await?;
        ensure!(reason == "TargetNotFound", "{reason}");
        scene.apply(&policy("unbound", "server")).await?;
        let (reason, _) = scene.condition((POLICY.0, POLICY.1, "unbound"), "WaypointAccepted", "False").await?;
        ensure!(reason == "AncestorNotBound", "{reason}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l4_29_a_policy_that_ztunnel_cannot_judge_in_full_says_which_fields() {
    Scene::play("l4_29_fields", true, async |scene: Scene| {
        scene.pair().await?;
        scene
            .apply("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: paths }\nspec: { selector: { matchLabels: { app: nobody } }, rules: [{ to: [{ operation: { paths: [/x] } }] }] }\n")
            .await?;
        let (reason, message) = scene.condition((POLICY.0, POLICY.1, "paths"), "ZtunnelAccepted", "True").await?;
        ensure!(reason == "UnsupportedValue" && message.contains("paths"), "{reason}: {message}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sec_08_garbage_harms_nothing_else() {
    Scene::play("sec_08_garbage", true, async |scene: Scene| {
        let url = scene.pair().await?;
        scene.apply(&waypoint("waypoint")).await?;
        let gateway = ("gateway.networking.k8s.io/v1", "Gateway", "waypoint");
        scene.condition(gateway, "Programmed", "True").await?;
        scene.label("v1", "Service", "server", (USE, Some("waypoint"))).await?;
        let l7 = |calls: &Calls| Calls::all_ok(calls) && calls.iter().all(|it| it.is_l7());
        scene.until("client", &[&url, "-n3"], l7).await?;

        let load = scene.load("client", &url, 400, "20ms");
        // About the neighbour, all of it: what it asks for is not there, or contradicts itself.
        for backend in ["{ name: nobody, port: 80 }", "{ name: server, port: 1 }", "{ kind: Secret, name: server }"] {
            scene
                .apply(&format!(
                    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: garbage }}\nspec:\n  parentRefs: [{{ group: '', kind: Service, name: client, port: 80 }}]\n  rules: [{{ backendRefs: [{backend}] }}]\n"
                ))
                .await?;
            scene.condition((ROUTE.0, ROUTE.1, "garbage"), "ResolvedRefs", "False").await.context(backend)?;
        }
        // Another writer of the same host, younger and with a subset that does not exist.
        scene
            .apply("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: garbage }\nspec: { hosts: [client], http: [{ route: [{ destination: { host: nobody.nowhere, subset: none } }] }] }\n")
            .await?;
        let broken = waypoint("broken").replace("port: 15008", "port: 15009");
        scene.apply(&broken).await?;
        let calls = load.end().await?;
        let failed = calls.failures();
        ensure!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), calls.len(), failed.first());
        // What comes after it still takes effect.
        scene
            .apply("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: shut }\nspec: { selector: { matchLabels: { app: server } }, action: DENY, rules: [{}] }\n")
            .await?;
        let shut = |calls: &Calls| calls.iter().all(|it| !it.is_ok());
        scene.until("client", &[&url, "-n3"], shut).await?;
        Ok(())
    })
    .await;
}
