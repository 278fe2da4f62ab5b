//! Objects that have much to do with each other: few names, many ways to refer to them.

#[path = "entries.rs"]
mod entries;

use controller_translate::{Kind, Object};
use serde_json::{Value, json};

/// A number to draw choices from.
pub(crate) struct Choice(pub(crate) u64);

impl Choice {
    fn below(&mut self, count: u64) -> u64 {
        // The steps of a well-known generator: choices far from the first must still vary.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()].clone()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }
}

const NAMESPACES: [&str; 3] = ["x", "y", "istio-system"];
const SERVICES: [&str; 3] = ["a", "b", "w"];
const WAYPOINTS: [&str; 3] = ["w", "v", "none"];
const VERSIONS: [&str; 2] = ["v1", "v2"];

fn labels(c: &mut Choice) -> Value {
    let mut labels = serde_json::Map::new();
    let pairs: [(&str, &[&str]); 9] = [
        ("app", &["a", "b"]),
        ("version", &VERSIONS),
        ("istio.io/use-waypoint", &WAYPOINTS),
        ("istio.io/use-waypoint-namespace", &NAMESPACES),
        ("istio.io/use-waypoint-canary", &WAYPOINTS),
        ("istio.io/use-waypoint-canary-namespace", &NAMESPACES),
        ("istio.io/waypoint-for", &["service", "workload", "all", "none"]),
        ("istio.io/ingress-use-waypoint", &["true", "false"]),
        ("istio.io/rev", &["default", "default", "other"]),
    ];
    for (name, values) in pairs {
        if let Some(value) = c.maybe(|c| c.of(values)) {
            labels.insert(name.into(), value.into());
        }
    }
    labels.into()
}

/// The kinds that are drawn; some more often than others.
const KINDS: [Kind; 26] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::Pod,
    Kind::Service,
    Kind::Service,
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::EndpointSlice,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TcpRoute,
    Kind::TlsRoute,
    Kind::BackendTlsPolicy,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
    Kind::Telemetry,
    Kind::RateLimitPolicy,
    Kind::ResiliencePolicy,
    Kind::ConfigMap,
    Kind::ServiceEntry,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
];

pub(crate) fn object(c: &mut Choice) -> Object {
    let kind = c.of(&KINDS);
    let namespace = c.of(&NAMESPACES);
    let mut value = match kind {
        Kind::Namespace => json!({ "metadata": { "name": namespace } }),
        Kind::Node => json!({ "metadata": { "name": "node" } }),
        Kind::GatewayClass => gateway_class(c),
        Kind::Pod => pod(c),
        Kind::Service => service(c),
        Kind::Gateway => gateway(c),
        Kind::EndpointSlice => endpoint_slice(c),
        Kind::HttpRoute => http_route(c),
        Kind::GrpcRoute => grpc_route(c),
        Kind::TcpRoute | Kind::TlsRoute => stream_route(c),
        Kind::BackendTlsPolicy => backend_tls_policy(c),
        Kind::VirtualService => virtual_service(c),
        Kind::DestinationRule => destination_rule(c),
        Kind::AuthorizationPolicy => authorization_policy(c),
        Kind::PeerAuthentication => peer_authentication(c),
        Kind::RequestAuthentication => request_authentication(c),
        Kind::Telemetry => telemetry(c),
        Kind::RateLimitPolicy => rate_limit_policy(c),
        Kind::ResiliencePolicy => resilience_policy(c),
        Kind::ConfigMap => mesh_config(c),
        Kind::ServiceEntry => entries::service_entry(c),
        Kind::WorkloadEntry => entries::workload_entry(c),
        _ => unreachable!("not drawn"),
    };
    if kind.is_namespaced() {
        value["metadata"]["namespace"] = namespace.into();
    }
    if value["metadata"].get("labels").is_none() {
        value["metadata"]["labels"] = labels(c);
    }
    if kind == Kind::Node {
        value["metadata"]["labels"] = json!({ "topology.kubernetes.io/zone": c.of(&["z1", "z2"]) });
    }
    if let Some(weight) = c.maybe(|c| c.of(&["0", "50", "x"])) {
        value["metadata"]["annotations"] = json!({ "istio.io/use-waypoint-canary-weight": weight });
    }
    value["metadata"]["creationTimestamp"] = c.of(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]).into();
    Object::from_value(kind, value).unwrap()
}

