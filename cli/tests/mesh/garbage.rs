//! Bytes that make no sense, on every port, in every file; and everyone else unharmed.

use std::fs;

use crate::harness::{Mesh, echo_pod, namespace, service, text};

const SPRAY: &str = r#"
import socket, sys, os, ssl
host, ports = sys.argv[1], [int(p) for p in sys.argv[2].split(",")]
payloads = [b"", b"\0" * 4096, b"GET / HTTP/1.1\r\n\r\n", os.urandom(20000),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500)]
for port in ports:
    for payload in payloads:
        try:
            s = socket.create_connection((host, port), timeout=2)
            s.sendall(payload)
            s.settimeout(0.3)
            try: s.recv(1000)
            except Exception: pass
            s.close()
        except Exception: pass
# Half-open connections that are left lying about.
held = []
for port in ports:
    for _ in range(50):
        try: held.append(socket.create_connection((host, port), timeout=2))
        except Exception: pass
print("sprayed", len(held), flush=True)
"#;

fn shop() -> String {
    [
        namespace("prod", true),
        namespace("plain", false),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "far", "far", "v1", 2),
        echo_pod("plain", "out", "out", "v1", 1),
        service("prod", "far", ""),
    ]
    .concat()
}

#[test]
fn sec_01_05_hb_22_garbage_on_every_port_harms_nobody() {
    let mesh = Mesh::up(&shop());
    mesh.call_until("prod/client", "http://far/", &[], "200  far");
    let before = (mesh.pid("ztunnel-node-1"), mesh.pid("ztunnel-node-2"));
    let ports = "15001,15006,15008,15000,15020,15021,8080";
    let (far, node) = (mesh.address("prod/far"), "172.30.0.12");
    for (from, host) in [
        ("plain/out", far.as_str()),
        ("prod/client", "127.0.0.1"),
        ("prod/client", &far),
        ("plain/out", node),
    ] {
        let output = mesh.exec(from, &["python3", "-c", SPRAY, host, ports]);
        assert!(text(&output.stdout).contains("sprayed"), "{output:?}");
        assert!(mesh.call("prod/client", "http://far/", &[]).starts_with("200"), "after {from} → {host}");
    }
    assert_eq!((mesh.pid("ztunnel-node-1"), mesh.pid("ztunnel-node-2")), before, "a ztunnel died");
}

#[test]
fn a_broken_manifest_is_refused_with_file_line_and_field_and_changes_nothing() {
    let mesh = Mesh::up(&shop());
    mesh.call_until("prod/client", "http://far/", &[], "200  far");
    let folder = tempfile::tempdir().unwrap();
    let nested = "[".repeat(20_000);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let large = format!("# {}\n", "x".repeat(10 << 20));
    for (name, content, said) in [
        ("syntax.yaml", "kind: Service\n  metadata: [\n", "syntax.yaml:2"),
        (
            "field.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: many}]\n",
            "field.yaml:5",
        ),
        ("nested.yaml", nested.as_str(), "nested.yaml"),
        ("bomb.yaml", bomb, "bomb.yaml"),
        ("large.yaml", large.as_str(), "large.yaml"),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        let output = mesh.adit(&["apply", "-f", file.to_str().unwrap()]);
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{name}: {error}");
    }
    assert!(mesh.call("prod/client", "http://far/", &[]).starts_with("200"));
}
