//! The table of wire.md §2.3.

use mesh_model::{LoadBalancing, NetworkCidr, SmallMap, WeightedWaypoint};

use super::*;
use crate::samples::{
    endpoint, gateway, gateway_at, in_namespace, ip, key, pod, port, service, snapshot, workload,
};

const VIP: &str = "10.96.0.1:80";

/// A mesh with the service `web` of one endpoint, the service `waypoint` of one, and what `change` adds.
fn mesh(change: impl FnOnce(&mut crate::Edit<'_>)) -> Arc<Snapshot> {
    snapshot(|edit| {
        edit.insert_service(service("web", &["10.96.0.1", "fd00:96::1"]));
        edit.insert_workload(endpoint("one", "10.0.0.1", "web"));
        edit.insert_service(Service {
            ports: vec![port(15008, 15008)],
            ..service("waypoint", &["10.96.0.9"])
        });
        edit.insert_workload(endpoint("wp", "10.0.0.9", "waypoint"));
        change(edit);
    })
}

fn go(snapshot: &Snapshot, source: &Workload, to: &str) -> Result<NextHop, ResolveError> {
    resolve(snapshot, Query { source, destination: to.parse().unwrap() })
}

fn from_client(snapshot: &Snapshot, to: &str) -> Result<NextHop, ResolveError> {
    go(snapshot, &pod("client", "10.0.0.100"), to)
}

fn direct(hop: Result<NextHop, ResolveError>) -> Endpoint {
    match hop {
        Ok(NextHop::Direct(endpoint)) => endpoint,
        other => panic!("{other:?}"),
    }
}

fn through(hop: Result<NextHop, ResolveError>) -> WaypointHop {
    match hop {
        Ok(NextHop::Waypoint(hop)) => hop,
        other => panic!("{other:?}"),
    }
}

fn texts(identities: &[Identity]) -> Vec<String> {
    identities.iter().map(ToString::to_string).collect()
}

fn web_with(change: impl FnOnce(&mut Service)) -> Service {
    let mut web = service("web", &["10.96.0.1"]);
    change(&mut web);
    web
}

#[test]
fn cap_11_an_unknown_address_is_passed_through() {
    assert_eq!(from_client(&mesh(|_| {}), "1.1.1.1:443"), Ok(NextHop::Passthrough));
    let elsewhere = Workload { network: "elsewhere".into(), ..pod("client", "10.0.0.100") };
    assert_eq!(go(&mesh(|_| {}), &elsewhere, "10.0.0.1:80"), Ok(NextHop::Passthrough), "not on its network");
}

#[test]
fn cap_10_18_a_pods_address_leads_to_that_pod_the_way_it_speaks() {
    let plain = Workload { tunnel: TunnelProtocol::Tcp, ..pod("plain", "10.0.0.2") };
    let snapshot = mesh(|edit| edit.insert_workload(plain));
    for (to, name, tunnel) in
        [("10.0.0.1:9999", "one", TunnelProtocol::Hbone), ("10.0.0.2:9999", "plain", TunnelProtocol::Tcp)]
    {
        let endpoint = direct(from_client(&snapshot, to));
        assert_eq!((&*endpoint.workload.name, endpoint.tunnel), (name, tunnel));
        assert_eq!(endpoint.address, to.parse().unwrap(), "any port, declared or not (CAP-29)");
        assert_eq!(endpoint.service, None);
        assert_eq!(texts(&endpoint.accepted), [format!("spiffe://td/ns/prod/sa/{name}")]);
    }
}

#[test]
fn lb_03_20_a_services_address_leads_to_an_endpoint() {
    let other: Identity = "spiffe://td/ns/prod/sa/other".parse().unwrap();
    let snapshot = mesh(|edit| edit.insert_service(web_with(|web| web.subject_alt_names = vec![other])));
    let endpoint = direct(from_client(&snapshot, VIP));
    assert_eq!(endpoint.address, "10.0.0.1:8080".parse().unwrap());
    assert_eq!(endpoint.service.as_ref().map(|service| &service.key), Some(&key("web")));
    assert_eq!(texts(&endpoint.accepted), ["spiffe://td/ns/prod/sa/one", "spiffe://td/ns/prod/sa/other"]);
    let mapped = direct(from_client(&mesh(|_| {}), "[::ffff:10.96.0.1]:80"));
    assert_eq!(mapped.address, endpoint.address, "an IPv4 address in IPv6's clothes");
}

#[test]
fn cap_20_by_service_a_host_network_pod_is_known() {
    let host =
        Workload { network_mode: mesh_model::NetworkMode::HostNetwork, ..endpoint("one", "10.0.0.1", "web") };
    let snapshot = mesh(|edit| edit.insert_workload(host));
    assert_eq!(&*direct(from_client(&snapshot, VIP)).workload.name, "one");
    assert_eq!(from_client(&snapshot, "10.0.0.1:8080"), Ok(NextHop::Passthrough));
}

#[test]
fn lb_04_without_endpoints_nothing_is_passed_through() {
    let snapshot = mesh(|edit| edit.remove_workload(&workload("one").uid));
    let error = from_client(&snapshot, VIP).unwrap_err();
    assert_eq!(error, ResolveError::NoEndpoint { service: key("web"), port: 80 });
    assert_eq!(error.to_string(), "service prod/web.prod has no healthy endpoint for port 80");
}

#[test]
fn lb_05_an_undeclared_port_fails_with_and_without_a_waypoint() {
    let behind = web_with(|web| web.waypoint = Some(gateway("waypoint")));
    for snapshot in [mesh(|_| {}), mesh(|edit| edit.insert_service(behind))] {
        let error = from_client(&snapshot, "10.96.0.1:81").unwrap_err();
        assert_eq!(error.to_string(), "service prod/web.prod has no port 81");
    }
}

#[test]
fn lb_07_a_passthrough_service_is_left_alone_but_for_its_waypoint() {
    let passthrough = |waypoint| {
        web_with(|web| {
            web.load_balancing =
                LoadBalancing { mode: LoadBalancingMode::Passthrough, ..LoadBalancing::default() };
            web.cidrs = vec![NetworkCidr { network: "".into(), cidr: "11.0.0.0/8".parse().unwrap() }];
            web.waypoint = waypoint;
        })
    };
    let plain = mesh(|edit| edit.insert_service(passthrough(None)));
    assert_eq!(from_client(&plain, "11.1.2.3:80"), Ok(NextHop::Passthrough));
    let behind = mesh(|edit| edit.insert_service(passthrough(Some(gateway("waypoint")))));
    let hop = through(from_client(&behind, "11.1.2.3:80"));
    assert_eq!(
        (hop.address, hop.target),
        ("10.0.0.9:15008".parse().unwrap(), "11.1.2.3:80".parse().unwrap())
    );
}

#[test]
fn lb_16_the_clients_own_service_is_meant() {
    let snapshot = mesh(|edit| edit.insert_service(in_namespace("aaa", service("web", &["10.96.0.1"]))));
    assert_eq!(&*direct(from_client(&snapshot, VIP)).workload.name, "one", "prod's endpoint");
    let stranger = Workload { namespace: "aaa".into(), ..pod("client", "10.0.0.100") };
    assert!(go(&snapshot, &stranger, VIP).is_err(), "aaa's service has none");
}

#[test]
fn wp_11_12_a_services_waypoint_gets_what_the_client_asked_for() {
    let by_address = GatewayAddress { ..gateway_at("", "10.96.0.9") };
    let by_pod = gateway_at("", "10.0.0.9");
    let name = NamespacedHostname::new("prod", "wp.example");
    let by_hostname =
        GatewayAddress { destination: GatewayDestination::Hostname(name), hbone_mtls_port: 15008 };
    for waypoint in [gateway("waypoint"), by_address, by_pod, by_hostname] {
        let snapshot = mesh(|edit| {
            edit.insert_service(web_with(|web| web.waypoint = Some(waypoint.clone())));
            edit.insert_workload(Workload {
                hostname: "wp.example".into(),
                ..endpoint("wp", "10.0.0.9", "waypoint")
            });
        });
        let hop = through(from_client(&snapshot, VIP));
        assert_eq!(&*hop.waypoint.name, "wp", "{waypoint:?}");
        assert_eq!(hop.address, "10.0.0.9:15008".parse().unwrap(), "{waypoint:?}");
        assert_eq!(hop.target, VIP.parse().unwrap());
        assert_eq!(texts(&hop.accepted), ["spiffe://td/ns/prod/sa/wp"]);
        assert_eq!(hop.service.map(|service| service.key.clone()), Some(key("web")));
        assert_eq!(
            &*direct(from_client(&snapshot, "10.0.0.1:8080")).workload.name,
            "one",
            "WP-03: not by address"
        );
    }
}

#[test]
fn wp_03_a_workloads_waypoint_is_for_those_who_address_it() {
    let behind = Workload { waypoint: Some(gateway("waypoint")), ..endpoint("one", "10.0.0.1", "web") };
    let snapshot = mesh(|edit| edit.insert_workload(behind));
    let hop = through(from_client(&snapshot, "10.0.0.1:9999"));
    assert_eq!((hop.target, hop.service), ("10.0.0.1:9999".parse().unwrap(), None));
    assert_eq!(&*direct(from_client(&snapshot, VIP)).workload.name, "one");
}

#[test]
fn wp_10_no_waypoint_is_traversed_twice() {
    let behind = Workload { waypoint: Some(gateway("waypoint")), ..endpoint("one", "10.0.0.1", "web") };
    let snapshot = mesh(|edit| {
        edit.insert_workload(behind);
        edit.insert_service(web_with(|web| web.waypoint = Some(gateway("waypoint"))));
    });
    let waypoint = endpoint("wp", "10.0.0.9", "waypoint");
    assert_eq!(&*direct(go(&snapshot, &waypoint, "10.0.0.1:8080")).workload.name, "one");
    through(go(&snapshot, &waypoint, VIP)); // wire.md §2.3: only the way to a workload is exempt
    let imposter = Workload { services: SmallMap::new(), ..waypoint };
    through(go(&snapshot, &imposter, "10.0.0.1:8080"));
}

#[test]
fn wp_13_an_ipv6_client_may_get_an_ipv4_waypoint() {
    let snapshot = mesh(|edit| {
        let web = Service { waypoint: Some(gateway("waypoint")), ..service("web", &["fd00:96::1"]) };
        edit.insert_service(web);
    });
    let hop = through(from_client(&snapshot, "[fd00:96::1]:80"));
    assert_eq!((hop.address.ip(), hop.target.ip()), (ip("10.0.0.9"), ip("fd00:96::1")));
}

#[test]
fn a_waypoint_that_is_not_there_is_an_error() {
    let sick = Workload { health: mesh_model::Health::Unhealthy, ..endpoint("wp", "10.0.0.9", "waypoint") };
    let behind = |name: &str| web_with(|web| web.waypoint = Some(gateway(name)));
    for snapshot in [
        mesh(|edit| edit.insert_service(behind("nobody"))),
        mesh(|edit| {
            edit.insert_service(behind("waypoint"));
            edit.insert_workload(sick);
        }),
        mesh(|edit| {
            edit.insert_service(behind("waypoint"));
            edit.insert_service(service("waypoint", &[])); // it does not declare 15008
        }),
    ] {
        let error = from_client(&snapshot, VIP).unwrap_err();
        assert!(matches!(error, ResolveError::NoWaypoint(_)), "{error}");
    }
}

#[test]
fn a_waypoint_with_an_application_tunnel_need_not_declare_its_port() {
    let tunnel =
        mesh_model::ApplicationTunnel { protocol: mesh_model::ApplicationTunnelProtocol::Proxy, port: 15088 };
    let snapshot = mesh(|edit| {
        edit.insert_service(web_with(|web| web.waypoint = Some(gateway("waypoint"))));
        edit.insert_service(service("waypoint", &[]));
        edit.insert_workload(Workload {
            application_tunnel: Some(tunnel),
            ..endpoint("wp", "10.0.0.9", "waypoint")
        });
    });
    assert_eq!(through(from_client(&snapshot, VIP)).address, "10.0.0.9:15008".parse().unwrap());
}

#[test]
fn wp_24_weights_beat_the_plain_waypoint() {
    let weighted = |weights: [u32; 2]| {
        let [plain, canary] = ["waypoint", "canary"].map(gateway);
        let waypoints = [plain.clone(), canary].into_iter().zip(weights);
        let weighted = waypoints.map(|(destination, weight)| WeightedWaypoint { destination, weight });
        let web = web_with(|web| {
            web.weighted_waypoints = weighted.collect();
            web.waypoint = Some(plain);
        });
        mesh(|edit| {
            edit.insert_service(web);
            edit.insert_service(Service { ports: vec![port(15008, 15008)], ..service("canary", &[]) });
            edit.insert_workload(endpoint("canary", "10.0.0.8", "canary"));
        })
    };
    for (weights, share) in
        [([100, 0], 0..=0), ([0, 100], 1000..=1000), ([0, 0], 0..=0), ([75, 25], 180..=320)]
    {
        let snapshot = weighted(weights);
        let canaries = (0..1000).filter(|_| &*through(from_client(&snapshot, VIP)).waypoint.name == "canary");
        let count = canaries.count();
        assert!(share.contains(&count), "{weights:?}: {count} of 1000");
    }
}

#[test]
fn lb_19_another_network_needs_a_gateway() {
    let far = |network_gateway| Workload {
        network: "far".into(),
        network_gateway,
        ..endpoint("one", "10.0.0.1", "web")
    };
    let unreachable = mesh(|edit| edit.insert_workload(far(None)));
    assert!(matches!(from_client(&unreachable, VIP), Err(ResolveError::NoEndpoint { .. })));
    let unknown = mesh(|edit| edit.insert_workload(far(Some(gateway_at("far", "172.16.0.1")))));
    assert!(matches!(from_client(&unknown, VIP), Err(ResolveError::NoGateway(_))));
}

#[test]
fn mc_02_03_a_gateway_leads_to_the_service_on_another_network() {
    let edge = Workload { network: "far".into(), ..pod("edge", "172.16.0.1") };
    let one = Workload {
        network: "far".into(),
        addresses: Vec::new(),
        network_gateway: Some(gateway_at("far", "172.16.0.1")),
        ..endpoint("one", "10.0.0.1", "web")
    };
    let far_name: Identity = "spiffe://td/ns/prod/sa/web".parse().unwrap();
    let snapshot = mesh(|edit| {
        edit.insert_workload(edge);
        edit.insert_workload(one);
        edit.insert_service(web_with(|web| web.subject_alt_names = vec![far_name]));
    });
    let NextHop::Gateway(hop) = from_client(&snapshot, VIP).unwrap() else {
        panic!("not through the gateway");
    };
    assert_eq!(hop.address, "172.16.0.1:15008".parse().unwrap());
    assert_eq!((&hop.service.key, hop.port), (&key("web"), 80));
    assert_eq!(texts(&hop.outer_accepted), ["spiffe://td/ns/prod/sa/edge"]);
    assert_eq!(texts(&hop.inner_accepted), ["spiffe://td/ns/prod/sa/web"]);
}

#[test]
fn lb_11_the_other_network_takes_over_when_nobody_here_is_healthy() {
    let balancing = LoadBalancing {
        preferences: vec![mesh_model::RoutingScope::Network],
        mode: LoadBalancingMode::Failover,
        ..LoadBalancing::default()
    };
    let far = Workload {
        network: "far".into(),
        network_gateway: Some(gateway_at("far", "172.16.0.1")),
        ..endpoint("two", "10.0.0.2", "web")
    };
    let (writer, reader) = crate::new();
    writer.change(|edit| {
        edit.insert_workload(Workload { network: "far".into(), ..pod("edge", "172.16.0.1") });
        edit.insert_workload(far);
        edit.insert_workload(endpoint("one", "10.0.0.1", "web"));
        edit.insert_service(web_with(|web| web.load_balancing = balancing));
    });
    for _ in 0..20 {
        assert_eq!(&*direct(from_client(&reader.snapshot(), VIP)).workload.name, "one");
    }
    let health = mesh_model::Health::Unhealthy;
    writer.change(|edit| edit.insert_workload(Workload { health, ..endpoint("one", "10.0.0.1", "web") }));
    assert!(matches!(from_client(&reader.snapshot(), VIP), Ok(NextHop::Gateway(_))));
}

/// An endpoint of `web` that is known by its host name alone.
fn named() -> Workload {
    Workload {
        addresses: Vec::new(),
        hostname: "www.example.com".into(),
        ..endpoint("named", "10.0.0.3", "web")
    }
}

#[test]
fn dns_25_an_endpoint_known_by_name_alone_is_found_and_has_to_be_looked_up() {
    let snapshot = snapshot(|edit| {
        edit.insert_service(service("web", &["10.96.0.1"]));
        edit.insert_workload(named());
    });
    let Ok(NextHop::Named(hop)) = from_client(&snapshot, VIP) else { panic!("no name") };
    assert_eq!((&*hop.workload.hostname, &*hop.service.name), ("www.example.com", "web"));
    let endpoint = hop.at(ip("::ffff:192.0.2.1"));
    assert_eq!(endpoint.address, SocketAddr::new(ip("192.0.2.1"), hop.port));
    assert_eq!(texts(&endpoint.accepted), ["spiffe://td/ns/prod/sa/named"]);
    assert_eq!((endpoint.tunnel, endpoint.service.as_ref()), (TunnelProtocol::Hbone, Some(&hop.service)));
}

#[test]
fn dns_25_an_endpoint_known_by_name_is_one_of_all_but_none_on_another_network() {
    let snapshot = mesh(|edit| edit.insert_workload(named()));
    let is_named = || matches!(from_client(&snapshot, VIP), Ok(NextHop::Named(_)));
    let count = (0..200).filter(|_| is_named()).count();
    assert!((1..200).contains(&count), "{count} of 200");
    let elsewhere = mesh(|edit| edit.insert_workload(Workload { network: "elsewhere".into(), ..named() }));
    for _ in 0..50 {
        assert_eq!(&*direct(from_client(&elsewhere, VIP)).workload.name, "one");
    }
    // Who chooses among addresses does not get it.
    let web = snapshot.find_service_by_key(&key("web")).unwrap();
    for _ in 0..50 {
        let source = pod("client", "10.0.0.100");
        let chosen = crate::samples::choose(&snapshot, &source, &web, |_| true).unwrap();
        assert_eq!(&*chosen.workload.name, "one");
    }
}
