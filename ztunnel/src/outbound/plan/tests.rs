//! The table of wire.md §2.3, and what must not be connected to at all.

use mesh_model::{LoadBalancingMode, NetworkMode};

use super::*;
use crate::samples::{behind, gateway, service, snapshot, workload};

const CLIENT: &str = "10.0.0.1";

/// A client, a server behind a service, a server outside the mesh, and services
/// that have waypoints, no endpoint, or no opinion.
fn mesh() -> (Arc<Snapshot>, Workload) {
    let client = workload("client", CLIENT);
    let mut outside = workload("outside", "10.0.0.4");
    outside.tunnel = TunnelProtocol::Tcp;
    let mut guarded = workload("guarded", "10.0.0.5");
    guarded.waypoint = Some(gateway("10.0.0.9", 15008));
    let mut on_node = workload("on-node", "10.0.0.6");
    on_node.network_mode = NetworkMode::HostNetwork;
    let mut shaped = service("shaped", "10.96.0.2", 80, 8080);
    shaped.waypoint = Some(gateway("10.0.0.9", 15008));
    let mut elsewhere = service("elsewhere", "10.96.0.4", 80, 8080);
    elsewhere.load_balancing.mode = LoadBalancingMode::Passthrough;
    let workloads = [
        client.clone(),
        behind(workload("server", "10.0.0.2"), "plain"),
        outside,
        guarded,
        on_node,
        workload("waypoint", "10.0.0.9"),
    ];
    let services =
        [service("plain", "10.96.0.1", 80, 8080), shaped, service("empty", "10.96.0.3", 80, 8080), elsewhere];
    (snapshot(&workloads, &services, &[]), client)
}

fn decide(destination: &str) -> Result<Plan, Refused> {
    let (snapshot, client) = mesh();
    decide_in(&snapshot, &client, destination)
}

fn decide_in(snapshot: &Snapshot, source: &Workload, destination: &str) -> Result<Plan, Refused> {
    let destination = OriginalDestination::new(destination.parse().unwrap());
    let listener = Some(LocalAddress::new("127.0.0.1:15001".parse().unwrap()));
    match plan(snapshot, Call { source, destination, listener })? {
        Step::Carry(plan) => Ok(plan),
        Step::LookUp(hop) => panic!("a name: {hop:?}"),
    }
}

fn tunnel(plan: Result<Plan, Refused>) -> (String, String, String) {
    match plan.unwrap() {
        Plan::Tunnel(tunnel) => {
            let accepted: Vec<_> = tunnel.accepted.iter().map(|id| id.service_account.to_string()).collect();
            (tunnel.next_hop.to_string(), tunnel.target.to_string(), accepted.join(","))
        }
        other => panic!("no tunnel: {other:?}"),
    }
}

fn plain(plan: Result<Plan, Refused>) -> (String, Option<String>) {
    match plan.unwrap() {
        Plan::Plain(plain) => {
            (plain.to.to_string(), plain.workload.map(|workload| workload.name.to_string()))
        }
        other => panic!("not plain: {other:?}"),
    }
}

#[test]
fn cap_18_hbone_goes_to_port_15008_and_asks_for_the_workload() {
    for (destination, target) in [("10.0.0.2:8080", "10.0.0.2:8080"), ("10.96.0.1:80", "10.0.0.2:8080")] {
        let expected = ("10.0.0.2:15008".to_owned(), target.to_owned(), "server".to_owned());
        assert_eq!(tunnel(decide(destination)), expected, "{destination}");
    }
}

#[test]
fn cap_18_a_workload_without_hbone_gets_plain_tcp() {
    assert_eq!(plain(decide("10.0.0.4:8080")), ("10.0.0.4:8080".to_owned(), Some("outside".to_owned())));
}

#[test]
fn cap_11_an_unknown_destination_is_passed_through() {
    for destination in ["93.184.216.34:443", "[2001:db8::1]:443"] {
        assert_eq!(plain(decide(destination)), (destination.to_owned(), None));
    }
}

#[test]
fn cap_20_a_node_s_address_is_nobody_s() {
    assert_eq!(plain(decide("10.0.0.6:80")), ("10.0.0.6:80".to_owned(), None));
}

#[test]
fn lb_a_service_that_passes_through_is_passed_through() {
    assert_eq!(plain(decide("10.96.0.4:80")), ("10.96.0.4:80".to_owned(), None));
}

#[test]
fn wp_11_a_waypoint_is_asked_for_the_original_destination() {
    for destination in ["10.96.0.2:80", "10.0.0.5:8080"] {
        let expected = ("10.0.0.9:15008".to_owned(), destination.to_owned(), "waypoint".to_owned());
        assert_eq!(tunnel(decide(destination)), expected);
    }
}