fn telemetry(c: &mut Choice) -> Value {
    let mut spec = json!({
        "tracing": [{ "providers": [{ "name": c.of(&["traces", "other"]) }], "randomSamplingPercentage": c.of(&[1, 2]) }],
        "accessLogging": [{ "disabled": c.of(&[true, false]), "providers": [{ "name": "envoy" }] }],
    });
    let target =
        |kind: &str, group: &str, name: &str| json!([{ "group": group, "kind": kind, "name": name }]);
    match c.below(4) {
        0 => spec["selector"] = json!({ "matchLabels": { "app": "a" } }),
        1 => spec["targetRefs"] = target("Service", "", c.of(&SERVICES)),
        2 => spec["targetRefs"] = target("Gateway", "gateway.networking.k8s.io", c.of(&["w", "v"])),
        _ => {}
    }
    json!({ "metadata": { "name": c.of(&["p", "q"]) }, "spec": spec })
}

fn mesh_config(c: &mut Choice) -> Value {
    let host = format!("{}.{}.svc.cluster.local", c.of(&SERVICES), c.of(&NAMESPACES));
    let provider = json!({ "name": "traces", "opentelemetry": { "service": host, "port": 80 } });
    let host = format!("{}.{}.svc.cluster.local", c.of(&SERVICES), c.of(&NAMESPACES));
    let limiter = json!({ "name": "p", "envoyRateLimitGrpc": { "service": host, "port": 80 } });
    let mut mesh =
        json!({ "accessLogFile": c.of(&["", "/dev/stdout"]), "extensionProviders": [provider, limiter] });
    if c.below(2) == 0 {
        let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": c.of(&NAMESPACES) } });
        let rule = json!({ "namespaceSelector": namespace });
        let policy = json!({ "visibility": c.of(&["PUBLIC", "NAMESPACE", "NONE"]), "matchingRules": [rule] });
        let default = c.of(&["PUBLIC", "NAMESPACE", "NONE"]);
        mesh["serviceEntryVisibility"] = json!({ "defaultVisibility": default, "policies": [policy] });
    }
    json!({ "metadata": { "name": "istio" }, "data": { "mesh": mesh.to_string() } })
}

fn gateway_class(c: &mut Choice) -> Value {
    let controller = c.of(&["istio.io/mesh-controller", "example.com/other"]);
    json!({ "metadata": { "name": "own" }, "spec": { "controllerName": controller } })
}

fn pod(c: &mut Choice) -> Value {
    let ready = c.of(&["True", "True", "False"]);
    let mut labels = labels(c);
    if let Some(gateway) = c.maybe(|c| c.of(&["w", "v"])) {
        labels["gateway.networking.k8s.io/gateway-name"] = gateway.into();
    }
    let name = c.of(&["p", "q"]);
    json!({
        "metadata": { "name": name, "labels": labels },
        "spec": { "nodeName": "node", "containers": [
            { "name": "c", "ports": [{ "name": c.of(&["web", "api"]), "containerPort": 8080 }] }
        ] },
        "status": { "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": ready }] }
    })
}

fn service(c: &mut Choice) -> Value {
    let name = c.of(&SERVICES);
    let mut labels = labels(c);
    if name == "w" {
        labels["gateway.networking.k8s.io/gateway-name"] = "w".into();
    }
    let kind = c.of(&["ClusterIP", "ClusterIP", "ClusterIP", "ExternalName"]);
    let second = c.maybe(|c| json!({ "name": c.of(&["other", "tcp-b"]), "port": 81, "targetPort": "web" }));
    let first = json!({ "name": c.of(&["http", "http", "tls"]), "port": 80 });
    let ports: Vec<Value> = [Some(first), second].into_iter().flatten().collect();
    let ip = c.of(&["10.96.0.1", "10.96.0.1", "None"]);
    json!({
        "metadata": { "name": name, "labels": labels },
        "spec": { "type": kind, "clusterIP": ip, "ports": ports, "selector": { "app": c.of(&["a", "b"]) } }
    })
}

