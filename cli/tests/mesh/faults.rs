//! What happens to traffic when parts of the mesh go away and come back.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::{Mesh, echo_pod, find, namespace, service, signal};

fn shop() -> String {
    [
        namespace("prod", true),
        echo_pod("prod", "client", "client", "v1", 1),
        echo_pod("prod", "far", "far", "v1", 2),
        service("prod", "far", ""),
    ]
    .concat()
}

#[test]
fn up_11_20_traffic_goes_on_without_a_controller_and_converges_after() {
    let mesh = Mesh::up(&shop());
    mesh.call_until("prod/client", "http://far/", &[], "200  far");
    let controller = mesh.pid("controller").unwrap();
    signal(controller, Signal::SIGSTOP);
    let calls = mesh.call("prod/client", "http://far/", &["-n", "20"]);
    assert_eq!(calls.matches("200  far").count(), 20, "{calls}");
    signal(controller, Signal::SIGCONT);
    // Killed, it is started again by the supervisor, and a change made meanwhile takes effect.
    signal(controller, Signal::SIGKILL);
    let calls = mesh.call("prod/client", "http://far/", &["-n", "20"]);
    assert_eq!(calls.matches("200  far").count(), 20, "{calls}");
    mesh.apply(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: none, namespace: prod}\nspec: {}\n",
    );
    mesh.call_until("prod/client", "http://far/", &[], "failed");
}

#[test]
fn cni_12_up_15_ztunnel_and_agent_are_killed_and_come_back() {
    let mesh = Mesh::up(&shop());
    mesh.call_until("prod/client", "http://far/", &[], "200  far");
    // UP-15: capture does not need the agent.
    signal(mesh.pid("node-agent-node-1").unwrap(), Signal::SIGKILL);
    let calls = mesh.call("prod/client", "http://far/", &["-n", "10"]);
    assert_eq!(calls.matches("200  far").count(), 10, "{calls}");
    for node in ["node-1", "node-2"] {
        let component = format!("ztunnel-{node}");
        let before = mesh.pid(&component).unwrap();
        signal(before, Signal::SIGKILL);
        mesh.eventually(
            || mesh.pid(&component).filter(|pid| *pid != before),
            || format!("{component} was not started again"),
        );
        mesh.call_until("prod/client", "http://far/", &[], "200  far");
    }
}

#[test]
fn down_and_a_killed_supervisor_leave_nothing_behind() {
    let mesh = Mesh::up(&shop());
    let part = format!("adit-{}-", mesh.name());
    assert!(!find(Path::new("/run/netns"), &part).is_empty(), "the mesh is made of named namespaces");
    let children: Vec<i32> = ["controller", "ztunnel-node-1", "ztunnel-node-2"]
        .iter()
        .map(|component| mesh.pid(component).unwrap())
        .collect();
    let supervisor = mesh.supervisor();
    signal(supervisor, Signal::SIGKILL);
    // Its children go with it, whatever the moment.
    mesh.eventually(
        || children.iter().all(|pid| is_gone(*pid)).then_some(()),
        || "children of the killed supervisor are alive".to_owned(),
    );
    let down = mesh.adit(&["down"]);
    assert!(down.status.success(), "{down:?}");
    assert!(find(Path::new("/run/netns"), &part).is_empty(), "namespaces are left");
    assert!(!Path::new("/run/adit").join(mesh.name()).exists(), "the state folder is left");
}

/// Gone or waiting to be reaped.
fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn two_meshes_of_different_names_live_side_by_side() {
    let (one, two) = (Mesh::up(&shop()), Mesh::up(&shop()));
    one.call_until("prod/client", "http://far/", &[], "200  far");
    two.call_until("prod/client", "http://far/", &[], "200  far");
    drop(one);
    assert!(two.call("prod/client", "http://far/", &[]).starts_with("200"));
}