#[test]
fn wp_10_the_waypoint_itself_goes_straight_to_the_workload() {
    let (snapshot, _) = mesh();
    let waypoint = workload("waypoint", "10.0.0.9");
    let (next_hop, target, _) = tunnel(decide_in(&snapshot, &waypoint, "10.0.0.5:8080"));
    assert_eq!((next_hop.as_str(), target.as_str()), ("10.0.0.5:15008", "10.0.0.5:8080"));
}

#[test]
fn cap_09_a_pod_that_calls_its_own_service_is_authorized_like_any_other() {
    let client = behind(workload("client", CLIENT), "own");
    let own = service("own", "10.96.0.9", 80, 8080);
    let snapshot = snapshot(std::slice::from_ref(&client), &[own], &[]);
    let (next_hop, target, _) = tunnel(decide_in(&snapshot, &client, "10.96.0.9:80"));
    assert_eq!((next_hop, target), (format!("{CLIENT}:15008"), format!("{CLIENT}:8080")));
}

#[test]
fn hb_20_a_service_s_names_are_accepted_too() {
    let mut named = service("named", "10.96.0.7", 80, 8080);
    named.subject_alt_names.push(Identity::new("cluster.local", "other", "also"));
    let server = behind(workload("server", "10.0.0.2"), "named");
    let snapshot = snapshot(&[server], &[named], &[]);
    let (_, _, accepted) = tunnel(decide_in(&snapshot, &workload("client", CLIENT), "10.96.0.7:80"));
    assert_eq!(accepted, "server,also");
}

#[test]
fn sec_01_the_proxy_s_own_ports_are_refused_in_this_pod_only() {
    for port in [15001, 15006, 15008] {
        for ip in ["127.0.0.1", "[::1]", CLIENT] {
            let destination = format!("{ip}:{port}");
            assert_eq!(decide(&destination), Err(Refused::Loop(destination.parse().unwrap())));
        }
        // In another pod the far end refuses (HB-11).
        tunnel(decide(&format!("10.0.0.2:{port}")));
    }
    plain(decide("127.0.0.1:8080"));
}

#[test]
fn what_nobody_can_take_is_refused_and_said_why() {
    for (destination, said) in [
        (
            "10.96.0.3:80",
            "service default/empty.default.svc.cluster.local has no healthy endpoint for port 80",
        ),
        ("10.96.0.1:81", "service default/plain.default.svc.cluster.local has no port 81"),
    ] {
        assert_eq!(decide(destination).unwrap_err().to_string(), said);
    }
}

/// A service whose only endpoint is known by its host name, and a client of it.
fn named(tunnel: TunnelProtocol) -> (Workload, NamedHop) {
    let client = workload("client", CLIENT);
    let mut outside = behind(workload("outside", "10.0.0.8"), "outside");
    outside.addresses.clear();
    outside.hostname = "www.example.com".into();
    outside.tunnel = tunnel;
    let snapshot = snapshot(&[client.clone(), outside], &[service("outside", "240.240.0.1", 443, 8443)], &[]);
    let destination = OriginalDestination::new("240.240.0.1:443".parse().unwrap());
    let listener = Some(LocalAddress::new("127.0.0.1:15001".parse().unwrap()));
    match plan(&snapshot, Call { source: &client, destination, listener }).unwrap() {
        Step::LookUp(hop) => (client, hop),
        Step::Carry(plan) => panic!("no name: {plan:?}"),
    }
}

fn looked_up(client: &Workload, hop: &NamedHop, ip: &str) -> Result<Plan, Refused> {
    let destination = OriginalDestination::new("240.240.0.1:443".parse().unwrap());
    let listener = Some(LocalAddress::new("127.0.0.1:15001".parse().unwrap()));
    at(ip.parse().unwrap(), hop, Call { source: client, destination, listener })
}

#[test]
fn dns_25_a_workload_known_by_name_alone_is_looked_up_first() {
    let (client, hop) = named(TunnelProtocol::Tcp);
    assert_eq!((&*hop.workload.hostname, hop.port), ("www.example.com", 8443));
    assert_eq!(
        plain(looked_up(&client, &hop, "192.0.2.1")),
        ("192.0.2.1:8443".to_owned(), Some("outside".to_owned()))
    );
    let (client, hop) = named(TunnelProtocol::Hbone);
    let (next_hop, target, accepted) = tunnel(looked_up(&client, &hop, "192.0.2.1"));
    assert_eq!((&*next_hop, &*target, &*accepted), ("192.0.2.1:15008", "192.0.2.1:8443", "outside"));
}

#[test]
fn sec_01_a_name_does_not_lead_back_to_the_proxy() {
    let (client, mut hop) = named(TunnelProtocol::Tcp);
    for port in [15001, 15006, 15008, 15053] {
        hop.port = port;
        for own in ["127.0.0.1", "::1", CLIENT, "::ffff:127.0.0.1"] {
            assert!(matches!(looked_up(&client, &hop, own), Err(Refused::Loop(_))), "{own}:{port}");
        }
        assert!(looked_up(&client, &hop, "192.0.2.1").is_ok());
    }
}
