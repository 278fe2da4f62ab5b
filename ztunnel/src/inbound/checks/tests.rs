//! The checks of wire.md §2.4 in their order, with the status the far end is told.

use mesh_model::{SmallMap, Workload};

use super::*;
use crate::samples::{behind, gateway, key, service, snapshot, workload};

const POD: &str = "10.0.0.2";

struct Pod {
    local: Workload,
    snapshot: Arc<Snapshot>,
    localhost: bool,
}

impl Pod {
    fn new(local: Workload, others: &[Workload], services: &[Service]) -> Self {
        let mut workloads = vec![local.clone()];
        workloads.extend_from_slice(others);
        Pod { local, snapshot: snapshot(&workloads, services, &[]), localhost: true }
    }

    fn asked_for(&self, authority: &str) -> Result<Delivery, Refusal> {
        let target = authority.parse().unwrap();
        let address = POD.parse().unwrap();
        let localhost = self.localhost;
        deliver(&self.snapshot, Arrival { local: &self.local, address, target: &target, localhost })
    }

    fn upstream(&self, authority: &str) -> String {
        self.asked_for(authority).unwrap().upstream.to_string()
    }

    fn status(&self, authority: &str) -> u16 {
        self.asked_for(authority).unwrap_err().status().as_u16()
    }
}

#[test]
fn hb_02_the_pod_s_own_address_is_served() {
    let pod = Pod::new(workload("server", POD), &[], &[]);
    let delivery = pod.asked_for("10.0.0.2:8080").unwrap();
    assert_eq!(delivery.upstream.to_string(), "10.0.0.2:8080");
    assert_eq!(delivery.destination, delivery.upstream);
    assert_eq!((delivery.announced, delivery.service), (None, None));
}

#[test]
fn hb_05_another_address_is_refused_with_400_and_both_addresses_named() {
    let pod = Pod::new(workload("server", POD), &[workload("other", "10.0.0.3")], &[]);
    for authority in ["10.0.0.3:8080", "127.0.0.1:8080", "[::1]:8080", "93.184.216.34:80"] {
        assert_eq!(pod.status(authority), 400, "{authority}");
        let said = pod.asked_for(authority).unwrap_err().to_string();
        assert!(said.contains("ip mismatch") && said.contains(POD) && said.contains(authority), "{said}");
    }
}

#[test]
fn hb_11_the_proxy_s_own_ports_are_refused_with_503() {
    let pod = Pod::new(workload("server", POD), &[], &[]);
    for port in [15001, 15006, 15008] {
        assert_eq!(pod.status(&format!("{POD}:{port}")), 503);
    }
    assert_eq!(pod.upstream("10.0.0.2:15000"), "10.0.0.2:15000", "not a port of this pod's proxy");
}

#[test]
fn hb_07_a_service_s_name_leads_to_the_target_port() {
    let mut mapped = behind(workload("server", POD), "web");
    mapped.services.insert(key("named"), SmallMap::from([(80, 9090)]));
    let services = [service("web", "10.96.0.1", 80, 8080), service("named", "10.96.0.2", 80, 0)];
    let pod = Pod::new(mapped, &[], &services);
    assert_eq!(pod.upstream("web.default.svc.cluster.local:80"), "10.0.0.2:8080");
    assert_eq!(pod.upstream("named.default.svc.cluster.local:80"), "10.0.0.2:9090");
    let delivery = pod.asked_for("web.default.svc.cluster.local:80").unwrap();
    assert_eq!(delivery.service.unwrap().key, key("web"));
}

#[test]
fn hb_07_a_name_or_port_that_leads_nowhere_is_refused_with_503() {
    let services = [service("web", "10.96.0.1", 80, 8080), service("numberless", "10.96.0.2", 80, 0)];
    let pod = Pod::new(workload("server", POD), &[], &services);
    for authority in [
        "nobody.default.svc.cluster.local:80",
        "web.default.svc.cluster.local:81",
        "numberless.default.svc.cluster.local:80",
    ] {
        assert_eq!(pod.status(authority), 503, "{authority}");
    }
}

#[test]
fn hb_06_a_waypoint_takes_what_names_it_and_nothing_else() {
    let mut served = workload("served", "10.0.0.3");
    served.waypoint = Some(gateway(POD, 15008));
    let mut shaped = service("shaped", "10.96.0.2", 80, 8080);
    shaped.waypoint = Some(gateway(POD, 15008));
    let other = workload("other", "10.0.0.4");
    let pod =
        Pod::new(workload("waypoint", POD), &[served, other], &[shaped, service("x", "10.96.0.3", 80, 1)]);
    // HB-25: to the waypoint's own address, at the port that was asked for.
    assert_eq!(pod.upstream("10.0.0.3:8080"), "10.0.0.2:8080");
    assert_eq!(pod.upstream("10.96.0.2:80"), "10.0.0.2:80");
    assert_eq!(pod.status("10.0.0.4:8080"), 400);
    assert_eq!(pod.status("10.96.0.3:80"), 400);
}

fn tunnelled(protocol: ApplicationTunnelProtocol, port: u16) -> Workload {
    let application_tunnel = Some(ApplicationTunnel { protocol, port });
    Workload { application_tunnel, ..workload("waypoint", POD) }
}

#[test]
fn hb_24_an_application_tunnel_takes_anything_and_is_told_what() {
    let services = [service("web", "10.96.0.1", 80, 8080)];
    let mut pod = Pod::new(tunnelled(ApplicationTunnelProtocol::Proxy, 15088), &[], &services);
    for (authority, announced) in [
        ("10.96.0.1:80", "10.96.0.1:80"),
        ("203.0.113.7:443", "203.0.113.7:443"),
        ("web.default.svc.cluster.local:80", "10.96.0.1:80"),
    ] {
        let delivery = pod.asked_for(authority).unwrap();
        assert_eq!(delivery.upstream.to_string(), "127.0.0.1:15088", "{authority}");
        assert_eq!(delivery.destination.to_string(), "10.0.0.2:15088", "{authority}");
        assert_eq!(delivery.announced.unwrap().to_string(), announced, "{authority}");
    }
    pod.localhost = false;
    assert_eq!(pod.upstream("10.96.0.1:80"), "10.0.0.2:15088");
}

#[test]
fn hb_25_an_application_tunnel_without_proxy_header_is_reached_at_the_pod() {
    let pod = Pod::new(tunnelled(ApplicationTunnelProtocol::None, 0), &[], &[]);
    let delivery = pod.asked_for("10.96.0.1:80").unwrap();
    assert_eq!((delivery.upstream.to_string().as_str(), delivery.announced), ("10.0.0.2:80", None));
    assert_eq!(pod.status("10.96.0.1:15008"), 503, "HB-11 holds here too");
}

#[test]
fn hb_24_a_service_without_an_address_cannot_be_announced() {
    let mut headless = service("headless", "10.96.0.1", 80, 8080);
    headless.addresses.clear();
    let pod = Pod::new(tunnelled(ApplicationTunnelProtocol::Proxy, 0), &[], &[headless]);
    assert_eq!(pod.status("headless.default.svc.cluster.local:80"), 503);
    assert_eq!(pod.status("unknown.default.svc.cluster.local:80"), 503);
}