fn gateway(c: &mut Choice) -> Value {
    let from = c.of(&["All", "Same", "Selector"]);
    let mut gateway = json!({
        "metadata": { "name": c.of(&["w", "v"]) },
        "spec": {
            "gatewayClassName": c.of(&["istio-waypoint", "istio-waypoint", "own", "istio"]),
            "listeners": [{
                "name": "mesh", "port": c.of(&[15008, 15008, 80]), "protocol": "HBONE",
                "allowedRoutes": { "namespaces": {
                    "from": from, "selector": { "matchLabels": { "app": "a" } }
                } }
            }]
        }
    });
    if let Some(ip) = c.maybe(|c| c.of(&["10.96.9.1", "10.96.9.2"])) {
        gateway["status"] = json!({ "addresses": [{ "type": "IPAddress", "value": ip }] });
    }
    gateway
}

fn backend(c: &mut Choice) -> Value {
    let mut backend = json!({ "name": c.of(&SERVICES), "port": c.of(&[80, 81]) });
    if let Some(namespace) = c.maybe(|c| c.of(&NAMESPACES)) {
        backend["namespace"] = namespace.into();
    }
    match c.below(6) {
        0 => entries::make_entry(&mut backend),
        1 => entries::make_host(&mut backend, c),
        _ => {}
    }
    backend
}

fn http_route(c: &mut Choice) -> Value {
    let kind = c.of(&["Service", "Service", "ServiceEntry", "Gateway"]);
    let mut parent = json!({ "kind": kind, "name": c.of(&SERVICES) });
    parent["group"] = match kind {
        "Service" => "",
        "ServiceEntry" => "networking.istio.io",
        _ => "gateway.networking.k8s.io",
    }
    .into();
    if let Some(namespace) = c.maybe(|c| c.of(&NAMESPACES)) {
        parent["namespace"] = namespace.into();
    }
    if let Some(port) = c.maybe(|c| c.of(&[80, 81])) {
        parent["port"] = port.into();
    }
    let mirror =
        c.maybe(|c| json!([{ "type": "RequestMirror", "requestMirror": { "backendRef": backend(c) } }]));
    json!({
        "metadata": { "name": c.of(&["r", "s"]) },
        "spec": { "parentRefs": [parent], "rules": [
            { "backendRefs": [backend(c)], "filters": mirror, "matches": [{ "path": { "value": c.of(&["/", "/a"]) } }] }
        ] }
    })
}

fn grpc_route(c: &mut Choice) -> Value {
    let mut route = http_route(c);
    route["spec"]["rules"][0]["matches"] = json!([{ "method": { "service": c.of(&["a.B", "c.D"]) } }]);
    route
}

fn stream_route(c: &mut Choice) -> Value {
    let mut route = http_route(c);
    let backends = route["spec"]["rules"][0]["backendRefs"].take();
    route["spec"]["rules"] = json!([{ "backendRefs": backends }]);
    if let Some(name) = c.maybe(|c| c.of(&["a.example", "*.example"])) {
        route["spec"]["hostnames"] = json!([name]);
    }
    route
}

fn endpoint_slice(c: &mut Choice) -> Value {
    let mut endpoint = json!({
        "addresses": [c.of(&["10.9.0.1", "10.9.0.2"])], "nodeName": "node",
        "conditions": { "ready": c.of(&[true, false]) }
    });
    if let Some(pod) = c.maybe(|c| c.of(&["p", "q"])) {
        endpoint["targetRef"] = json!({ "kind": "Pod", "name": pod });
    }
    let mut labels = json!({ "kubernetes.io/service-name": c.of(&SERVICES) });
    if c.below(4) == 0 {
        labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io".into();
    }
    json!({
        "metadata": { "name": c.of(&["t", "u"]), "labels": labels },
        "addressType": "IPv4", "endpoints": [endpoint], "ports": [{ "name": "http", "port": 8080 }]
    })
}

