//! What is measured, as manifests: a client, a server behind a waypoint, and the same without a mesh, where the
//! other proxies run in a pod between the two. Each proxy is its own pod, so that all paths cross the same wires.

use std::fmt::Write;

/// Enrolled, with a waypoint.
pub(super) const MESH: &str = "bench-waypoint";
/// Not enrolled.
pub(super) const PLAIN: &str = "bench-plain";
/// What the server listens on.
pub(super) const SERVER_PORT: u16 = 8080;
/// The host of the route that is measured, and the beginning of its paths.
pub(super) const HOST: &str = "shop.example";
pub(super) const PREFIX: &str = "/shop/";

/// A service of the mesh.
#[derive(Clone, Copy)]
pub(super) struct Served {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
    protocol: &'static str,
    /// Of its pods.
    app: &'static str,
}

const fn served(name: &'static str, address: &'static str) -> Served {
    Served { name, address, protocol: "http", app: "server" }
}

const H2C: &str = "kubernetes.io/h2c";
/// A server of the mesh that is not enrolled.
const OPEN: &str = "open-server";

pub(super) const HTTP1: Served = served("http1", "10.96.77.1");
pub(super) const HTTP2: Served = Served { protocol: H2C, ..served("http2", "10.96.77.2") };
pub(super) const FEW: Served = served("few", "10.96.77.3");
pub(super) const MANY: Served = served("many", "10.96.77.4");
/// Its route is changed.
pub(super) const CHANGED: Served = served("changed", "10.96.77.5");
pub(super) const OPEN_HTTP1: Served = Served { app: OPEN, ..served("open-http1", "10.96.77.6") };
pub(super) const OPEN_HTTP2: Served =
    Served { app: OPEN, protocol: H2C, ..served("open-http2", "10.96.77.7") };
/// Where the waypoint takes connections in the open.
pub(super) const OPEN_PORT: u16 = 15088;
/// Who the client of the mesh is.
pub(super) const CLIENT: &str = "spiffe://cluster.local/ns/bench-waypoint/sa/default";

/// The API allows no more rules in one HTTPRoute.
const MOST_RULES: usize = 16;

/// Everything there is at the beginning.
pub(super) fn all(program: &str) -> String {
    let listen = format!("0.0.0.0:{SERVER_PORT}");
    let serve = [program, "backend", "--listen", &listen];
    let idle = ["sleep", "infinity"];
    let labels = "{istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}";
    let mut text = [
        namespace(MESH, labels),
        namespace(PLAIN, "{}"),
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
             metadata: {{name: waypoint, namespace: {MESH}}}\n\
             spec:\n  gatewayClassName: adit-waypoint\n  \
             listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]\n---\n"
        ),
        pod(MESH, "server", "node-2", &serve),
        pod(MESH, OPEN, "node-2", &serve),
        pod(MESH, "client", "node-1", &idle),
        pod(PLAIN, "server", "node-2", &serve),
        pod(PLAIN, "proxy", "node-1", &idle),
        pod(PLAIN, "client", "node-1", &idle),
    ]
    .concat();
    for served in [HTTP1, HTTP2, FEW, MANY, CHANGED, OPEN_HTTP1, OPEN_HTTP2] {
        text.push_str(&service(served));
    }
    for served in [HTTP1, HTTP2, OPEN_HTTP1, OPEN_HTTP2] {
        text.push_str(&one_route(served));
    }
    text
}

/// One route: a host and a beginning of paths, one backend.
fn one_route(served: Served) -> String {
    let rule = format!(
        "  - match: [{{authority: {{exact: {HOST}}}, uri: {{prefix: {PREFIX}}}}}]\n    route: [{{destination: {{host: {}}}}}]\n",
        served.name
    );
    virtual_service(served.name, &rule)
}

/// So many routes of a service, each with paths of its own.
pub(super) fn numbered_routes(served: Served, count: usize) -> String {
    let name = served.name;
    let numbers: Vec<usize> = (0..count).collect();
    let of_rule = |number: &usize| {
        let path = numbered_path(*number);
        format!(
            "  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             backendRefs: [{{name: {name}, port: 80}}]\n"
        )
    };
    let of_object = |(index, numbers): (usize, &[usize])| {
        let rules: String = numbers.iter().map(of_rule).collect();
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: {name}-{index}, namespace: {MESH}}}\n\
             spec:\n  parentRefs: [{{group: \"\", kind: Service, name: {name}, port: 80}}]\n  rules:\n{rules}---\n"
        )
    };
    numbers.chunks(MOST_RULES).enumerate().map(of_object).collect()
}

/// The beginning of the paths of one of many routes.
pub(super) fn numbered_path(number: usize) -> String {
    format!("/r{number:05}/")
}

/// The route that is changed: its answers say which version they are of.
pub(super) fn changed_route(version: usize) -> String {
    let rule = format!(
        "  - route: [{{destination: {{host: {}}}}}]\n    headers: {{response: {{set: {{x-version: \"{version}\"}}}}}}\n",
        CHANGED.name
    );
    virtual_service(CHANGED.name, &rule)
}

/// So many services with so many endpoints each.
pub(super) fn crowd(services: usize, endpoints: usize) -> String {
    let mut text = String::new();
    for service in 0..services {
        let address = |endpoint| {
            let number = service * endpoints + endpoint;
            format!("{{address: 10.{}.{}.{}}}", 128 + number / 62_500, number / 250 % 250, 1 + number % 250)
        };
        let list: Vec<String> = (0..endpoints).map(address).collect();
        let (name, list) = (format!("crowd-{service}"), list.join(", "));
        let (third, fourth) = (service / 250, 1 + service % 250);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: {name}, namespace: {MESH}}}\n\
             spec:\n  hosts: [{name}.example]\n  addresses: [10.97.{third}.{fourth}]\n  \
             location: MESH_INTERNAL\n  resolution: STATIC\n  \
             ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{list}]\n---\n",
        );
    }
    text
}

/// So many routes of each of these services.
pub(super) fn crowd_routes(services: usize, routes: usize) -> String {
    let of_service = |service: usize| {
        let (name, host) = (format!("crowd-{service}"), format!("crowd-{service}.example"));
        let of_route = |route: usize| {
            let path = numbered_path(route);
            format!(
                "  - match: [{{uri: {{prefix: {path}}}}}]\n    route: [{{destination: {{host: {host}}}}}]\n"
            )
        };
        virtual_service_for(&name, &host, &(0..routes).map(of_route).collect::<String>())
    };
    (0..services).map(of_service).collect()
}

fn virtual_service(name: &str, rules: &str) -> String {
    virtual_service_for(name, name, rules)
}

fn virtual_service_for(name: &str, host: &str, rules: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: {MESH}}}\nspec:\n  hosts: [{host}]\n  http:\n{rules}---\n"
    )
}

fn service(Served { name, address, protocol, app }: Served) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {MESH}}}\n\
         spec:\n  clusterIP: {address}\n  selector: {{app: {app}}}\n  \
         ports: [{{name: web, port: 80, targetPort: {SERVER_PORT}, appProtocol: {protocol}}}]\n---\n"
    )
}

fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n---\n")
}

fn pod(namespace: &str, name: &str, node: &str, command: &[&str]) -> String {
    let mode = if name == OPEN { ", istio.io/dataplane-mode: none" } else { "" };
    format!(
        "apiVersion: v1\nkind: Pod\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}{mode}}}}}\n\
         spec:\n  nodeName: {node}\n  containers:\n  - name: main\n    image: bench\n    command: {command:?}\n---\n"
    )
}
