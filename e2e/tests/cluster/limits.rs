//! How many requests may pass through a waypoint: counted by itself, and by the mesh's rate limiter with its counts in a
//! Redis that is in the cluster.

use std::env;

use adit_e2e::manifests::{EchoPod, image, waypoint};
use adit_e2e::{Calls, Scene};
use anyhow::{Context, Result, ensure};

const POLICY: (&str, &str, &str) = ("policy.adit.io/v1alpha1", "RateLimitPolicy", "calm");
const LIMITED: &str = "istio_rate_limit_requests_total";

/// The image of Redis; `cluster/redis.sh` makes the one that is used where nothing is said.
fn redis_image() -> String {
    env::var("ADIT_E2E_REDIS_IMAGE").unwrap_or_else(|_| "adit-e2e/redis:debian".to_owned())
}

/// A pod with one container, and a Service of its name in front of it; not in the mesh.
fn program(name: &str, port: u16, protocol: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{ app: {name}, istio.io/dataplane-mode: none }}\n\
         spec:\n  terminationGracePeriodSeconds: 2\n  containers:\n  - name: {name}\n    imagePullPolicy: IfNotPresent\n    \
         {container}\n    readinessProbe: {{ tcpSocket: {{ port: {port} }}, periodSeconds: 1 }}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ app: {name} }}\n  \
         ports: [{{ name: {protocol}, port: {port} }}]\n"
    )
}

fn policy(limit: &str) -> String {
    format!(
        "apiVersion: policy.adit.io/v1alpha1\nkind: RateLimitPolicy\nmetadata: {{ name: calm }}\nspec:\n  \
         targetRefs: [{{ kind: Service, name: server }}]\n  limits: [{{ {limit} }}]\n"
    )
}

/// A client, a stranger, and a server behind a waypoint; its URL.
async fn shop(scene: &Scene) -> Result<String> {
    scene.apply(&EchoPod::new("stranger").manifest()).await?;
    scene.apply(&waypoint("waypoint")).await?;
    let url = scene.pair().await?;
    scene.captured(&["stranger"]).await?;
    scene.label("v1", "Service", "server", ("istio.io/use-waypoint", Some("waypoint"))).await?;
    for from in ["client", "stranger"] {
        scene
            .until(from, &[&url, "-n3"], |calls| calls.all_ok() && calls.iter().all(|it| it.is_l7()))
            .await?;
    }
    Ok(url)
}

fn statuses(calls: &Calls) -> Vec<u64> {
    calls.iter().filter_map(|it| it.status()).collect()
}

fn all(calls: &Calls, status: u64) -> bool {
    statuses(calls).iter().all(|it| *it == status)
}

#[tokio::test(flavor = "multi_thread")]
async fn res_a_waypoint_counts_each_caller_by_itself() {
    Scene::play("res_local_limits", true, async |scene: Scene| {
        let url = shop(&scene).await?;
        // An hour, so that nothing is filled again while the test runs.
        let limit = "name: each, requests: 2, per: 1h, keys: [{ from: ServiceAccount }], \
                     when: [{ path: { value: /few } }, { path: { type: Exact, value: /probe } }]";
        scene.apply(&policy(limit)).await?;
        let (reason, message) = scene.condition(POLICY, "Accepted", "True").await?;
        ensure!(reason == "Accepted", "{reason}: {message}");
        let probe = format!("{url}probe");
        scene.until("stranger", &[&probe], |calls| all(calls, 429)).await?;
        let few = scene.call("client", &[&format!("{url}few"), "-n3"]).await?;
        ensure!(statuses(&few) == [200, 200, 429], "{few:?}");
        let last = few.iter().last().context("no answer")?;
        ensure!(last.header("x-ratelimit-remaining") == Some("0"), "{last:?}");
        let free = scene.call("client", &[&format!("{url}free"), "-n5"]).await?;
        ensure!(free.all_ok(), "{free:?}");
        let limit = format!("policy=\"{}/calm\"", scene.namespace);
        scene.waypoint_counts(LIMITED, &[&limit, "outcome=\"over_limit\""], 2.0).await?;
        let refused = ["response_code=\"429\"", "response_flags=\"RL\"", "source_workload=\"client\""];
        scene.waypoint_counts("istio_requests_total", &refused, 1.0).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn res_the_rate_limiter_counts_all_callers_together() {
    Scene::play("res_global_limits", true, async |scene: Scene| {
        let redis = format!(
            "image: {}\n    command: [redis-server, --bind, 0.0.0.0, --protected-mode, \"no\", --save, \"\"]",
            redis_image()
        );
        let limiter =
            format!("image: {}\n    args: [rate-limiter, --redis, \"redis://redis:6379\"]", image());
        scene.apply(&program("redis", 6379, "tcp", &redis)).await?;
        scene.apply(&program("limiter", 8081, "grpc", &limiter)).await?;
        let url = shop(&scene).await?;
        for app in ["redis", "limiter"] {
            scene.ready(&format!("app={app}"), 1).await?;
        }
        let global = "name: all, requests: 2, per: 24h, when: [{ path: { value: /few } }], \
                      global: { service: { name: limiter, port: 8081 }, timeout: 2s, failureModeDeny: true }";
        scene.apply(&policy(global)).await?;
        for (condition, reason) in [("Accepted", "Accepted"), ("ResolvedRefs", "ResolvedRefs")] {
            let said = scene.condition(POLICY, condition, "True").await?;
            ensure!(said.0 == reason, "{said:?}");
        }
        let few = format!("{url}few");
        scene.until("client", &[&few], |calls| all(calls, 429)).await?;
        let others = scene.call("stranger", &[&few, "-n2"]).await?;
        ensure!(all(&others, 429), "{others:?}");
        let free = scene.call("stranger", &[&format!("{url}free"), "-n3"]).await?;
        ensure!(free.all_ok(), "{free:?}");
        let limit = format!("policy=\"{}/calm\"", scene.namespace);
        scene.waypoint_counts(LIMITED, &[&limit, "outcome=\"within\""], 2.0).await?;
        scene.waypoint_counts(LIMITED, &[&limit, "outcome=\"over_limit\""], 3.0).await?;
        // Without Redis nothing can be counted, and this policy lets nothing pass uncounted.
        scene.delete("apiVersion: v1\nkind: Pod\nmetadata: { name: redis }\n").await?;
        scene.until("client", &[&few, "-n2"], |calls| all(calls, 500)).await?;
        scene.delete(&policy(global)).await?;
        scene.until("client", &[&few, "-n3"], Calls::all_ok).await.map(drop)
    })
    .await;
}
