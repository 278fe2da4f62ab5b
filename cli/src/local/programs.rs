//! The mesh's own programs, as pods: the controller on the fabric, a ztunnel and a node agent on each
//! node, and what the pods of waypoints have in common.

use anyhow::{Context, Result};
use controller_translate::expand::WaypointTemplate;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::addresses::CONTROLLER;
use super::mesh::Mesh;
use super::network::node_name;

/// The namespace of the mesh's own programs, and of policies for all of the mesh.
pub(super) const NAMESPACE: &str = "istio-system";
/// The image that is this program.
pub(super) const IMAGE: &str = "adit";
/// Where the controller runs: on the network that joins the nodes.
pub(super) const CONTROL_PLANE: &str = "control-plane";
/// The pods of waypoints have it; see the labels of generated objects.
const MANAGED: (&str, &str) = ("gateway.istio.io/managed", "istio.io-mesh-controller");

/// Settings of the mesh's programs.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgramSettings {
    /// How long certificates are good for, in the notation of `SECRET_TTL`.
    pub(super) certificate_ttl: Option<String>,
    /// What waypoints are told besides.
    pub(super) waypoint_env: Vec<(String, String)>,
}

/// Whether a pod proves to the controller who it is, and so needs a token.
pub(super) fn needs_token(pod: &Pod) -> bool {
    let label = |name: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name));
    let is_ztunnel = pod.metadata.namespace.as_deref() == Some(NAMESPACE)
        && label("app").is_some_and(|app| app == "ztunnel");
    is_ztunnel || is_waypoint(pod)
}

/// Whether a pod is a waypoint's.
pub(super) fn is_waypoint(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED.0)).is_some_and(|value| value == MANAGED.1)
}

/// The controller.
pub(super) fn controller(mesh: &Mesh) -> Result<Pod> {
    pod(json!({
        "metadata": { "name": "controller", "namespace": NAMESPACE, "labels": { "app": "istiod" } },
        "spec": {
            "nodeName": CONTROL_PLANE,
            "hostNetwork": true,
            "containers": [{
                "name": "discovery",
                "image": IMAGE,
                "args": [
                    "controller",
                    "--manifests", mesh.manifests(),
                    "--runtime", mesh.runtime(),
                    "--status", mesh.status(),
                    "--ca", mesh.ca(),
                    "--token-key", mesh.token_key(),
                    "--xds-address", format!("{CONTROLLER}:15012"),
                ],
                "readinessProbe": { "tcpSocket": { "port": 15012 }, "periodSeconds": 1 },
            }],
        },
    }))
}

/// A node's proxy.
pub(super) fn ztunnel(mesh: &Mesh, node: u8, settings: &ProgramSettings) -> Result<Pod> {
    let mut env = own_fields();
    let socket = mesh.node(&node_name(node)).join("zds.sock");
    env.push(json!({ "name": "INPOD_UDS", "value": socket }));
    // There is no server that pods could reach: names the mesh does not know are refused at once, not waited for.
    env.push(json!({ "name": "DNS_RESOLV_CONF", "value": "/dev/null" }));
    for (name, value) in control_plane(mesh, settings) {
        env.push(json!({ "name": name, "value": value }));
    }
    pod(json!({
        "metadata": {
            "name": format!("ztunnel-{}", node_name(node)), "namespace": NAMESPACE, "labels": { "app": "ztunnel" }
        },
        "spec": {
            "nodeName": node_name(node),
            "hostNetwork": true,
            "serviceAccountName": "ztunnel",
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "istio-proxy",
                "image": IMAGE,
                "args": ["ztunnel"],
                "env": env,
                "readinessProbe": { "httpGet": { "port": 15021, "path": "/healthz/ready" }, "periodSeconds": 1 },
            }],
        },
    }))
}

/// A node's agent.
pub(super) fn node_agent(mesh: &Mesh, node: u8) -> Result<Pod> {
    let directory = mesh.node(&node_name(node));
    pod(json!({
        "metadata": {
            "name": format!("node-agent-{}", node_name(node)), "namespace": NAMESPACE,
            "labels": { "k8s-app": "istio-cni-node" }
        },
        "spec": {
            "nodeName": node_name(node),
            "hostNetwork": true,
            "serviceAccountName": "istio-cni",
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "install-cni",
                "image": IMAGE,
                "args": ["node-agent"],
                "env": [
                    { "name": "NODE_AGENT_PODS", "value": directory.join("pods") },
                    { "name": "NODE_AGENT_RESULTS", "value": directory.join("results") },
                    { "name": "ZTUNNEL_UDS_ADDRESS", "value": directory.join("zds.sock") },
                    { "name": "NODE_AGENT_HEALTH", "value": "0.0.0.0:8000" },
                ],
                "readinessProbe": { "httpGet": { "port": 8000, "path": "/readyz" }, "periodSeconds": 1 },
            }],
        },
    }))
}

/// What the pods of waypoints are made from.
pub(super) fn waypoint_template(mesh: &Mesh, settings: &ProgramSettings) -> WaypointTemplate {
    let variables = control_plane(mesh, settings).into_iter().chain([("ACCESS_LOG", "text".to_owned())]);
    WaypointTemplate {
        image: IMAGE.to_owned(),
        args: vec!["waypoint".to_owned()],
        // The last of a name counts.
        env: variables
            .map(|(name, value)| (name.to_owned(), value))
            .chain(settings.waypoint_env.iter().cloned())
            .collect(),
        ..WaypointTemplate::default()
    }
}

/// How a proxy finds the controller and proves itself to it.
fn control_plane(mesh: &Mesh, settings: &ProgramSettings) -> Vec<(&'static str, String)> {
    let address = format!("https://{CONTROLLER}:15012");
    let root = mesh.ca().join("root-cert.pem").display().to_string();
    let token = format!("{}/$(POD_NAMESPACE).$(POD_NAME)", mesh.tokens().display());
    let mut variables = vec![
        ("XDS_ADDRESS", address.clone()),
        ("CA_ADDRESS", address),
        ("XDS_ROOT_CA", root.clone()),
        ("CA_ROOT_CA", root),
        ("AUTH_TOKEN", token),
    ];
    variables.extend(settings.certificate_ttl.clone().map(|ttl| ("SECRET_TTL", ttl)));
    variables
}

/// Variables that say who the pod is.
fn own_fields() -> Vec<Value> {
    let fields = [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("INSTANCE_IP", "status.podIP"),
        ("NODE_NAME", "spec.nodeName"),
        ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    ];
    let variable = |(name, path): (&str, &str)| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    fields.into_iter().map(variable).collect()
}

fn pod(value: Value) -> Result<Pod> {
    serde_json::from_value(value).context("the pod of a program of the mesh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_have_tokens_and_find_the_controller() {
        let mesh: Mesh = "demo".parse().unwrap();
        let waypoint_env = vec![("ACCESS_LOG".to_owned(), "off".to_owned())];
        let settings = ProgramSettings { certificate_ttl: Some("140s".to_owned()), waypoint_env };
        let ztunnel = ztunnel(&mesh, 1, &settings).unwrap();
        assert!(needs_token(&ztunnel));
        assert!(!needs_token(&controller(&mesh).unwrap()));
        assert!(!needs_token(&node_agent(&mesh, 1).unwrap()));
        let template = waypoint_template(&mesh, &settings);
        assert_eq!(template.env["AUTH_TOKEN"], "/run/adit/demo/tokens/$(POD_NAMESPACE).$(POD_NAME)");
        assert_eq!(template.env["SECRET_TTL"], "140s");
        assert_eq!(template.env["ACCESS_LOG"], "off", "what the user says counts");
    }
}
