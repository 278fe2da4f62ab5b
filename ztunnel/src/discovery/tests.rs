//! Resources on demand, and all at once, from a controller that is there: its server is `mesh_xds`'s.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use mesh_model::codec::address;
use mesh_model::{NamespacedHostname, NetworkAddress, NetworkMode, Workload};
use mesh_proto::type_urls;
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_runtime::readiness::Readiness;
use mesh_state::{Query, needed};
use mesh_telemetry::{Registry, XdsMetrics};
use mesh_testkit::controller::TestController;
use mesh_xds::{Change, Entry, version_of};
use prost::Message as _;

use super::asked::{ABSENCE, DISUSE};
use super::*;
use crate::Config;
use crate::control::{self, Receivers};
use crate::samples::{behind, gateway, key, service, workload};

const MOMENT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

/// A ztunnel's state, and the controller it hears.
struct Proxy {
    controller: TestController,
    reader: Reader,
    writer: Writer,
    discovery: Option<Discovery>,
    readiness: Readiness,
    _drain: DrainTrigger,
}

impl Proxy {
    fn start(variables: &[(&str, &str)]) -> Proxy {
        let controller = TestController::start("127.0.0.1:0".parse().unwrap()).unwrap();
        Proxy::following(controller, variables)
    }

    fn on_demand() -> Proxy {
        Proxy::start(&[("XDS_ON_DEMAND", "true"), ("DNS_CAPTURE", "false")])
    }

    fn following(controller: TestController, variables: &[(&str, &str)]) -> Proxy {
        let url = controller.url();
        let own = [
            ("XDS_ADDRESS", url.as_str()),
            ("AUTH_TOKEN", "none"),
            ("NODE_NAME", "node1"),
            ("POD_NAME", "z"),
        ];
        let all = own.iter().chain(variables).map(|(name, value)| (name.to_string(), value.to_string()));
        let config = Config::read(all.collect(), Path::new("/does/not/exist")).unwrap();
        let (writer, reader) = mesh_state::new();
        let (drain, drained) = drain::channel();
        let readiness = Readiness::new();
        let store = control::certificate_store(&config).unwrap();
        let metrics = XdsMetrics::new(&Registry::new("ztunnel", "1"));
        let receivers = Receivers { writer: &writer, reader: &reader, store, metrics };
        let (following, discovery) =
            control::follow_controller(&config, receivers, readiness.register("state"), drained).unwrap();
        tokio::spawn(following);
        Proxy { controller, reader, writer, discovery, readiness, _drain: drain }
    }

    async fn settle(&self, names: &[ResourceName]) -> Result<(), Unanswered> {
        self.discovery.as_ref().unwrap().settle(|_| names.to_vec(), Need::Route).await
    }

    fn knows(&self, name: &ResourceName) -> bool {
        self.reader.snapshot().knows(name)
    }

    /// Waits until the store says so.
    async fn until(&self, check: impl Fn(&Snapshot) -> bool) {
        let found = self.reader.fetch(PATIENCE, |snapshot| check(snapshot).then_some(())).await;
        found.expect("not in time");
    }

    /// Forgets as if that much time had passed.
    fn forget_after(&self, passed: Duration) {
        let Discovery { asked, demand, .. } = self.discovery.as_ref().unwrap();
        asked.forget_unused(&self.reader, &self.writer, demand, "node1", Instant::now() + passed);
    }
}

fn at(ip: &str) -> ResourceName {
    ResourceName::Address(NetworkAddress::new("", ip.parse().unwrap()))
}

/// A pod of another node.
fn far(name: &str, ip: &str) -> Workload {
    Workload { node: "node2".into(), ..workload(name, ip) }
}

fn names(snapshot: &Snapshot) -> HashSet<String> {
    snapshot.workloads().map(|workload| workload.name.to_string()).collect()
}

