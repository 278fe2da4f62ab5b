//! How many requests may pass, from manifests to answers: counted by the waypoint, and by the mesh's own rate limiter with
//! its counts in Redis.

use crate::harness::{ADIT, Mesh, echo_pod, namespace, service, waypoint};

fn shop() -> String {
    [
        namespace("prod", true),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "stranger", "stranger", "v1", 2),
        echo_pod("prod", "web", "web", "v1", 2),
        service("prod", "web", "istio.io/use-waypoint: waypoint"),
        waypoint("prod"),
    ]
    .concat()
}

/// A pod that is somebody to count, and a service in front of it.
fn program(name: &str, port: u16, protocol: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: prod, labels: {{app: {name}}}}}\n\
         spec:\n  nodeName: node-1\n  containers:\n  - name: {name}\n    command: [{command}]\n    \
         readinessProbe: {{tcpSocket: {{port: {port}}}, periodSeconds: 1}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: prod}}\n\
         spec:\n  selector: {{app: {name}}}\n  ports: [{{name: {protocol}, port: {port}}}]\n---\n"
    )
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: policy.adit.io/v1alpha1\nkind: RateLimitPolicy\n\
         metadata: {{name: calm, namespace: prod}}\nspec:\n  \
         targetRefs: [{{kind: Service, name: web}}]\n  limits: [{{{spec}}}]\n---\n"
    )
}

/// Waits until the policy's status says so of its one target.
fn told(mesh: &Mesh, kind: &str, expected: &str) {
    let look = || {
        let policies = mesh.get("policies");
        let policy = policies.iter().find(|it| it["kind"] == "RateLimitPolicy")?;
        let conditions = policy["status"]["ancestors"][0]["conditions"].as_array()?;
        let condition = conditions.iter().find(|it| it["type"] == kind)?;
        (format!("{} {}", condition["status"].as_str()?, condition["reason"].as_str()?) == expected)
            .then_some(())
    };
    mesh.eventually(look, || format!("the policy does not say {kind} {expected}"));
}

fn statuses(mesh: &Mesh, from: &str, path: &str, count: usize) -> Vec<String> {
    (0..count).map(|_| mesh.call(from, &format!("http://web{path}"), &[])[..3].to_owned()).collect()
}

#[test]
fn res_local_and_global_limits_from_manifests_to_answers() {
    let mesh = Mesh::up(&shop());
    for from in ["prod/client", "prod/stranger"] {
        mesh.call_until(from, "http://web/", &["--json"], "x-request-id");
    }
    // An hour, so that nothing is filled again while the test runs.
    let when = "when: [{path: {type: PathPrefix, value: /few}}, {path: {type: Exact, value: /probe}}]";
    mesh.apply(&policy(&format!(
        "name: each, requests: 2, per: 1h, keys: [{{from: ServiceAccount}}], {when}"
    )));
    told(&mesh, "Accepted", "True Accepted");
    mesh.call_until("prod/stranger", "http://web/probe", &[], "429");
    // A bucket for each caller, and none for what the limit is not about.
    assert_eq!(statuses(&mesh, "prod/client", "/few", 3), ["200", "200", "429"]);
    assert_eq!(statuses(&mesh, "prod/client", "/free", 3), ["200", "200", "200"]);
    let refused = mesh.call("prod/client", "http://web/few", &["--body"]);
    assert!(refused.contains("local_rate_limited"), "{refused}");

    // Somebody counts who is not there: what could not be counted passes.
    let global = "name: all, requests: 2, per: 24h, when: [{path: {value: /few}}], \
                  global: {service: {name: limiter, port: 8081}, timeout: 2s}";
    mesh.apply(&policy(global));
    told(&mesh, "ResolvedRefs", "False BackendNotFound");
    mesh.call_until("prod/client", "http://web/few", &[], "200");
    let redis = "redis-server, --port, '6379', --bind, 0.0.0.0, --protected-mode, 'no', --save, ''";
    let limiter = format!("{ADIT:?}, rate-limiter, --redis, 'redis://redis:6379', --address, '0.0.0.0:8081'");
    mesh.apply(&(program("redis", 6379, "tcp", redis) + &program("limiter", 8081, "grpc", &limiter)));
    told(&mesh, "ResolvedRefs", "True ResolvedRefs");
    // All callers together.
    mesh.call_until("prod/client", "http://web/few", &[], "429");
    assert_eq!(statuses(&mesh, "prod/stranger", "/few", 1), ["429"]);
    assert_eq!(statuses(&mesh, "prod/stranger", "/free", 1), ["200"]);

    // Without Redis nothing is counted, and this time nothing passes.
    mesh.delete("pod", "prod", "redis");
    let closed = global.replace("timeout: 2s", "timeout: 2s, failureModeDeny: true");
    mesh.apply(&policy(&closed));
    mesh.call_until("prod/client", "http://web/few", &[], "500");
    mesh.delete("ratelimitpolicy", "prod", "calm");
    mesh.call_until("prod/client", "http://web/few", &[], "200");
}
