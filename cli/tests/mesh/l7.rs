//! Routing, resilience and attachment at a waypoint, from manifests to answers.

use crate::harness::{Mesh, echo_pod, namespace, service, waypoint};

const LABEL: &str = "istio.io/use-waypoint: waypoint";

/// A client and a service in two versions behind a waypoint.
fn shop() -> String {
    [
        namespace("prod", true),
        namespace("plain", false),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "web-v1", "web", "v1", 1),
        echo_pod("prod", "web-v2", "web", "v2", 2),
        echo_pod("plain", "out", "out", "v1", 2),
        service("prod", "web", LABEL),
        service_of_version("v1"),
        service_of_version("v2"),
        waypoint("prod"),
    ]
    .concat()
}

fn service_of_version(version: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web-{version}, namespace: prod}}\n\
         spec:\n  selector: {{app: web, version: {version}}}\n  ports: [{{name: http, port: 80, targetPort: 8080}}]\n---\n"
    )
}

fn http_route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web, namespace: prod}}\n\
         spec:\n  parentRefs: [{{group: '', kind: Service, name: web}}]\n  rules:\n{rules}---\n"
    )
}

fn virtual_service(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: web, namespace: prod}}\n\
         spec:\n  hosts: [web]\n  http:\n{http}---\n"
    )
}

