//! Tests of `dns::answer`: who is told what of whom.

use mesh_model::{NamespacedHostname, NetworkAddress, Visibility};

use super::*;
use crate::samples;

/// A service of any name and any addresses, each `ip` or `network/ip`.
fn service(namespace: &str, host: &str, addresses: &[&str]) -> Service {
    let address = |text: &&str| {
        let (network, ip) = text.split_once('/').unwrap_or(("", text));
        NetworkAddress::new(network, ip.parse().unwrap())
    };
    Service {
        name: host.split('.').next().unwrap().into(),
        key: NamespacedHostname::new(namespace, host),
        addresses: addresses.iter().map(address).collect(),
        ..samples::service("any", "192.0.2.1", 80, 8080)
    }
}

/// A pod behind a service, with these addresses.
fn endpoint(name: &str, service: &Service, addresses: &[&str]) -> Workload {
    let mut workload = samples::workload(name, "192.0.2.1");
    workload.addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    workload.services.insert(service.key.clone(), Default::default());
    workload
}

/// A client of `ns1`.
fn client() -> Workload {
    Workload { namespace: "ns1".into(), ..samples::workload("client", "10.0.0.1") }
}

/// What somebody is told: `-` nothing, else the addresses in order, after `alias=` if there is one.
fn told_to(snapshot: &Snapshot, client: &Workload, asked: &str, family: Family) -> String {
    let domain = Domain::new("cluster.local");
    let Some(answer) = find_answer(snapshot, client, &domain, asked, family) else { return "-".to_owned() };
    let mut addresses: Vec<_> = answer.addresses.iter().map(IpAddr::to_string).collect();
    addresses.sort();
    let alias = answer.alias_of.map(|alias| format!("{alias}=")).unwrap_or_default();
    format!("{alias}{}", addresses.join(","))
}

fn told(services: &[Service], asked: &str) -> String {
    told_to(&samples::snapshot(&[], services, &[]), &client(), asked, Family::V4)
}

#[test]
fn dns_02_a_service_is_found_by_each_of_its_names() {
    let services = [service("ns1", "web.ns1.svc.cluster.local", &["10.96.0.1"])];
    for asked in ["web.ns1.svc.cluster.local", "web.ns1.svc", "web.ns1", "web"] {
        assert_eq!(told(&services, asked), "10.96.0.1", "{asked}");
    }
}

#[test]
fn dns_03_a_bare_name_is_not_that_of_a_service_elsewhere() {
    let services = [service("ns2", "web.ns2.svc.cluster.local", &["10.96.0.1"])];
    assert_eq!(told(&services, "web"), "-");
    assert_eq!(told(&services, "web.ns1.svc.cluster.local"), "-");
    assert_eq!(told(&services, "web.ns2"), "10.96.0.1");
}

#[test]
fn dns_05_with_a_search_suffix_the_answer_leads_to_the_name_without() {
    let services = [
        service("ns1", "www.example.com", &["240.240.0.1"]),
        service("ns1", "*.wild.com", &["240.240.0.2"]),
        service("ns2", "web.ns2.svc.cluster.local", &["10.96.0.1"]),
    ];
    for suffix in ["ns1.svc.cluster.local", "svc.cluster.local", "cluster.local"] {
        let www = format!("www.example.com.{suffix}");
        assert_eq!(told(&services, &www), "www.example.com=240.240.0.1", "{suffix}");
        let web = format!("web.ns2.{suffix}");
        let expected = if suffix == "svc.cluster.local" { "10.96.0.1" } else { "web.ns2=10.96.0.1" };
        assert_eq!(told(&services, &web), expected, "{suffix}");
        // A wildcard has no name that an alias could lead to.
        assert_eq!(told(&services, &format!("www.wild.com.{suffix}")), "240.240.0.2", "{suffix}");
    }
    assert_eq!(told(&services, "www.example.com.ns2.svc.cluster.local"), "-");
}