#[tokio::test]
async fn ad_14_only_what_is_needed_is_known_and_a_connection_waits_for_it() {
    let proxy = Proxy::on_demand();
    for (name, ip) in [("web", "10.0.0.1"), ("other", "10.0.0.2")] {
        proxy.controller.publish(&far(name, ip));
    }
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
    assert_eq!(names(&proxy.reader.snapshot()), HashSet::from(["web".to_owned()]));
    assert!(proxy.readiness.pending().is_empty(), "what comes on demand holds nothing up");

    // Changes of it come unasked, and so does its end.
    proxy.controller.publish(&Workload { service_account: "changed".into(), ..far("web", "10.0.0.1") });
    proxy.until(|known| known.workloads().any(|web| &*web.service_account == "changed")).await;
    proxy.controller.remove(&far("web", "10.0.0.1"));
    proxy.until(|known| known.workloads().count() == 0).await;
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
}

#[tokio::test]
async fn ad_14_an_address_that_is_nobody_s_is_known_to_be_until_somebody_has_it() {
    let proxy = Proxy::on_demand();
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
    assert!(!proxy.knows(&at("10.0.0.1")));
    // Remembered: nobody waits a second time.
    let (discovery, known) = (proxy.discovery.as_ref().unwrap(), proxy.reader.snapshot());
    assert_eq!(discovery.standing(&known, &at("10.0.0.1"), Need::Route).unwrap(), Standing::Settled);
    proxy.controller.publish(&far("web", "10.0.0.1"));
    proxy.until(|known| known.knows(&at("10.0.0.1"))).await;
    // CAP-20: who shares the node's address answers for it, and is found under nobody's.
    proxy
        .controller
        .publish(&Workload { network_mode: NetworkMode::HostNetwork, ..far("agent", "172.30.0.12") });
    proxy.settle(&[at("172.30.0.12")]).await.unwrap();
    assert!(!proxy.knows(&at("172.30.0.12")));
}

#[tokio::test]
async fn ad_14_what_an_answer_brings_up_is_asked_for_too() {
    let proxy = Proxy::on_demand();
    let mut web = service("web", "10.96.0.1", 80, 8080);
    web.waypoint = Some(gateway("10.96.0.9", 15008));
    proxy.controller.publish(&web);
    proxy.controller.publish(&service("waypoint", "10.96.0.9", 15008, 15008));
    proxy.controller.publish(&behind(far("web-1", "10.0.0.1"), "web"));
    proxy.controller.publish(&behind(far("waypoint-1", "10.0.0.9"), "waypoint"));
    let (client, destination) = (workload("client", "10.0.0.7"), "10.96.0.1:80".parse().unwrap());
    let query = Query { source: &client, destination };
    let discovery = proxy.discovery.as_ref().unwrap();
    discovery.settle(|snapshot| needed(snapshot, query), Need::Route).await.unwrap();
    let hop = mesh_state::resolve(&proxy.reader.snapshot(), query).unwrap();
    let mesh_state::NextHop::Waypoint(hop) = hop else { panic!("{hop:?}") };
    assert_eq!(hop.address, SocketAddr::from(([10, 0, 0, 9], 15008)));
}

#[tokio::test]
async fn ad_14_a_silent_controller_is_waited_for_only_so_long() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", taken.local_addr().unwrap());
    let proxy =
        Proxy::start(&[("XDS_ON_DEMAND", "true"), ("DNS_CAPTURE", "false"), ("XDS_ADDRESS", &silent)]);
    let discovery = proxy.discovery.as_ref().unwrap();
    let error = discovery.settle(|_| vec![at("10.0.0.1")], Need::Description).await.unwrap_err();
    assert!(matches!(&error, Unanswered::Silent { name, .. } if &**name == "/10.0.0.1"), "{error}");
}

