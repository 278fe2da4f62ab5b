//! For whom a workload is the waypoint.

use mesh_model::{WeightedWaypoint, Workload};

use super::*;
use crate::samples::{
    address, endpoint, gateway, gateway_at, in_namespace, ip, key, pod, port, service, snapshot,
};

fn waypoint() -> Workload {
    endpoint("wp", "10.0.0.9", "waypoint")
}

fn name(served: Option<Served>) -> Option<String> {
    served.map(|served| match served {
        Served::Workload(workload) => workload.name.to_string(),
        Served::Service(service) => service.key.to_string(),
    })
}

#[test]
fn hb_06_only_what_names_a_waypoint_in_its_own_kind_is_served() {
    let snapshot = snapshot(|edit| {
        edit.insert_service(Service {
            ports: vec![port(15008, 15008)],
            ..service("waypoint", &["10.96.0.9"])
        });
        edit.insert_workload(waypoint());
        edit.insert_service(Service {
            waypoint: Some(gateway("waypoint")),
            ..service("bound", &["10.96.0.1"])
        });
        edit.insert_workload(endpoint("behind-bound", "10.0.0.1", "bound"));
        edit.insert_service(service("free", &["10.96.0.2"]));
        let bound =
            Workload { waypoint: Some(gateway("waypoint")), ..endpoint("bound-pod", "10.0.0.2", "free") };
        edit.insert_workload(bound);
        edit.insert_service(Service {
            waypoint: Some(gateway("other")),
            ..service("elsewhere", &["10.96.0.3"])
        });
        edit.insert_service(Service {
            waypoint: Some(gateway_at("", "10.96.0.9")),
            ..service("by-vip", &["10.96.0.4"])
        });
        edit.insert_service(Service {
            waypoint: Some(gateway_at("", "10.0.0.9")),
            ..service("by-ip", &["10.96.0.5"])
        });
    });
    for (at, served) in [
        ("10.96.0.1", Some("prod/bound.prod")),
        ("10.0.0.1", None), // the service has it, the pod has not
        ("10.0.0.2", Some("bound-pod")),
        ("10.96.0.2", None), // the pod has it, the service has not
        ("10.96.0.3", None),
        ("10.96.0.4", Some("prod/by-vip.prod")),
        ("10.96.0.5", Some("prod/by-ip.prod")),
        ("10.0.0.9", None), // itself
        ("1.1.1.1", None),
    ] {
        assert_eq!(name(find_served(&snapshot, &waypoint(), &address(at))).as_deref(), served, "{at}");
        assert_eq!(serves_as_waypoint_for(&snapshot, &waypoint(), ip(at)), served.is_some(), "{at}");
        assert!(!serves_as_waypoint_for(&snapshot, &pod("stranger", "10.0.0.50"), ip(at)), "{at}");
    }
}

#[test]
fn wp_22_a_canary_serves_as_well() {
    let weighted = vec![WeightedWaypoint { destination: gateway("waypoint"), weight: 0 }];
    let web = Service {
        waypoint: Some(gateway("other")),
        weighted_waypoints: weighted,
        ..service("web", &["10.96.0.1"])
    };
    let snapshot = snapshot(|edit| edit.insert_service(web));
    assert!(
        serves_as_waypoint_for(&snapshot, &waypoint(), ip("10.96.0.1")),
        "connections may have begun before"
    );
}

#[test]
fn wp_14_of_services_that_share_an_address_the_bound_one_is_served() {
    let snapshot = snapshot(|edit| {
        edit.insert_service(Service {
            canonical: true,
            ..in_namespace("aaa", service("web", &["10.96.0.1"]))
        });
        edit.insert_service(Service {
            waypoint: Some(gateway("waypoint")),
            ..service("web", &["10.96.0.1"])
        });
    });
    let served = find_served(&snapshot, &waypoint(), &address("10.96.0.1"));
    assert_eq!(name(served), Some(key("web").to_string()));
}

#[test]
fn wp_02_what_left_a_waypoint_is_served_for_a_moment_and_no_longer() {
    let (writer, reader) = crate::new();
    let web = |waypoint| Service { waypoint, ..service("web", &["10.96.0.1"]) };
    let pod = |waypoint| Workload { waypoint, ..endpoint("pod", "10.0.0.2", "web") };
    let (ours, other) = (Some(gateway("waypoint")), Some(gateway("other")));
    let served = |at: &str, now| {
        let snapshot = reader.snapshot();
        assert!(find_served(&snapshot, &waypoint(), &address(at)).is_none(), "it is not ours by now");
        name(find_recently_served(&snapshot, &waypoint(), &address(at), now))
    };
    writer.change(|edit| {
        edit.insert_service(web(None));
        edit.insert_workload(pod(None));
    });
    let start = Instant::now();
    assert_eq!(served("10.96.0.1", start), None, "it never was ours");
    writer.change(|edit| {
        edit.insert_service(web(ours.clone()));
        edit.insert_workload(pod(ours.clone()));
    });
    writer.change(|edit| {
        edit.insert_service(web(other));
        edit.insert_workload(pod(None));
    });
    // The last change is no reason to forget the one before.
    writer.change(|edit| edit.insert_service(web(None)));
    let left = Instant::now();
    for (at, expected) in [("10.96.0.1", "prod/web.prod"), ("10.0.0.2", "pod")] {
        assert_eq!(served(at, left).as_deref(), Some(expected));
        assert_eq!(served(at, left + former::GRACE), None, "{at}");
    }
}

#[test]
fn wp_02_waypoints_left_long_ago_are_forgotten() {
    let mut former = former::Former::default();
    let old = [gateway("a"), gateway("b")];
    let start = Instant::now();
    former.note(&"one", old.iter(), old[..1].iter(), start);
    former.note(&"unchanged", old.iter(), old.iter(), start);
    assert_eq!(former.size(), 1);
    for _ in 0..3 {
        former.note(&"two", old.iter(), [].iter(), start + former::GRACE / 2);
    }
    assert_eq!(former.size(), 1 + old.len(), "whatever comes and goes all the time is remembered once");
    former.prune(start + former::GRACE);
    assert_eq!(former.size(), old.len());
    assert_eq!(former.of(&"two", start + former::GRACE).count(), 2);
}

#[test]
fn lb_22_an_address_is_a_workload_s_first_and_a_host_name_a_service_s() {
    let snapshot = snapshot(|edit| {
        // A service that has a pod's address, and a workload that has a service's host name.
        edit.insert_service(service("web", &["10.0.0.2"]));
        edit.insert_workload(endpoint("web-1", "10.0.0.1", "web"));
        edit.insert_workload(pod("holder", "10.0.0.2"));
        edit.insert_workload(Workload { hostname: "web.prod".into(), ..pod("named", "10.0.0.3") });
        edit.insert_workload(Workload { hostname: "alone.prod".into(), ..pod("alone", "10.0.0.4") });
    });
    let client = pod("client", "10.0.0.9");
    let found = |gateway: GatewayAddress| {
        let query = Query { source: &client, destination: "10.0.0.5:80".parse().unwrap() };
        let gateway = GatewayAddress { hbone_mtls_port: 80, ..gateway };
        locate(&snapshot, query, &gateway, |_| true).map(|located| located.workload.name.to_string())
    };
    assert_eq!(found(gateway_at("", "10.0.0.2")).as_deref(), Some("holder"));
    assert_eq!(found(gateway("web")).as_deref(), Some("web-1"));
    assert_eq!(found(gateway("alone")).as_deref(), Some("alone"));
}