#[test]
fn dns_06_20_what_nobody_has_declared_is_not_answered() {
    let headless = service("ns1", "db.ns1.svc.cluster.local", &[]);
    let pod = endpoint("db-0", &headless, &["10.0.0.5"]);
    let snapshot = samples::snapshot(&[pod], &[headless], &[]);
    for asked in ["www.example.com", "nobody", "db-0.db.ns1.svc.cluster.local", "db-0.db"] {
        assert_eq!(told_to(&snapshot, &client(), asked, Family::V4), "-", "{asked}");
    }
}

#[test]
fn dns_08_a_host_without_an_address_of_the_family_is_known_all_the_same() {
    let services = [
        service("ns1", "v4.example.com", &["240.240.0.1"]),
        service("ns1", "v6.example.com", &["2001:2::1"]),
    ];
    let snapshot = samples::snapshot(&[], &services, &[]);
    let told = |asked: &str, family| told_to(&snapshot, &client(), asked, family);
    assert_eq!(
        (told("v4.example.com", Family::V6), told("v6.example.com", Family::V4)),
        ("".into(), "".into())
    );
    assert_eq!(told("v6.example.com", Family::V6), "2001:2::1");
    // Nothing to lead to, so no alias either.
    assert_eq!(told("v4.example.com.ns1.svc.cluster.local", Family::V6), "");
}

#[test]
fn dns_09_exact_before_wildcard_and_the_longest_wildcard_first() {
    let services = [
        service("ns1", "*.com", &["240.240.0.1"]),
        service("ns1", "*.example.com", &["240.240.0.2"]),
        service("ns1", "www.example.com", &["240.240.0.3"]),
    ];
    for (asked, expected) in [
        ("www.example.com", "240.240.0.3"),
        ("api.example.com", "240.240.0.2"),
        ("a.b.example.com", "240.240.0.2"),
        ("example.com", "240.240.0.1"),
        ("com", "-"),
        ("example.org", "-"),
    ] {
        assert_eq!(told(&services, asked), expected, "{asked}");
    }
}

#[test]
fn dns_10_only_addresses_of_the_client_s_network_are_told() {
    let services = [
        service("ns1", "both.example.com", &["240.240.0.1", "far/240.240.0.2"]),
        service("ns1", "far.example.com", &["far/240.240.0.3"]),
    ];
    assert_eq!(told(&services, "both.example.com"), "240.240.0.1");
    assert_eq!(told(&services, "far.example.com"), "");
}

#[test]
fn dns_11_a_headless_service_is_its_endpoints() {
    let mut single = service("ns1", "single.ns1.svc.cluster.local", &[]);
    single.ip_families = IpFamilies::Ipv4;
    let dual = service("ns1", "dual.ns1.svc.cluster.local", &[]);
    let mut sick = endpoint("sick", &dual, &["10.0.0.7"]);
    sick.health = Health::Unhealthy;
    let far = Workload { network: "far".into(), ..endpoint("far", &dual, &["10.0.0.8"]) };
    let workloads = [
        endpoint("s", &single, &["10.0.0.5", "fd00::5"]),
        endpoint("d", &dual, &["10.0.0.6", "fd00::6"]),
        sick,
        far,
    ];
    let snapshot = samples::snapshot(&workloads, &[single, dual], &[]);
    let told = |asked: &str, family| told_to(&snapshot, &client(), asked, family);
    assert_eq!((told("single", Family::V4), told("single", Family::V6)), ("10.0.0.5".into(), "".into()));
    assert_eq!((told("dual", Family::V4), told("dual", Family::V6)), ("10.0.0.6".into(), "fd00::6".into()));
}

#[test]
fn dns_11_endpoints_that_are_not_ready_are_told_where_the_service_wants_it() {
    let mut all = service("ns1", "all.ns1.svc.cluster.local", &[]);
    all.load_balancing.health_policy = HealthPolicy::AllowAll;
    let mut sick = endpoint("sick", &all, &["10.0.0.7"]);
    sick.health = Health::Unhealthy;
    let snapshot = samples::snapshot(&[sick], &[all], &[]);
    assert_eq!(told_to(&snapshot, &client(), "all", Family::V4), "10.0.0.7");
}

