//! The objects that most scenes have.

use std::env;

/// The image of every pod.
pub fn image() -> String {
    env::var("ADIT_E2E_IMAGE").unwrap_or_else(|_| "adit/adit:0.1.0".to_owned())
}

/// A pod that echoes on 8080 (HTTP), 9090 (TCP) and 9091 (server first), and can call.
#[derive(Clone, Debug)]
pub struct EchoPod<'a> {
    /// Its name, its `app` label and its service account.
    pub name: &'a str,
    /// The version it reports.
    pub version: &'a str,
    /// The node it has to run on.
    pub node: Option<&'a str>,
    /// More labels, as lines of YAML: `name: value`.
    pub labels: &'a [&'a str],
    /// On the node's own network.
    pub host_network: bool,
}

impl<'a> EchoPod<'a> {
    /// One without anything special.
    pub fn new(name: &'a str) -> Self {
        EchoPod { name, version: "v1", node: None, labels: &[], host_network: false }
    }

    /// On that node.
    pub fn on(self, node: &'a str) -> Self {
        EchoPod { node: Some(node), ..self }
    }

    /// With these labels too.
    pub fn labelled(self, labels: &'a [&'a str]) -> Self {
        EchoPod { labels, ..self }
    }

    /// Pod and service account.
    pub fn manifest(&self) -> String {
        let EchoPod { name, version, .. } = self;
        let labels: String = self.labels.iter().map(|label| format!("\n    {label}")).collect();
        let spec = self.spec().replace('\n', "\n  ");
        format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{ name: {name} }}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels:\n    app: {name}\n    version: {version}{labels}\n\
             spec:\n  {spec}\n"
        )
    }

    /// The pod's spec, not indented.
    pub fn spec(&self) -> String {
        let EchoPod { name, version, host_network, .. } = self;
        let node = self.node.map(|node| format!("\nnodeSelector: {{ kubernetes.io/hostname: {node} }}"));
        // There the names of the cluster have to be asked for.
        let dns = if *host_network { "\ndnsPolicy: ClusterFirstWithHostNet" } else { "" };
        // On the node's network its ports must not be anybody else's.
        let ports = if *host_network { ["18080", "19090", "19091"] } else { ["8080", "9090", "9091"] };
        format!(
            "serviceAccountName: {name}\nhostNetwork: {host_network}\nterminationGracePeriodSeconds: 2{node}{dns}\ncontainers:\n\
             - name: echo\n  image: {image}\n  imagePullPolicy: IfNotPresent\n\
             \x20 args: [echo, --http={http}, --tcp={tcp}, --server-first={first}, --name={name}, --version={version}]\n\
             \x20 env: [{{ name: POD_NAME, valueFrom: {{ fieldRef: {{ fieldPath: metadata.name }} }} }}]\n\
             \x20 resources: {{ requests: {{ cpu: 5m, memory: 8Mi }} }}\n\
             \x20 readinessProbe: {{ httpGet: {{ path: /healthz, port: {http} }}, periodSeconds: 1 }}",
            node = node.unwrap_or_default(),
            image = image(),
            http = ports[0],
            tcp = ports[1],
            first = ports[2],
        )
    }
}

/// A Service in front of the pods of that `app`.
pub fn service(name: &str, app: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n  selector: {{ app: {app} }}\n  ports:\n\
         \x20 - {{ name: http, port: 80, targetPort: 8080 }}\n\
         \x20 - {{ name: grpc, port: 7070, targetPort: 8080 }}\n\
         \x20 - {{ name: tcp, port: 9090, targetPort: 9090 }}\n\
         \x20 - {{ name: tcp-first, port: 9091, targetPort: 9091 }}\n"
    )
}

/// A waypoint, as `istioctl waypoint apply` writes it.
pub fn waypoint(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{ name: {name} }}\nspec:\n\
         \x20 gatewayClassName: istio-waypoint\n  listeners: [{{ name: mesh, port: 15008, protocol: HBONE }}]\n"
    )
}