#[tokio::test]
async fn ad_14_what_is_not_used_is_given_up_and_can_be_asked_for_again() {
    let proxy = Proxy::on_demand();
    let web = service("web", "10.96.0.1", 80, 8080);
    let (near, endpoint) = (workload("near", "10.0.0.3"), behind(far("web-1", "10.0.0.1"), "web"));
    proxy.controller.publish(&web);
    for workload in [&near, &endpoint, &far("alone", "10.0.0.2")] {
        proxy.controller.publish(workload);
    }
    let all = [at("10.96.0.1"), at("10.0.0.2"), at("10.0.0.3"), at("10.0.0.9")];
    proxy.settle(&all).await.unwrap();
    let known = |expected: &[&str]| {
        let expected = expected.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        assert_eq!(names(&proxy.reader.snapshot()), expected);
    };
    proxy.forget_after(DISUSE - MOMENT);
    known(&["web-1", "alone", "near"]);
    proxy.forget_after(DISUSE);
    known(&["near"]);
    assert_eq!(proxy.reader.snapshot().services().count(), 0);

    // Nothing of it comes any more, and it is there again when it is needed.
    proxy.settle(&[at("10.0.0.2")]).await.unwrap();
    proxy.controller.publish(&Workload { service_account: "changed".into(), ..endpoint.clone() });
    proxy.settle(&[at("10.0.0.8")]).await.unwrap();
    known(&["near", "alone"]);
    // Except what was on its way; that is noticed the next time.
    proxy.writer.change(|edit| edit.insert_workload(endpoint));
    proxy.forget_after(Duration::ZERO);
    known(&["near", "alone"]);
    proxy.settle(&[ResourceName::Host(key("web"))]).await.unwrap();
    known(&["near", "alone", "web-1"]);
    let changed = |known: &Snapshot| known.workloads().any(|one| &*one.service_account == "changed");
    assert!(changed(&proxy.reader.snapshot()));

    // What is there for another name's sake stays.
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
    let discovery = proxy.discovery.as_ref().unwrap();
    let later = Instant::now() + DISUSE;
    let known_now = proxy.reader.snapshot();
    discovery.asked.use_name(&known_now, &at("10.0.0.1"), &discovery.demand, (Need::Route, later)).unwrap();
    proxy.forget_after(DISUSE);
    known(&["near", "web-1"]);
}

#[tokio::test]
async fn ad_14_that_a_name_leads_nowhere_counts_for_half_a_minute() {
    let proxy = Proxy::on_demand();
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
    let Discovery { asked, demand, reader } = proxy.discovery.as_ref().unwrap();
    let later = Instant::now() + ABSENCE;
    let standing = asked.use_name(&reader.snapshot(), &at("10.0.0.1"), demand, (Need::Route, later)).unwrap();
    assert_eq!(standing, Standing::Open, "asked again");
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
}

#[tokio::test]
async fn ad_14_ten_thousand_names() {
    let proxy = Proxy::on_demand();
    let ip = |n: u32| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n));
    for n in 0..10_000 {
        proxy.controller.publish(&far(&format!("pod-{n}"), &ip(n).to_string()));
    }
    for start in (0..10_000).step_by(1_000) {
        let wanted: Vec<_> =
            (start..start + 1_000).map(|n| ResourceName::Address(NetworkAddress::new("", ip(n)))).collect();
        proxy.settle(&wanted).await.unwrap();
    }
    assert_eq!(proxy.reader.snapshot().workloads().count(), 10_000);
}

#[tokio::test]
async fn ad_14_callers_take_no_place_from_those_who_want_to_go_somewhere() {
    let proxy = Proxy::on_demand();
    proxy.controller.publish(&behind(far("web-1", "10.0.0.1"), "web"));
    proxy.controller.publish(&service("web", "10.96.0.1", 80, 8080));
    proxy.settle(&[ResourceName::Host(key("web"))]).await.unwrap();
    let discovery = proxy.discovery.as_ref().unwrap();
    let caller = |n: usize| {
        ResourceName::Address(NetworkAddress::new("", Ipv4Addr::from(0xc600_0000 + n as u32).into()))
    };
    let most = Need::Description.most_names();
    for start in (0..most - 1).step_by(2_500) {
        let callers: Vec<_> = (start..(start + 2_500).min(most - 1)).map(caller).collect();
        discovery.settle(|_| callers.clone(), Need::Route).await.unwrap();
    }
    let one_more = || vec![caller(most)];
    let error = discovery.settle(|_| one_more(), Need::Description).await.unwrap_err();
    assert!(matches!(error, Unanswered::TooMany { .. }), "{error}");
    discovery.settle(|_| one_more(), Need::Route).await.unwrap();
    // What is known needs no question.
    discovery.settle(|_| vec![at("10.0.0.1")], Need::Description).await.unwrap();
}