fn lines_with(output: &str, part: &str) -> usize {
    output.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn l7_04_05_gw_03_04_httproutes_match_split_and_change_headers() {
    let mesh = Mesh::up(&shop());
    // WP-02: the request is L7 as soon as the waypoint is there.
    mesh.call_until("prod/client", "http://web/", &["--json"], "x-request-id");
    // WP-06, CAP-04: a client outside the mesh goes round it, and stays L4.
    assert!(!mesh.call("plain/out", "http://web.prod/", &["--json"]).contains("x-request-id"));
    // WP-03: so does a pod's own address.
    let pod = format!("http://{}:8080/", mesh.address("prod/web-v1"));
    assert!(!mesh.call("prod/client", &pod, &["--json"]).contains("x-request-id"));
    // WP-33: plain TCP passes through.
    assert!(mesh.call("prod/client", "tcp://web:9000", &["-d", "hi", "--body"]).contains("web"));
    let greeting = mesh.call("prod/client", "tcp://web:9001", &["--server-first", "-d", "hi", "--body"]);
    assert!(greeting.contains("hello from web"), "{greeting}");

    mesh.apply(&http_route(
        "  - matches: [{headers: [{name: user, value: tester}]}]\n    backendRefs: [{name: web-v2, port: 80}]\n\
         \x20 - matches: [{path: {type: PathPrefix, value: /v2}}]\n    backendRefs: [{name: web-v2, port: 80}]\n\
         \x20 - matches: [{path: {type: Exact, value: /gone}}]\n    backendRefs: [{name: nothing, port: 80}]\n\
         \x20 - matches: [{path: {type: PathPrefix, value: /split}}]\n    \
         backendRefs: [{name: web-v1, port: 80, weight: 9}, {name: web-v2, port: 80, weight: 1}]\n\
         \x20 - matches: [{path: {type: PathPrefix, value: /v1}}]\n    filters:\n    \
         - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-seen, value: 'yes'}]}}\n    \
         - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-answered, value: 'yes'}]}}\n    \
         backendRefs: [{name: web-v1, port: 80}]\n",
    ));
    mesh.call_until("prod/client", "http://web/nowhere", &[], "404");
    let tester = mesh.call("prod/client", "http://web/", &["-n", "5", "-H", "user:tester"]);
    assert_eq!(lines_with(&tester, "200  web v2"), 5, "{tester}");
    // GW-03: by segment.
    assert!(mesh.call("prod/client", "http://web/v2/x", &[]).contains("web v2"));
    assert!(mesh.call("prod/client", "http://web/v2x", &[]).contains("404"));
    // GW-39, WP-28: the rule that names nothing answers 500, its siblings work.
    assert!(mesh.call("prod/client", "http://web/gone", &[]).starts_with("500"));
    // L7-27, GW-10, GW-31, RES-04, L7-25.
    let changed = mesh.call("prod/client", "http://web/v1", &["--json"]).to_lowercase();
    for part in
        ["\"x-seen\":\"yes\"", "\"x-answered\":\"yes\"", "\"x-envoy-attempt-count\":\"1\"", "\"host\":\"web"]
    {
        assert!(changed.contains(part), "{part} in {changed}");
    }
    // GW-04: 90 and 10 of 100; the bounds are six standard deviations wide.
    let split = mesh.call("prod/client", "http://web/split", &["-n", "100"]);
    let second = lines_with(&split, "200  web v2");
    assert!((1..=28).contains(&second), "{second} of 100 went to v2\n{split}");
    assert_eq!(lines_with(&split, "200  web"), 100, "{split}");
}

#[test]
fn res_01_to_09_virtualservices_inject_faults_retry_time_out_and_mirror() {
    let mesh = Mesh::up(&shop());
    mesh.call_until("prod/client", "http://web/", &["--json"], "x-request-id");
    let to = |version: &str| format!("    route: [{{destination: {{host: web, subset: {version}}}}}]\n");
    let rules = [
        format!("  - match: [{{uri: {{prefix: /abort}}}}]\n    fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}\n{}", to("v1")),
        format!("  - match: [{{uri: {{prefix: /delay}}}}]\n    fault: {{delay: {{fixedDelay: 700ms, percentage: {{value: 100}}}}}}\n{}", to("v1")),
        format!("  - match: [{{uri: {{prefix: /slow}}}}]\n    timeout: 300ms\n{}", to("v1")),
        format!("  - match: [{{uri: {{prefix: /retry}}}}]\n    retries: {{attempts: 3, retryOn: '5xx'}}\n{}", to("v1")),
        format!("  - match: [{{uri: {{prefix: /once}}}}]\n    retries: {{attempts: 0}}\n{}", to("v1")),
        format!("  - match: [{{uri: {{prefix: /mirror}}}}]\n    mirror: {{host: web, subset: v2}}\n{}", to("v1")),
        "  - match: [{uri: {prefix: /moved}}]\n    redirect: {uri: /there}\n".to_owned(),
        format!("  - match: [{{uri: {{prefix: /old}}}}]\n    rewrite: {{uri: /new}}\n{}", to("v1")),
        "  - match: [{method: {exact: POST}}]\n    fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}\n    route: [{destination: {host: web}}]\n".to_owned(),
        to("v2").replacen("    route", "  - route", 1),
    ]
    .concat();
    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, namespace: prod}\n\
         spec:\n  host: web\n  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n",
    );
    mesh.apply(&virtual_service(&rules));

    // RES-01, L7-04.
    mesh.call_until("prod/client", "http://web/abort", &[], "418");
    let second = mesh.call("prod/client", "http://web/", &["-n", "5"]);
    assert_eq!(lines_with(&second, "200  web v2"), 5, "{second}");
    // RES-02.
    let grpc = mesh.call("prod/client", "grpc://web:80", &[]);
    assert!(grpc.contains("grpc-status 14"), "{grpc}");
    // RES-22: the delay is there; how much more than it depends on the machine.
    let delayed = mesh.call("prod/client", "http://web/delay", &[]);
    let millis: f64 = delayed.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
    assert!(delayed.starts_with("200") && millis >= 700.0, "{delayed}");
    // RES-05.
    assert!(mesh.call("prod/client", "http://web/slow?delay=2s", &[]).starts_with("504"));
    assert!(mesh.call("prod/client", "http://web/slow", &[]).starts_with("200"));
    // RES-08: two failures are saved by three retries; without retries they are not.
    assert!(mesh.call("prod/client", "http://web/retry?fail=2&key=a", &[]).starts_with("200"));
    assert!(mesh.call("prod/client", "http://web/once?fail=1&key=b", &[]).starts_with("503"));
    // L7-06, L7-11.
    let moved = mesh.call("prod/client", "http://web/moved?x=1", &["--json"]);
    assert!(moved.contains("301") && moved.contains("/there?x=1"), "{moved}");
    let rewritten = mesh.call("prod/client", "http://web/old?x=1", &["--json"]);
    assert!(
        rewritten.contains("\"path\":\"/new\"") && rewritten.contains("\"query\":\"x=1\""),
        "{rewritten}"
    );
    // The mirrored request arrives at v2, the answer comes from v1.
    assert!(mesh.call("prod/client", "http://web/mirror", &[]).contains("200  web v1"));
    let v2 = format!("http://{}:8080/stats", mesh.address("prod/web-v2"));
    mesh.call_until("prod/client", &v2, &["--body"], "/mirror");
}

#[test]
fn wp_02_04_05_09_attachment_by_label_and_back() {
    let mesh = Mesh::up(&shop());
    mesh.call_until("prod/client", "http://web/", &["--json"], "x-request-id");
    let is_l4 = |mesh: &Mesh| {
        mesh.eventually(
            || {
                let answer = mesh.call("prod/client", "http://web/", &["--json"]);
                assert!(answer.contains("\"status\":200"), "{answer}");
                (!answer.contains("x-request-id")).then_some(())
            },
            || "still L7".to_owned(),
        );
    };
    // WP-05: a waypoint that does not exist is no obstacle.
    mesh.apply(&service("prod", "web", "istio.io/use-waypoint: bogus"));
    is_l4(&mesh);
    // WP-04: the namespace's label attaches its services; WP-09: one of them opts out.
    mesh.apply(&service("prod", "web", ""));
    mesh.apply(
        "apiVersion: v1\nkind: Namespace\n\
         metadata: {name: prod, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}\n",
    );
    mesh.call_until("prod/client", "http://web/", &["--json"], "x-request-id");
    mesh.apply(&service("prod", "web", "istio.io/use-waypoint: none"));
    is_l4(&mesh);
}

