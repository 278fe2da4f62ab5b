//! The pods that are measured: a client and a server on two nodes, once inside
//! the mesh and once outside it. Outside, the plain forwarder and HAProxy are
//! started in the same two pods, so that every path with two hops has the same
//! shape as the mesh's: application, near proxy, wire, far proxy, application.

use std::fmt::Write;

/// What the server listens on.
pub(crate) const SERVER_PORT: u16 = 8080;
/// The near end of the plain forwarder, on the client's loopback.
pub(crate) const FORWARD_NEAR: u16 = 9000;
/// Its far end, on the server's address.
pub(crate) const FORWARD_WIRE: u16 = 9001;
/// The near end of the HAProxy pair.
pub(crate) const HAPROXY_NEAR: u16 = 9100;
/// Its far end.
pub(crate) const HAPROXY_WIRE: u16 = 9101;

/// Enrolled.
pub(crate) const MESH: &str = "bench-mesh";
/// Not enrolled.
pub(crate) const PLAIN: &str = "bench-plain";

/// Pairs of pods that talk at the same time.
pub(crate) const PAIRS: usize = 16;

/// How much the mesh knows beside what is measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) workloads: usize,
    pub(crate) policies: usize,
}

/// Both namespaces, a server and an idle client in each; in the mesh a pair for each of [`PAIRS`].
pub(crate) fn all(program: &str, crowd: Crowd) -> String {
    let listen = format!("0.0.0.0:{SERVER_PORT}");
    let serve = [program, "serve", "--listen", &listen];
    let idle = ["sleep", "infinity"];
    let mut all = [
        namespace(MESH, "{istio.io/dataplane-mode: ambient}"),
        namespace(PLAIN, "{}"),
        pod(MESH, "server", "node-2", &serve),
        pod(MESH, "client", "node-1", &idle),
        pod(PLAIN, "server", "node-2", &serve),
        pod(PLAIN, "client", "node-1", &idle),
    ]
    .concat();
    for number in 0..PAIRS {
        all += &pod(MESH, &of_pair("server", number), "node-2", &serve);
        all += &pod(MESH, &of_pair("client", number), "node-1", &idle);
    }
    all + &strangers(crowd)
}

/// The name of a pod of a pair.
pub(crate) fn of_pair(name: &str, number: usize) -> String {
    format!("{name}-{number}")
}

/// Workloads that nobody talks to, and policies for some of them.
fn strangers(crowd: Crowd) -> String {
    let mut all = String::new();
    for number in 0..crowd.workloads {
        let (high, low) = (number / 250, number % 250 + 1);
        let _ = write!(
            all,
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: stranger-{number}, namespace: {PLAIN}}}\n\
             spec: {{address: 10.99.{high}.{low}, labels: {{app: stranger}}, serviceAccount: stranger-{number}}}\n---\n"
        );
    }
    for number in 0..crowd.policies {
        let _ = write!(
            all,
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: policy-{number}, namespace: {PLAIN}}}\n\
             spec: {{selector: {{matchLabels: {{app: stranger-{number}}}}}, \
             rules: [{{from: [{{source: {{namespaces: [ns-{number}]}}}}]}}]}}\n---\n"
        );
    }
    all
}

/// The command of a plain forwarder.
pub(crate) fn forward(program: &str, listen: &str, to: &str) -> Vec<String> {
    [program, "forward", "--listen", listen, "--to", to].map(str::to_owned).to_vec()
}

fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n---\n")
}

fn pod(namespace: &str, name: &str, node: &str, command: &[&str]) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\n\
         spec:\n  nodeName: {node}\n  containers:\n  - name: main\n    image: bench\n    command: {command:?}\n---\n"
    )
}