#[tokio::test]
async fn ad_14_an_update_keeps_a_name_in_use() {
    let proxy = Proxy::on_demand();
    proxy.controller.publish(&far("web", "10.0.0.1"));
    proxy.settle(&[at("10.0.0.1")]).await.unwrap();
    proxy.controller.publish(&Workload { service_account: "changed".into(), ..far("web", "10.0.0.1") });
    proxy.until(|known| known.workloads().any(|web| &*web.service_account == "changed")).await;
    proxy.settle(&[at("10.0.0.9")]).await.unwrap();
    proxy.forget_after(ABSENCE);
    assert!(proxy.knows(&at("10.0.0.1")), "it leads somewhere, so it stays for longer");
}

#[tokio::test]
async fn ad_13_everything_at_once_is_thousands_of_resources_in_one_response() {
    let controller = TestController::start("127.0.0.1:0".parse().unwrap()).unwrap();
    let changes = (0..10_000_u32).map(|n| {
        let ip = Ipv4Addr::from(0x0a00_0000 + n).to_string();
        let workload = far(&format!("pod-{n}"), &ip);
        Change::Upsert(Entry::new(workload.uid.0.clone(), &address::encode_workload(&workload)))
    });
    controller.publisher().publish(type_urls::ADDRESS, changes.collect());
    let proxy = Proxy::following(controller, &[]);
    assert!(proxy.discovery.is_none());
    proxy.until(|known| known.workloads().count() == 10_000).await;
}

#[tokio::test]
async fn sec_08_what_is_new_or_broken_spoils_nothing_else() {
    for variables in [&[][..], &[("XDS_ON_DEMAND", "true"), ("DNS_CAPTURE", "false")]] {
        let proxy = Proxy::start(variables);
        let of = |name: &str, ip: &str, more: &[u8]| {
            let workload = far(name, ip);
            let mut bytes = address::encode_workload(&workload).encode_to_vec();
            bytes.extend_from_slice(more);
            let aliases = vec![format!("/{ip}").into()];
            let entry = Entry::new(workload.uid.0.clone(), &address::encode_workload(&workload));
            Change::Upsert(Entry { aliases, version: version_of(&bytes).into(), bytes, ..entry })
        };
        // Field 4000, which no version knows: a length and five bytes.
        let unknown = [0x82, 0xfa, 0x01, 0x05, b'h', b'e', b'l', b'l', b'o'];
        let changes = vec![
            of("good", "10.0.0.1", &[]),
            of("newer", "10.0.0.2", &unknown),
            of("broken", "10.0.0.3", &[0xff, 0xff, 0xff]),
        ];
        proxy.controller.publisher().publish(type_urls::ADDRESS, changes);
        if let Some(discovery) = &proxy.discovery {
            proxy.settle(&[at("10.0.0.1"), at("10.0.0.2")]).await.unwrap();
            discovery.ask(at("10.0.0.3")).unwrap();
        }
        proxy.until(|known| known.knows(&at("10.0.0.1")) && known.knows(&at("10.0.0.2"))).await;
        let deadline = Instant::now() + PATIENCE;
        while proxy.controller.rejections() == 0 {
            assert!(Instant::now() < deadline, "nothing was rejected");
            tokio::task::yield_now().await;
        }
        assert!(!proxy.knows(&at("10.0.0.3")));
        // The name is free for what can be read.
        proxy.controller.publish(&far("broken", "10.0.0.3"));
        proxy.until(|known| known.knows(&at("10.0.0.3"))).await;
    }
}

#[tokio::test]
async fn ad_14_a_controller_that_comes_back_is_told_what_is_wanted() {
    let controller = TestController::start("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = controller.address();
    let mut proxy = Proxy::following(controller, &[("XDS_ON_DEMAND", "true"), ("DNS_CAPTURE", "false")]);
    proxy.controller.publish(&far("web", "10.0.0.1"));
    proxy.settle(&[at("10.0.0.1"), ResourceName::Host(NamespacedHostname::new("a", "b"))]).await.unwrap();
    proxy.controller = TestController::start("127.0.0.1:0".parse().unwrap()).unwrap();
    proxy.controller = TestController::start(address).unwrap();
    proxy.controller.publish(&Workload { service_account: "changed".into(), ..far("web", "10.0.0.1") });
    proxy.controller.publish(&far("other", "10.0.0.2"));
    proxy.until(|known| known.workloads().any(|web| &*web.service_account == "changed")).await;
    assert_eq!(names(&proxy.reader.snapshot()), HashSet::from(["web".to_owned()]));
}