fn host(c: &mut Choice) -> String {
    match c.below(6) {
        0 => "*".to_owned(),
        3 => entries::host(c),
        4 => "*.example".to_owned(),
        1 => format!("*.{}.svc.cluster.local", c.of(&NAMESPACES)),
        2 => format!("{}.{}.svc.cluster.local", c.of(&SERVICES), c.of(&NAMESPACES)),
        _ => c.of(&SERVICES).to_owned(),
    }
}

fn virtual_service(c: &mut Choice) -> Value {
    let mut destination = json!({ "host": host(c).trim_start_matches('*') });
    if let Some(subset) = c.maybe(|c| c.of(&VERSIONS)) {
        destination["subset"] = subset.into();
    }
    if let Some(port) = c.maybe(|c| c.of(&[80, 81])) {
        destination["port"] = json!({ "number": port });
    }
    let mut spec = json!({ "hosts": [host(c)] });
    let route = json!([{ "destination": destination }]);
    if c.below(3) > 0 {
        spec["http"] = json!([{ "route": route }]);
    }
    if c.below(3) == 0 {
        let mut matched = json!({});
        if let Some(port) = c.maybe(|c| c.of(&[80, 81])) {
            matched["port"] = port.into();
        }
        spec["tcp"] = json!([{ "match": [matched], "route": route }]);
    }
    if c.below(3) == 0 {
        spec["tls"] = json!([{ "match": [{ "sniHosts": [c.of(&["*", "a.example"])] }], "route": route }]);
    }
    json!({ "metadata": { "name": c.of(&["h", "i"]) }, "spec": spec })
}

fn traffic_policy(c: &mut Choice) -> Value {
    let balancer = |c: &mut Choice| json!({ "simple": c.of(&["RANDOM", "ROUND_ROBIN", "PASSTHROUGH"]) });
    let mut policy = json!({ "loadBalancer": c.maybe(balancer) });
    if let Some(port) = c.maybe(|c| c.of(&[80, 81])) {
        policy["portLevelSettings"] = json!([{ "port": { "number": port }, "loadBalancer": balancer(c) }]);
    }
    policy
}

fn destination_rule(c: &mut Choice) -> Value {
    let subsets: Vec<Value> = (0..c.below(3))
        .map(|_| {
            let labels = json!({ c.of(&["version", "app"]): "v1" });
            json!({ "name": c.of(&VERSIONS), "labels": labels, "trafficPolicy": c.maybe(traffic_policy) })
        })
        .collect();
    let spec = json!({ "host": host(c), "subsets": subsets, "trafficPolicy": c.maybe(traffic_policy) });
    json!({ "metadata": { "name": c.of(&["d", "e"]) }, "spec": spec })
}

fn backend_tls_policy(c: &mut Choice) -> Value {
    let (group, kind) = c.of(&[("", "Service"), ("networking.istio.io", "ServiceEntry")]);
    let section = c.maybe(|c| c.of(&["http", "other"]));
    let target = json!({ "group": group, "kind": kind, "name": c.of(&SERVICES), "sectionName": section });
    let validation = match c.maybe(|c| c.of(&["m", "n"])) {
        Some(map) => json!({ "caCertificateRefs": [{ "group": "", "kind": "ConfigMap", "name": map }] }),
        None => json!({ "wellKnownCACertificates": c.of(&["System", "Other"]) }),
    };
    let mut spec = json!({ "targetRefs": [target], "validation": validation });
    spec["validation"]["hostname"] = "a.example".into();
    json!({ "metadata": { "name": c.of(&["f", "g"]) }, "spec": spec })
}

fn resilience_policy(c: &mut Choice) -> Value {
    let (group, kind, names) = c.of(&[
        ("", "Service", &SERVICES[..]),
        ("networking.istio.io", "ServiceEntry", &SERVICES[..]),
        ("gateway.networking.k8s.io", "HTTPRoute", &["r", "s"]),
        ("networking.istio.io", "VirtualService", &["u", "v"]),
    ]);
    let mut spec = json!({ "targetRefs": [{ "group": group, "kind": kind, "name": c.of(names) }] });
    spec["hedging"] = json!({ "delay": c.of(&["50ms", "1s"]) });
    if matches!(kind, "Service" | "ServiceEntry") {
        spec["healthCheck"] = json!({ "tcp": {}, "port": c.maybe(|c| c.of(&[80, 81])) });
    }
    let created = c.of(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]);
    json!({ "metadata": { "name": c.of(&["j", "k", "l"]), "creationTimestamp": created }, "spec": spec })
}