/// A service behind the waypoint with two ports for plain TCP, and two that connections may be sent to instead.
fn plain_tcp() -> String {
    let tcp = |namespace: &str, name: &str, label: &str, second: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{label}}}}}\n\
             spec:\n  selector: {{app: {name}}}\n  \
             ports: [{{name: tcp, port: 9090, targetPort: 9000}}, {{name: http, port: 80, targetPort: 8080}}{second}]\n---\n"
        )
    };
    [
        namespace("prod", true),
        namespace("plain", false),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "own", "own", "v1", 1),
        echo_pod("prod", "captured", "captured", "v1", 2),
        echo_pod("plain", "uncaptured", "uncaptured", "v1", 2),
        tcp("prod", "own", LABEL, ", {name: tcp-second, port: 9093, targetPort: 9001}"),
        tcp("prod", "captured", "", ""),
        tcp("plain", "uncaptured", "", ""),
        waypoint("prod"),
    ]
    .concat()
}

fn stream_route(kind: &str, name: &str, backends: &str) -> String {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1alpha3" };
    format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: prod}}\n\
         spec:\n  parentRefs: [{{group: '', kind: Service, name: own}}]\n  rules: [{{backendRefs: {backends}}}]\n---\n"
    )
}

#[test]
fn l7_16_17_wp_33_connections_follow_tcproutes_tlsroutes_and_virtualservices() {
    let mesh = Mesh::up(&plain_tcp());
    mesh.call_until("prod/client", "http://own/", &["--json"], "x-request-id");
    let tcp = |count: &str| mesh.call("prod/client", "tcp://own:9090", &["-n", count, "-d", "hi"]);
    assert_eq!(lines_with(&tcp("5"), "tcp  own"), 5, "{}", tcp("5"));

    // L7-16: no port of the parent is named, and the own service is reached by another port.
    let split = "[{name: captured, port: 9090, weight: 3}, {name: uncaptured, namespace: plain, port: 9090}, \
                 {name: own, port: 9093}]";
    mesh.apply(&stream_route("TCPRoute", "split", split));
    mesh.call_until("prod/client", "tcp://own:9090", &["-d", "hi"], "captured");
    let is_split = || {
        let said = tcp("60");
        let counts =
            ["tcp  captured", "tcp  uncaptured", "tcp  hello from own"].map(|it| lines_with(&said, it));
        // 36, 12, 12 of 60: that a smaller one is missed happens once in three hundred thousand runs.
        assert_eq!(counts.iter().sum::<usize>(), 60, "{said}");
        assert!(
            counts.iter().all(|it| *it > 0) && counts[0] > counts[1].max(counts[2]),
            "{counts:?}\n{said}"
        );
    };
    is_split();
    // Requests are not the business of such a route.
    assert!(mesh.call("prod/client", "http://own/", &["--json"]).contains("x-request-id"));
    // WP-33: on the port beside it, whose server speaks first, it holds as well, and nobody waits.
    let first = mesh.call("prod/client", "tcp://own:9093", &["-n", "5", "-d", "hi"]);
    assert_eq!(lines_with(&first, "tcp  "), 5, "{first}");

    // L7-17: a TLSRoute without host names takes the same connections, before a TCPRoute.
    mesh.apply(&stream_route("TLSRoute", "all", "[{name: captured, port: 9090}]"));
    mesh.eventually(
        || (lines_with(&tcp("5"), "tcp  captured") == 5).then_some(()),
        || "the TLSRoute does not decide".to_owned(),
    );
    mesh.apply(&stream_route("TLSRoute", "all", split));
    mesh.eventually(|| tcp("5").contains("uncaptured").then_some(()), || "no split".to_owned());
    is_split();
    mesh.delete("tlsroute", "prod", "all");

    // ST-10: the share of what does not exist is closed, and said.
    mesh.apply(&stream_route("TCPRoute", "split", "[{name: nobody, port: 9090}]"));
    mesh.call_until("prod/client", "tcp://own:9090", &["-d", "hi"], "failed");
    let said = || {
        let routes = mesh.get("routes");
        let route = routes.iter().find(|route| route["kind"] == "TCPRoute").unwrap();
        let status = route["status"].to_string();
        (status.contains("BackendNotFound") && status.contains("nobody")).then_some(())
    };
    mesh.eventually(said, || "the status does not say it".to_owned());
    mesh.delete("tcproute", "prod", "split");

    mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: own, namespace: prod}\n\
         spec:\n  hosts: [own]\n  tcp:\n  - match: [{port: 9090, sourceNamespace: elsewhere}]\n    \
         route: [{destination: {host: nobody}}]\n  - match: [{port: 9090}]\n    \
         route: [{destination: {host: captured, port: {number: 9090}}}]\n",
    );
    mesh.eventually(
        || (lines_with(&tcp("5"), "tcp  captured") == 5).then_some(()),
        || "the VirtualService does not decide".to_owned(),
    );
}