#[test]
fn dns_12_a_host_outside_the_cluster_without_addresses_is_somebody_else_s() {
    let services = [
        service("ns1", "www.example.com", &[]),
        service("ns1", "*.example.com", &["240.240.0.9"]),
        service("ns1", "a.ns1.svc.other.local", &[]),
    ];
    assert_eq!(told(&services[..1], "www.example.com"), "-");
    assert_eq!(told(&services, "a.ns1.svc.other.local"), "-");
    assert_eq!(told(&services, "www.example.com"), "240.240.0.9", "the wildcard has one");
}

#[test]
fn dns_13_of_several_namespaces_the_client_s_then_the_canonical_then_the_preferred_one() {
    let host = "www.example.com";
    let own = service("ns1", host, &["240.240.0.1"]);
    let canonical = Service { canonical: true, ..service("ns2", host, &["240.240.0.2"]) };
    let preferred = service("ns3", host, &["240.240.0.3"]);
    let other = service("ns4", host, &["240.240.0.4"]);
    let told = |services: &[&Service]| {
        let (writer, reader) = mesh_state::with_preferred_namespace("ns3");
        writer.change(|edit| services.iter().for_each(|service| edit.insert_service((*service).clone())));
        told_to(&reader.snapshot(), &client(), host, Family::V4)
    };
    assert_eq!(told(&[&other, &preferred, &canonical, &own]), "240.240.0.1");
    assert_eq!(told(&[&other, &preferred, &canonical]), "240.240.0.2");
    assert_eq!(told(&[&other, &preferred]), "240.240.0.3");
    assert_eq!(told(&[&other]), "240.240.0.4");
}

#[test]
fn dns_14_what_a_namespace_keeps_to_itself_does_not_exist_elsewhere() {
    let hidden =
        Service { visibility: Visibility::Namespace, ..service("ns1", "a.example.com", &["240.240.0.1"]) };
    let foreign =
        Service { visibility: Visibility::Namespace, ..service("ns2", "b.example.com", &["240.240.0.2"]) };
    assert_eq!(told(&[hidden.clone(), foreign.clone()], "a.example.com"), "240.240.0.1");
    assert_eq!(told(&[hidden, foreign], "b.example.com"), "-");
}

#[test]
fn dns_15_a_host_of_another_cluster_has_one_name_and_all_its_addresses_in_any_order() {
    let services = [service("ns1", "web.ns1.svc.other.local", &["10.97.0.1", "10.97.0.2", "10.97.0.3"])];
    assert_eq!(told(&services, "web.ns1.svc.other.local"), "10.97.0.1,10.97.0.2,10.97.0.3");
    for short in ["web", "web.ns1", "web.ns1.svc"] {
        assert_eq!(told(&services, short), "-", "{short}");
    }
    let snapshot = samples::snapshot(&[], &services, &[]);
    let domain = Domain::new("cluster.local");
    let first = || {
        let asked = "web.ns1.svc.other.local";
        find_answer(&snapshot, &client(), &domain, asked, Family::V4).unwrap().addresses[0]
    };
    let firsts: std::collections::BTreeSet<_> = (0..200).map(|_| first()).collect();
    assert_eq!(firsts.len(), 3, "each is the first at times");
}

#[test]
fn dns_24_eg_04_eg_22_a_service_entry_s_drawn_addresses_are_told_while_it_is_there() {
    let entry = service("ns1", "www.example.com", &["240.240.0.1", "2001:2::1"]);
    let (writer, reader) = mesh_state::new();
    let told = |family| told_to(&reader.snapshot(), &client(), "www.example.com", family);
    writer.change(|edit| edit.insert_service(entry.clone()));
    assert_eq!((told(Family::V4), told(Family::V6)), ("240.240.0.1".into(), "2001:2::1".into()));
    writer.change(|edit| edit.remove_service(&entry.key));
    assert_eq!(told(Family::V4), "-");
}
