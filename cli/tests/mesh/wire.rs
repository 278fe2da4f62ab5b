//! What crosses the wire between two nodes: TLS and nothing of the application's bytes.

use crate::harness::{Mesh, echo_pod, namespace, text};

/// Reads frames of the node's uplink, from before the first request until after
/// the last, and prints what it saw of the two kinds.
const WATCH: &str = r#"
import socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
wire.settimeout(0.2)
print("watching", flush=True)
end, tls, secret = time.time() + float(sys.argv[1]), 0, 0
while time.time() < end:
    try: frame = wire.recv(65535)
    except TimeoutError: continue
    tls += b"\x17\x03\x03" in frame
    secret += b"the-secret" in frame
print("tls", tls, "secret", secret)
"#;

#[test]
fn hb_01_between_nodes_there_is_only_tls() {
    let manifests = [
        namespace("prod", true),
        namespace("plain", false),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "far", "far", "v1", 2),
        echo_pod("plain", "in", "in", "v1", 1),
        echo_pod("plain", "out", "out", "v1", 2),
    ]
    .concat();
    let mesh = Mesh::up(&manifests);
    let seen = |from: &str, to: &str| {
        let node = format!("adit-{}-node-2", mesh.name());
        let mut watch = std::process::Command::new("ip");
        watch.args(["netns", "exec", &node, "python3", "-c", WATCH, "3"]);
        let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut output = std::io::BufReader::new(watch.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line, "watching\n");
        let url = format!("http://{}:8080/the-secret", mesh.address(to));
        assert!(mesh.call(from, &url, &["-d", "the-secret"]).starts_with("200"));
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut output, &mut rest).unwrap();
        watch.wait().unwrap();
        let rest = text(&rest);
        let numbers: Vec<u32> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (numbers[0], numbers[1])
    };
    // The watch sees what is there: outside the mesh the bytes are in the open.
    let (_, secret) = seen("plain/in", "plain/out");
    assert!(secret > 0, "the watch is blind");
    let (tls, secret) = seen("prod/client", "prod/far");
    assert!(tls > 0, "no TLS record was seen");
    assert_eq!(secret, 0, "the request crossed in plain text");
}
