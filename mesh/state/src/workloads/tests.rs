//! Who is at an address.

use mesh_model::{NamespacedHostname, NetworkMode, TunnelProtocol, Uid, Workload};

use crate::samples::{address, endpoint, ip, key, pod, snapshot, workload};

fn entry(name: &str, at: &str) -> Workload {
    let uid = Uid::from(format!("Kubernetes/networking.istio.io/WorkloadEntry/prod/{name}").as_str());
    Workload { uid, ..pod(name, at) }
}

#[test]
fn cap_19_a_workload_is_found_by_each_of_its_addresses() {
    let dual = Workload { addresses: vec![ip("10.0.0.1"), ip("fd00::1")], ..workload("dual") };
    let snapshot = snapshot(|edit| edit.insert_workload(dual));
    for text in ["10.0.0.1", "fd00::1"] {
        assert_eq!(&*snapshot.find_workload(&address(text)).unwrap().name, "dual");
    }
    assert_eq!(snapshot.find_workload(&address("10.0.0.2")), None);
}

#[test]
fn cap_20_a_shared_address_tells_nobody() {
    let host =
        |name| Workload { network_mode: NetworkMode::HostNetwork, ..endpoint(name, "10.0.0.1", "web") };
    let snapshot = snapshot(|edit| {
        edit.insert_workload(host("one"));
        edit.insert_workload(host("two"));
    });
    assert_eq!(snapshot.find_workload(&address("10.0.0.1")), None);
    assert_eq!(snapshot.endpoints(&key("web")).count(), 2);
}

#[test]
fn cap_21_a_pod_covers_an_entry_until_it_is_gone() {
    let orders: [&[Workload]; 2] = [
        &[pod("pod", "10.0.0.1"), entry("entry", "10.0.0.1")],
        &[entry("entry", "10.0.0.1"), pod("pod", "10.0.0.1")],
    ];
    for order in orders {
        let (writer, reader) = crate::new();
        writer.change(|edit| order.iter().for_each(|workload| edit.insert_workload(workload.clone())));
        let at = || reader.snapshot().find_workload(&address("10.0.0.1")).map(|found| found.name.to_string());
        assert_eq!(at().as_deref(), Some("pod"));
        writer.change(|edit| edit.remove_workload(&workload("pod").uid));
        assert_eq!(at().as_deref(), Some("entry"));
        writer.change(|edit| edit.remove_workload(&entry("entry", "10.0.0.1").uid));
        assert_eq!(at(), None);
    }
}

#[test]
fn cap_21_among_equals_hbone_wins() {
    let plain = Workload { tunnel: TunnelProtocol::Tcp, ..entry("a", "10.0.0.1") };
    let snapshot = snapshot(|edit| {
        edit.insert_workload(plain);
        edit.insert_workload(entry("b", "10.0.0.1"));
    });
    assert_eq!(&*snapshot.find_workload(&address("10.0.0.1")).unwrap().name, "b");
}

#[test]
fn an_address_that_is_given_up_is_free() {
    let (writer, reader) = crate::new();
    writer.change(|edit| edit.insert_workload(pod("one", "10.0.0.1")));
    let before = reader.snapshot();
    writer.change(|edit| {
        edit.insert_workload(pod("one", "10.0.0.2"));
        edit.insert_workload(pod("two", "10.0.0.1"));
    });
    let name_at = |snapshot: &crate::Snapshot, at: &str| {
        snapshot.find_workload(&address(at)).map(|found| found.name.to_string())
    };
    assert_eq!(name_at(&reader.snapshot(), "10.0.0.1").as_deref(), Some("two"));
    assert_eq!(name_at(&reader.snapshot(), "10.0.0.2").as_deref(), Some("one"));
    assert_eq!(name_at(&before, "10.0.0.1").as_deref(), Some("one"), "a snapshot never changes");
    assert_eq!(name_at(&before, "10.0.0.2"), None);
}

#[test]
fn wp_12_a_workload_is_found_by_its_host_name_in_its_namespace() {
    let named = Workload { hostname: "waypoint.example".into(), ..pod("waypoint", "10.0.0.1") };
    let (writer, reader) = crate::new();
    writer.change(|edit| edit.insert_workload(named.clone()));
    let called = |namespace: &str, hostname: &str| {
        let name = NamespacedHostname::new(namespace, hostname);
        reader.snapshot().workloads.called(&name).map(|found| found.uid.clone())
    };
    assert_eq!(called("prod", "waypoint.example"), Some(named.uid.clone()));
    assert_eq!(called("test", "waypoint.example"), None);
    writer
        .change(|edit| edit.insert_workload(Workload { hostname: "other.example".into(), ..named.clone() }));
    assert_eq!(called("prod", "waypoint.example"), None);
    assert_eq!(called("prod", "other.example"), Some(named.uid));
}
