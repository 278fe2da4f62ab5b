//! Tests of `plugin`: the protocol, with an agent that is a few lines.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use super::*;

const RESULT: &str = r#"{"cniVersion":"0.4.0","interfaces":[{"name":"eth0"}],
  "ips":[{"version":"4","interface":0,"address":"10.244.1.5/24","gateway":"10.244.1.1"},{"address":"fd00::5/64"}]}"#;

fn environment(command: &str, namespace: &str) -> BTreeMap<String, String> {
    let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=web;K8S_POD_UID=u-1");
    [("CNI_COMMAND", command), ("CNI_NETNS", "/var/run/netns/cni-1"), ("CNI_ARGS", &arguments)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn input(run_dir: &std::path::Path, version: &str) -> String {
    format!(
        r#"{{"cniVersion":"{version}","name":"net","type":"adit-cni","runDir":{run_dir:?},
            "excludeNamespaces":["kube-system"],"prevResult":{RESULT}}}"#
    )
}

/// An agent that takes one pod and answers so; what it was told.
fn agent(directory: &tempfile::TempDir, answer: &'static str) -> thread::JoinHandle<String> {
    let listener = UnixListener::bind(directory.path().join(crate::cni::SOCKET)).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; 4096];
        let mut length = 0;
        loop {
            length += stream.read(&mut received[length..]).unwrap();
            let text = String::from_utf8_lossy(&received[..length]).into_owned();
            if text.ends_with('}') {
                stream.write_all(answer.as_bytes()).unwrap();
                return text;
            }
        }
    })
}

#[test]
fn cni_01_a_pod_is_announced_and_the_result_passed_on_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let agent = agent(&directory, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let output = run(&environment("ADD", "shop"), &input(directory.path(), "0.4.0"));
    assert_eq!((output.text.as_str(), output.failed), (RESULT, false));
    let told = agent.join().unwrap();
    assert!(told.starts_with("POST /cmdadd HTTP/1.1\r\n"), "{told}");
    let pod: NewPod = serde_json::from_str(told.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (pod.pod_name.as_str(), pod.pod_namespace.as_str(), pod.pod_uid.as_str()),
        ("web", "shop", "u-1")
    );
    let addresses: Vec<_> = pod.ips.iter().map(|ip| ip.address.ip.to_string()).collect();
    assert_eq!(addresses, ["10.244.1.5", "fd00::5"]);
}

#[test]
fn cni_01_without_an_agent_the_sandbox_fails() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&environment("ADD", "shop"), &input(directory.path(), "1.1.0"));
    let answer: Value = serde_json::from_str(&output.text).unwrap();
    assert!(output.failed);
    assert_eq!((answer["cniVersion"].as_str(), answer["code"].as_u64()), (Some("1.1.0"), Some(11)));
    assert!(answer["msg"].as_str().unwrap().contains("adit-node-agent"), "{answer}");
}

#[test]
fn cni_01_a_refusal_fails_the_sandbox_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let agent = agent(&directory, "HTTP/1.1 503 Service Unavailable\r\n\r\nno ztunnel is connected\n");
    let output = run(&environment("ADD", "shop"), &input(directory.path(), "0.4.0"));
    assert!(output.failed && output.text.contains("no ztunnel is connected"), "{}", output.text);
    agent.join().unwrap();
}

#[test]
fn cni_05_excluded_namespaces_and_other_commands_need_no_agent() {
    let nowhere = std::path::Path::new("/nowhere");
    let output = run(&environment("ADD", "kube-system"), &input(nowhere, "0.4.0"));
    assert_eq!((output.text.as_str(), output.failed), (RESULT, false));
    for command in ["DEL", "CHECK", "GC", "STATUS"] {
        let output = run(&environment(command, "shop"), &input(nowhere, "0.4.0"));
        assert_eq!((output.text.as_str(), output.failed), ("", false), "{command}");
    }
    let versions: Value =
        serde_json::from_str(&run(&environment("VERSION", ""), r#"{"cniVersion":"1.0.0"}"#).text).unwrap();
    assert_eq!(versions["cniVersion"], "1.0.0");
    assert!(versions["supportedVersions"].as_array().unwrap().contains(&"0.3.1".into()));
}

#[test]
fn calls_that_cannot_be_right_get_the_number_of_their_failure() {
    let nowhere = std::path::Path::new("/nowhere");
    let code = |environment: &BTreeMap<String, String>, input: &str| {
        let output = run(environment, input);
        assert!(output.failed);
        serde_json::from_str::<Value>(&output.text).unwrap()["code"].as_u64().unwrap()
    };
    let add = environment("ADD", "shop");
    assert_eq!(code(&add, &input(nowhere, "9.0.0")), 1);
    assert_eq!(code(&BTreeMap::new(), "{}"), 4);
    assert_eq!(code(&environment("DANCE", "shop"), "{}"), 4);
    assert_eq!(code(&add, "nonsense"), 6);
    assert_eq!(code(&add, r#"{"type":"adit-cni","runDir":"/nowhere"}"#), 6, "without prevResult");
}
