//! Which endpoint takes a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::{
    Health, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, Locality, RoutingScope, Service,
    SmallMap, Workload,
};

use super::*;
use crate::samples::{choose, endpoint, gateway_at, ip, key, port, service, snapshot, workload};

/// The names of the endpoints that get one of 200 connections.
fn chosen(source: &Workload, web: Service, endpoints: &[Workload]) -> BTreeSet<String> {
    counted(source, web, endpoints).into_keys().collect()
}

fn counted(source: &Workload, web: Service, endpoints: &[Workload]) -> BTreeMap<String, usize> {
    let web = Arc::new(web);
    let snapshot = snapshot(|edit| {
        edit.insert_service(Service::clone(&web));
        endpoints.iter().for_each(|endpoint| edit.insert_workload(endpoint.clone()));
    });
    let mut counts = BTreeMap::new();
    for _ in 0..200 {
        if let Some(endpoint) = choose(&snapshot, source, &web, |_| true) {
            *counts.entry(endpoint.workload.name.to_string()).or_default() += 1;
        }
    }
    counts
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn web(balancing: LoadBalancing) -> Service {
    Service { load_balancing: balancing, ..service("web", &["10.96.0.1"]) }
}

fn one() -> Workload {
    endpoint("one", "10.0.0.1", "web")
}

fn two() -> Workload {
    endpoint("two", "10.0.0.2", "web")
}

#[test]
fn lb_01_connections_touch_all_endpoints() {
    let endpoints: Vec<Workload> =
        (1..=5).map(|n| endpoint(&format!("e{n}"), &format!("10.0.0.{n}"), "web")).collect();
    assert_eq!(chosen(&workload("client"), web(LoadBalancing::default()), &endpoints).len(), 5);
}

#[test]
fn lb_03_the_target_port_is_the_endpoints_then_the_services() {
    let mapped = |ports: &[(u16, u16)]| Workload {
        services: SmallMap::from([(key("web"), ports.iter().copied().collect())]),
        ..one()
    };
    let declared = |target| Service { ports: vec![port(80, target)], ..service("web", &[]) };
    for (service, endpoint, expected) in [
        (declared(8080), mapped(&[]), Some(8080)),
        (declared(8080), mapped(&[(80, 9090)]), Some(9090)),
        (declared(8080), mapped(&[(81, 9090)]), Some(8080)),
        (declared(0), mapped(&[(80, 9090)]), Some(9090)),
        (declared(0), mapped(&[]), None),
        (declared(0), mapped(&[(80, 0)]), None),
    ] {
        assert_eq!(target_port(&service, &endpoint, 80), expected, "{:?}", endpoint.services);
    }
    assert_eq!(target_port(&declared(8080), &mapped(&[]), 81), None, "not declared");
    let named = Workload { services: [(key("web"), [(80, 7)].into())].into(), ..two() };
    assert_eq!(
        chosen(&workload("client"), declared(0), &[one(), named]),
        names(&["two"]),
        "without the named port"
    );
}

#[test]
fn lb_05_an_undeclared_port_has_no_endpoint() {
    let service = Service { ports: vec![port(81, 8080)], ..service("web", &[]) };
    assert!(chosen(&workload("client"), service, &[one()]).is_empty());
}

#[test]
fn lb_06_unhealthy_endpoints_count_where_the_service_says_so_whenever_it_does() {
    let sick = Workload { health: Health::Unhealthy, ..one() };
    let policy = |health_policy| web(LoadBalancing { health_policy, ..LoadBalancing::default() });
    let (healthy, all) = (policy(HealthPolicy::OnlyHealthy), policy(HealthPolicy::AllowAll));
    let (writer, reader) = crate::new();
    writer.change(|edit| edit.insert_workload(sick));
    for service in [&healthy, &all, &healthy] {
        writer.change(|edit| edit.insert_service(service.clone()));
        let snapshot = reader.snapshot();
        let known = snapshot.find_service_by_key(&key("web")).unwrap();
        let found = choose(&snapshot, &workload("client"), &known, |_| true);
        assert_eq!(found.is_some(), service == &all);
    }
}

#[test]
fn lb_08_families_force_or_prefer_an_address() {
    let dual = Workload { addresses: vec![ip("10.0.0.1"), ip("fd00::1")], ..one() };
    for (families, like, expected) in [
        (IpFamilies::Automatic, "10.96.0.1", Some("10.0.0.1")),
        (IpFamilies::Automatic, "fd00:96::1", Some("fd00::1")),
        (IpFamilies::Dual, "10.96.0.1", Some("10.0.0.1")),
        (IpFamilies::Dual, "fd00:96::1", Some("fd00::1")),
        (IpFamilies::Ipv4, "fd00:96::1", Some("10.0.0.1")),
        (IpFamilies::Ipv6, "10.96.0.1", Some("fd00::1")),
    ] {
        assert_eq!(address_of(&dual, families, ip(like)), expected.map(ip), "{families:?} like {like}");
    }
    assert_eq!(
        address_of(&one(), IpFamilies::Automatic, ip("fd00::9")),
        Some(ip("10.0.0.1")),
        "the only one"
    );
    assert_eq!(address_of(&one(), IpFamilies::Ipv6, ip("fd00::9")), None);
    let v6_only = Service { ip_families: IpFamilies::Ipv6, ..web(LoadBalancing::default()) };
    assert_eq!(chosen(&workload("client"), v6_only, &[dual, two()]), names(&["one"]));
}

fn placed(workload: Workload, network: &str, region: &str, zone: &str) -> Workload {
    let locality = Locality { region: region.into(), zone: zone.into(), subzone: "".into() };
    Workload { network: network.into(), locality, ..workload }
}

#[test]
fn lb_09_strict_takes_only_what_matches_every_preference() {
    let source = placed(workload("client"), "", "r1", "z1");
    let strict = web(LoadBalancing {
        preferences: vec![RoutingScope::Region, RoutingScope::Zone],
        mode: LoadBalancingMode::Strict,
        ..LoadBalancing::default()
    });
    let (near, far) = (placed(one(), "", "r1", "z1"), placed(two(), "", "r1", "z2"));
    assert_eq!(chosen(&source, strict.clone(), &[near, far.clone()]), names(&["one"]));
    assert!(chosen(&source, strict, &[far]).is_empty());
    let local = LoadBalancing {
        preferences: vec![RoutingScope::Node],
        mode: LoadBalancingMode::Strict,
        ..LoadBalancing::default()
    };
    let on = |node: &str, workload: Workload| Workload { node: node.into(), ..workload };
    let both = [on("n1", one()), on("n2", two())];
    assert_eq!(chosen(&on("n1", workload("client")), web(local), &both), names(&["one"]));
}

#[test]
fn lb_10_failover_takes_the_best_rank_there_is() {
    let source = placed(workload("client"), "", "r1", "z1");
    let failover = || {
        web(LoadBalancing {
            preferences: vec![RoutingScope::Network, RoutingScope::Region, RoutingScope::Zone],
            mode: LoadBalancingMode::Failover,
            ..LoadBalancing::default()
        })
    };
    let zone = placed(one(), "", "r1", "z1");
    let region = placed(two(), "", "r1", "z2");
    let mesh = placed(endpoint("three", "10.0.0.3", "web"), "", "r2", "z1");
    let nowhere = Workload { addresses: Vec::new(), ..zone.clone() };
    let all = |first: Workload| [first, region.clone(), mesh.clone()];
    assert_eq!(chosen(&source, failover(), &all(zone.clone())), names(&["one"]));
    assert_eq!(
        chosen(&source, failover(), &all(Workload { health: Health::Unhealthy, ..zone })),
        names(&["two"])
    );
    assert_eq!(chosen(&source, failover(), &all(nowhere)), names(&["two"]), "without an address");
    assert_eq!(
        chosen(&source, failover(), std::slice::from_ref(&mesh)),
        names(&["three"]),
        "a matching zone elsewhere is no match"
    );
    let same = placed(endpoint("four", "10.0.0.4", "web"), "", "r2", "z9");
    assert_eq!(chosen(&source, failover(), &[mesh, same]), names(&["three", "four"]), "of equal rank");
}

#[test]
fn other_networks_are_out_of_reach_without_a_hop_to_their_gateway() {
    let far = placed(one(), "far", "", "");
    let reachable = Workload { network_gateway: Some(gateway_at("far", "1.2.3.4")), ..far };
    assert!(chosen(&workload("client"), web(LoadBalancing::default()), &[reachable]).is_empty());
}

#[test]
fn lb_12_capacity_is_the_weight() {
    let heavy = Workload { capacity: 9, ..one() };
    let idle = Workload { capacity: 0, ..endpoint("three", "10.0.0.3", "web") };
    let counts = counted(&workload("client"), web(LoadBalancing::default()), &[heavy, two(), idle.clone()]);
    assert!(counts["one"] > counts["two"], "{counts:?}");
    assert!(!counts.contains_key("three"), "{counts:?}");
    assert!(chosen(&workload("client"), web(LoadBalancing::default()), &[idle]).is_empty());
}

#[test]
fn a_filter_narrows_the_choice_and_the_result_says_how_to_get_there() {
    let other = "spiffe://td/ns/prod/sa/other".parse().unwrap();
    let web = Arc::new(Service { subject_alt_names: vec![other], ..web(LoadBalancing::default()) });
    let snapshot = snapshot(|edit| {
        edit.insert_service(Service::clone(&web));
        edit.insert_workload(one());
        edit.insert_workload(two());
    });
    let found = choose(&snapshot, &workload("client"), &web, |w| &*w.name != "one").unwrap();
    assert_eq!(found.address, SocketAddr::new(ip("10.0.0.2"), 8080));
    let accepted: Vec<String> = found.accepted.iter().map(ToString::to_string).collect();
    assert_eq!(accepted, ["spiffe://td/ns/prod/sa/two", "spiffe://td/ns/prod/sa/other"], "lb_20");
    assert_eq!(found.service, Some(web.clone()));
    assert_eq!(choose(&snapshot, &workload("client"), &web, |_| false), None);
}

#[test]
fn draws_are_in_proportion() {
    let draw = |weights: &[u32]| {
        let mut lottery = Lottery::default();
        weights.iter().enumerate().for_each(|(index, weight)| lottery.offer(index, *weight));
        lottery.winner
    };
    assert_eq!(draw(&[]), None);
    assert_eq!(draw(&[0, 0]), None);
    for weights in [[75, 0, 25], [25, 0, 75]] {
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[draw(&weights).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!(u32::abs_diff(counts[0], weights[0] * 100) < 500, "{counts:?}");
    }
}
