//! Capture, identity and L4 policy, seen from applications and from the proxies' own logs.

use crate::harness::{Mesh, echo_pod, namespace, service, text};

/// Two namespaces, one enrolled; servers on both nodes.
fn shop() -> String {
    [
        namespace("prod", true),
        namespace("plain", false),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "near", "near", "v1", 1),
        echo_pod("prod", "far", "far", "v1", 2),
        echo_pod("plain", "out", "out", "v1", 2),
        service("prod", "far", ""),
        service("prod", "near", ""),
        service("plain", "out", ""),
        service("prod", "client", ""),
    ]
    .concat()
}

/// The shop is up, and every proxy has heard of everyone.
fn open() -> Mesh {
    let mesh = Mesh::up(&shop());
    for (from, url, answer) in [
        ("prod/client", "http://far/", "200  far"),
        ("prod/client", "http://near/", "200  near"),
        ("prod/client", "http://client/", "200  client"),
        ("prod/near", "http://far/", "200  far"),
        ("prod/client", "http://out.plain/", "200  out"),
        ("plain/out", "http://far.prod/", "200  far"),
    ] {
        mesh.call_until(from, url, &[], answer);
    }
    mesh
}

fn ok(answer: &str, server: &str) {
    assert!(answer.starts_with(&format!("200  {server} ")), "wanted an answer of {server}, got: {answer}");
}

/// The line in a ztunnel's access log that has all of these parts.
fn logged(mesh: &Mesh, component: &str, parts: &[&str]) -> String {
    mesh.eventually(
        || {
            let log = mesh.logs(component);
            log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        },
        || format!("no line of {component} has {parts:?}"),
    )
}

#[test]
fn cap_03_to_18_every_pairing_of_captured_and_uncaptured_pods() {
    let mesh = open();
    let (client, far) = (mesh.address("prod/client"), mesh.address("prod/far"));

    // CAP-10, CAP-05, CAP-18: by pod address, over HBONE, with the client's address kept.
    let answer = mesh.call("prod/client", &format!("http://{far}:8080/pod"), &["--json"]);
    assert!(answer.contains(&format!("\"{client}:")), "the server did not see {client}: {answer}");
    let outbound = logged(&mesh, "ztunnel-node-1", &["connection complete", "direction=\"outbound\"", &far]);
    for part in [
        "src.identity=\"spiffe://cluster.local/ns/prod/sa/client\"",
        "dst.identity=\"spiffe://cluster.local/ns/prod/sa/far\"",
        &format!("dst.addr={far}:15008"),
        &format!("dst.hbone_addr=\"{far}:8080\""),
    ] {
        assert!(plain(&outbound).contains(&plain(part)), "{part} in {outbound}");
    }
    logged(&mesh, "ztunnel-node-2", &["connection complete", "direction=\"inbound\"", "ns/prod/sa/client"]);

    // CAP-03, CAP-06: by service; a server that speaks first; the same node (CAP-17).
    ok(&mesh.call("prod/client", "http://far/", &[]), "far");
    ok(&mesh.call("prod/client", "http://far.prod.svc.cluster.local/", &["--http2"]), "far");
    ok(&mesh.call("prod/client", "http://near/", &[]), "near");
    logged(&mesh, "ztunnel-node-1", &["direction=\"inbound\"", "ns/prod/sa/near", "ns/prod/sa/client"]);
    let greeting = mesh.call("prod/client", "tcp://far:9001", &["--server-first", "-d", "hi", "--body"]);
    assert!(greeting.contains("hello from far"), "{greeting}");
    assert!(mesh.call("prod/client", "tcp://far:9000", &["-d", "hi", "--body"]).contains("far"), "echo");

    // CAP-15, CAP-16: out of the mesh and into it, in plain text and without an identity.
    ok(&mesh.call("prod/client", "http://out.plain/", &[]), "out");
    ok(&mesh.call("plain/out", "http://far.prod/", &[]), "far");
    let inbound = logged(&mesh, "ztunnel-node-2", &["direction=\"inbound\"", &mesh.address("plain/out")]);
    assert!(!inbound.contains("src.identity"), "{inbound}");

    // CAP-08, CAP-09, CAP-29: itself by address and by service; a port of no service.
    ok(&mesh.call("prod/client", &format!("http://{client}:8080/"), &[]), "client");
    ok(&mesh.call("prod/client", "http://client/", &[]), "client");
    assert!(mesh.call("prod/client", &format!("tcp://{far}:9000"), &["-d", "x", "--body"]).contains("far"));

    // LB-05: a port the service does not declare is no way around it.
    let refused = mesh.call("prod/client", "http://far:8081/", &[]);
    assert!(refused.contains("failed"), "{refused}");
    // L4-04: none of this needed a policy; SEC-07: nothing of the proxy's own answers in the pod.
    let admin = mesh.call("prod/client", "http://127.0.0.1:15000/config_dump", &[]);
    assert!(admin.contains("failed"), "{admin}");
}