fn rate_limit_policy(c: &mut Choice) -> Value {
    let section = c.maybe(|c| c.of(&["http", "named"]));
    let target = match c.maybe(target) {
        Some(targets) => targets[0].clone(),
        None => {
            let (group, kind) = c.of(&[
                ("gateway.networking.k8s.io", "HTTPRoute"),
                ("gateway.networking.k8s.io", "GRPCRoute"),
                ("networking.istio.io", "VirtualService"),
            ]);
            let name = c.of(&["r", "s", "u", "v"]);
            json!({ "group": group, "kind": kind, "name": name, "sectionName": section })
        }
    };
    let global = c.maybe(|c| match c.maybe(|c| c.of(&["p", "q"])) {
        Some(provider) => json!({ "provider": provider }),
        None => json!({ "service": { "name": c.of(&SERVICES), "port": c.of(&[80, 81]) } }),
    });
    let mut limit = json!({ "name": "one", "requests": 1, "per": c.of(&["1s", "1m"]) });
    if let Some(global) = global {
        limit["global"] = global;
    }
    let spec = json!({ "targetRefs": [target], "limits": [limit] });
    json!({ "metadata": { "name": c.of(&["h", "i"]) }, "spec": spec })
}

fn selector(c: &mut Choice) -> Option<Value> {
    c.maybe(|c| json!({ "matchLabels": { "app": c.of(&["a", "b"]) } }))
}

fn target(c: &mut Choice) -> Value {
    let gateway = "gateway.networking.k8s.io";
    match c.below(4) {
        3 => json!([{ "group": gateway, "kind": "GatewayClass", "name": c.of(&["istio-waypoint", "own"]) }]),
        2 => json!([{ "group": "networking.istio.io", "kind": "ServiceEntry", "name": c.of(&SERVICES) }]),
        0 => json!([{ "group": "", "kind": "Service", "name": c.of(&SERVICES) }]),
        _ => json!([{ "group": gateway, "kind": "Gateway", "name": c.of(&WAYPOINTS) }]),
    }
}

fn request_authentication(c: &mut Choice) -> Value {
    let keys = c.maybe(|_| "https://issuer/keys");
    let mut spec = json!({ "jwtRules": [{ "issuer": c.of(&["i", "j"]), "jwksUri": keys }] });
    if let Some(target) = c.maybe(target) {
        spec["targetRefs"] = target;
    }
    json!({ "metadata": { "name": c.of(&["t", "u"]) }, "spec": spec })
}

fn authorization_policy(c: &mut Choice) -> Value {
    let target = c.maybe(target);
    let mut spec = json!({
        "action": c.of(&["ALLOW", "DENY", "AUDIT"]),
        "rules": [{ "to": [{ "operation": { "ports": [c.of(&["80", "81"])] } }] }]
    });
    match (target, selector(c)) {
        (Some(target), _) => spec["targetRefs"] = target,
        (None, Some(selector)) => spec["selector"] = selector,
        (None, None) => {}
    }
    json!({ "metadata": { "name": c.of(&["l", "m"]) }, "spec": spec })
}

fn peer_authentication(c: &mut Choice) -> Value {
    let modes = ["UNSET", "DISABLE", "PERMISSIVE", "STRICT"];
    let mut spec = json!({ "mtls": { "mode": c.of(&modes) } });
    if let Some(selector) = selector(c) {
        spec["selector"] = selector;
        spec["portLevelMtls"] = json!({ "8080": { "mode": c.of(&modes) }, "81": { "mode": c.of(&modes) } });
    }
    json!({ "metadata": { "name": c.of(&["n", "o"]) }, "spec": spec })
}