/// Quotes around values depend on the value's type; what is said does not.
fn plain(text: &str) -> String {
    text.replace('"', "")
}

fn policy(name: &str, action: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {name}, namespace: prod}}\n\
         spec:\n  selector: {{matchLabels: {{app: far}}}}\n  action: {action}\n  rules: {rules}\n---\n"
    )
}

#[test]
fn l4_01_02_14_policies_admit_refuse_and_cut() {
    let mesh = open();
    ok(&mesh.call("prod/client", "http://far/", &[]), "far");

    // L4-01: the principal decides; L4-02: without one there is no way in.
    mesh.apply(&policy(
        "far",
        "ALLOW",
        "[{from: [{source: {principals: [cluster.local/ns/prod/sa/client]}}]}]",
    ));
    mesh.call_until("prod/near", "http://far/", &[], "failed");
    // The call above may have been let in and then cut by the change; this one is refused.
    assert!(mesh.call("prod/near", "http://far/", &[]).contains("failed"));
    ok(&mesh.call("prod/client", "http://far/", &[]), "far");
    assert!(mesh.call("plain/out", "http://far.prod/", &[]).contains("failed"));
    // L4-05, TEL-24: the log says why.
    logged(
        &mesh,
        "ztunnel-node-2",
        &[
            "connection closed due to policy rejection: allow policies exist, but none allowed",
            "ns/prod/sa/near",
        ],
    );

    // L4-14: a connection that was allowed ends when it no longer is.
    let far = mesh.address("prod/far");
    let script = format!("exec 3<>/dev/tcp/{far}/9000; echo one >&3; cat <&3");
    let held = mesh.start("prod/client", &["bash", "-c", &script]);
    logged(&mesh, "prod/far", &["TCP from"]);
    mesh.apply(&policy(
        "no-client",
        "DENY",
        "[{from: [{source: {principals: [cluster.local/ns/prod/sa/client]}}]}]",
    ));
    let output = held.finish();
    assert!(text(&output.stdout).contains("one"), "the connection had been alive: {output:?}");
    logged(&mesh, "ztunnel-node-2", &["connection closed due to policy change"]);
    mesh.call_until("prod/client", "http://far/", &[], "failed");

    mesh.delete("authorizationpolicy", "prod", "no-client");
    mesh.call_until("prod/client", "http://far/", &[], "200  far");
}

#[test]
fn l4_19_20_strict_refuses_plain_text_but_for_the_ports_that_allow_it() {
    let mesh = open();
    let far = mesh.address("prod/far");
    ok(&mesh.call("plain/out", "http://far.prod/", &[]), "far");
    mesh.apply(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {name: far, namespace: prod}\n\
         spec:\n  selector: {matchLabels: {app: far}}\n  mtls: {mode: STRICT}\n  \
         portLevelMtls: {9000: {mode: PERMISSIVE}}\n",
    );
    mesh.call_until("plain/out", "http://far.prod/", &[], "failed");
    ok(&mesh.call("prod/client", "http://far/", &[]), "far");
    let allowed = mesh.call("plain/out", &format!("tcp://{far}:9000"), &["-d", "hi", "--body"]);
    assert!(allowed.contains("far"), "{allowed}");
}

#[test]
fn cap_01_02_labels_enrol_and_withdraw_running_pods() {
    let mesh = open();
    ok(&mesh.call("prod/client", "http://out.plain/", &[]), "out");
    assert_eq!(identified(&mesh), 0, "not enrolled yet");

    mesh.apply(&namespace("plain", true));
    let mut answers = Vec::new();
    mesh.eventually(
        || {
            answers.push(mesh.call("prod/client", "http://out.plain/", &[]));
            (identified(&mesh) > 0).then_some(())
        },
        || "the pod of the labelled namespace has no identity".to_owned(),
    );
    mesh.apply(&namespace("plain", false));
    mesh.eventually(
        || {
            let before = identified(&mesh);
            answers.push(mesh.call("prod/client", "http://out.plain/", &[]));
            (identified(&mesh) == before && answers.last()?.starts_with("200")).then_some(())
        },
        || "the pod is still captured".to_owned(),
    );
    // CAP-02: half of the calls around the change is what is asked for; a moment
    // of the change itself is all that may be lost.
    let good = answers.iter().filter(|answer| answer.starts_with("200")).count();
    assert!(
        2 * good >= answers.len(),
        "{good} of {} calls were answered\n{}",
        answers.len(),
        answers.concat()
    );
    for _ in 0..10 {
        ok(&mesh.call("prod/client", "http://out.plain/", &[]), "out");
    }
}

/// How many connections the far ztunnel has logged with the identity of the newly enrolled pod.
fn identified(mesh: &Mesh) -> usize {
    mesh.logs("ztunnel-node-2").matches("ns/plain/sa/out").count()
}
