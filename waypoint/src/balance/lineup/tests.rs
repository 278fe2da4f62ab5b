//! Who is chosen, by places, by health, by age and by what callers have in common.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use mesh_model::{
    AppProtocol, ConsistentHash, HashAlgorithm, HashKey, Health, Locality, LocalityPreference,
    OutlierDetection, TrafficPolicy, Warmup,
};
use mesh_state::{Reader, Writer};
use mesh_telemetry::{OutlierMetrics, Registry};
use tokio::time::advance;

use super::*;
use crate::balance::outcome::Outcome;
use crate::balance::{Groups, Lineups};
use crate::tests::samples::{config, key, rule, service, workload};

/// What a waypoint in `r1/z1` knows of a service, and one of its workers.
struct World {
    writer: Writer,
    reader: Reader,
    groups: Arc<Groups>,
    lineups: Lineups,
}

impl World {
    fn new() -> World {
        let (writer, reader) = mesh_state::new();
        let metrics = OutlierMetrics::new(&Registry::new("waypoint", "test"));
        writer.change(|edit| {
            let me = workload("waypoint", "10.9.0.1".parse().unwrap());
            edit.insert_workload(Workload { locality: place("r1/z1"), ..me });
            let ports = [(80, AppProtocol::Http2)];
            edit.insert_service(service(
                "shop",
                "10.96.0.1".parse().unwrap(),
                "10.9.0.1".parse().unwrap(),
                &ports,
            ));
        });
        let groups = Groups::new(metrics);
        World { writer, reader, lineups: Lineups::new(groups.clone()), groups }
    }

    /// The same with endpoints `1` and so on at these places.
    fn with(places: &[&str], policy: TrafficPolicy) -> World {
        let world = World::new();
        for (number, at) in (1..).zip(places) {
            world.add(endpoint(number, at));
        }
        let config = config("shop", vec![]);
        world.writer.change(|edit| {
            edit.insert_service_config(ServiceConfig { traffic: [(0, policy)].into(), ..config });
        });
        world
    }

    fn add(&self, endpoint: Workload) {
        self.writer.change(|edit| edit.insert_workload(endpoint));
    }

    fn lineup(&self) -> Arc<Lineup> {
        let me = Uid::from("Kubernetes//Pod/shop/waypoint");
        self.lineups.find(&self.reader, &me, (&key("shop"), 80, None, true)).unwrap()
    }

    fn choose(&self, head: Option<&Parts>, tried: &[SocketAddr]) -> Option<(String, OnItsWay)> {
        let mut caller = Caller::new("10.0.0.100".parse().unwrap(), head);
        let (endpoint, on_its_way) = self.lineup().choose(&mut caller, tried)?;
        Some((endpoint.workload.name.to_string(), on_its_way))
    }

    /// Who is chosen how often, of 1000 times.
    fn counts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..1000 {
            if let Some((name, _)) = self.choose(None, &[]) {
                *counts.entry(name).or_default() += 1;
            }
        }
        counts
    }

    /// Lets an endpoint fail once, wherever that takes a try.
    fn fail(&self, name: &str) {
        let mut choices = (0..10_000).filter_map(|_| self.choose(None, &[]));
        let (_, on_its_way) = choices.find(|(chosen, _)| chosen == name).unwrap();
        on_its_way.tell(Some(Outcome::Failed));
    }
}

fn place(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/').map(Into::into);
    let mut next = || parts.next().unwrap_or_default();
    Locality { region: next(), zone: next(), subzone: next() }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 8080))
}

fn endpoint(number: u8, at: &str) -> Workload {
    let mut endpoint = workload(&number.to_string(), address(number).ip());
    endpoint.services.insert(key("shop"), [(80, 8080)].into());
    Workload { locality: place(at), ..endpoint }
}

fn by(load_balancer: LoadBalancer) -> TrafficPolicy {
    TrafficPolicy { load_balancer, ..TrafficPolicy::default() }
}

fn strict() -> Option<OutlierDetection> {
    Some(OutlierDetection {
        interval: Duration::from_secs(1),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_percent: 100,
        min_health_percent: 0,
        consecutive_gateway_errors: None,
        consecutive_errors: Some(1),
        consecutive_local_origin_failures: None,
        split_local_origin_errors: false,
        error_codes: Vec::new(),
    })
}

/// The shares that are about these, in per cent.
fn assert_about(counts: &BTreeMap<String, u32>, expected: &[(&str, u32)]) {
    let names: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{counts:?}");
    for (name, percent) in expected {
        // More than six standard deviations of 1000 draws.
        assert!(counts[*name].abs_diff(percent * 10) <= 100, "{counts:?} for {expected:?}");
    }
}

#[test]
fn a_lineup_is_made_anew_only_when_something_of_it_changes() {
    let world = World::with(&["r1", "r1"], TrafficPolicy::default());
    let first = world.lineup();
    assert_eq!(first.app_protocol, AppProtocol::Http2);
    let other = Workload { services: [(key("other"), [(80, 1)].into())].into(), ..endpoint(9, "r1") };
    world.add(other);
    assert!(Arc::ptr_eq(&first, &world.lineup()), "others do not matter");
    world.add(endpoint(3, "r1"));
    let second = world.lineup();
    assert!(!Arc::ptr_eq(&first, &second));
    world.add(Workload { health: Health::Unhealthy, ..endpoint(3, "r1") });
    assert!(!Arc::ptr_eq(&second, &world.lineup()));
    assert_about(&world.counts(), &[("1", 50), ("2", 50)]);
}

#[test]
fn workers_share_what_one_of_them_has_made() {
    let world = World::with(&["r1", "r1"], TrafficPolicy::default());
    let (name, _busy) = world.choose(None, &[]).unwrap();
    let (groups, reader) = (world.groups.clone(), world.reader.clone());
    let another = World { reader, lineups: Lineups::new(groups), ..World::new() };
    assert!(Arc::ptr_eq(&world.lineup(), &another.lineup()));
    let counts = another.counts();
    assert!(!counts.contains_key(&name) && counts.len() == 1, "{name} is busy: {counts:?}");
}

#[test]
fn lb_12_capacity_is_the_weight_whatever_the_choice() {
    for choice in [Choice::LeastRequest, Choice::Random, Choice::RoundRobin] {
        let world = World::with(&["r1", "r1"], by(LoadBalancer { choice, ..LoadBalancer::default() }));
        world.add(Workload { capacity: 4, ..endpoint(1, "r1") });
        world.add(Workload { capacity: 0, ..endpoint(3, "r1") });
        assert_about(&world.counts(), &[("1", 80), ("2", 20)]);
    }
}

#[test]
fn who_was_tried_is_avoided_as_long_as_there_is_somebody_else() {
    let hashed =
        ConsistentHash { key: HashKey::SourceIp, algorithm: HashAlgorithm::Ring { minimum_size: 64 } };
    for choice in [Choice::LeastRequest, Choice::RoundRobin, Choice::ConsistentHash(hashed)] {
        let locality = Some(LocalityPreference::default());
        let policy = by(LoadBalancer { choice, locality, ..LoadBalancer::default() });
        let world = World::with(&["r1/z1", "r1/z1", "r2"], policy);
        for _ in 0..50 {
            let chosen = |tried: &[SocketAddr]| world.choose(None, tried).unwrap().0;
            assert_eq!(chosen(&[address(1)]), "2");
            assert_eq!(chosen(&[address(1), address(2)]), "3", "further away, but not tried");
            assert_ne!(chosen(&[address(1), address(2), address(3)]), "3");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn res_20_the_next_level_takes_what_the_first_cannot() {
    let locality = Some(LocalityPreference::default());
    let balancer = LoadBalancer { locality, ..LoadBalancer::default() };
    let policy = TrafficPolicy { outlier_detection: strict(), ..by(balancer) };
    let world = World::with(&["r1/z1", "r1/z1", "r1/z2", "r2"], policy);
    assert_about(&world.counts(), &[("1", 50), ("2", 50)]);
    world.fail("1");
    assert_about(&world.counts(), &[("2", 70), ("3", 30)]);
    world.fail("2");
    assert_about(&world.counts(), &[("3", 100)]);
    world.fail("3");
    world.fail("4");
    assert_about(&world.counts(), &[("1", 50), ("2", 50)]);
    assert_eq!(world.groups.left_out().len(), 4, "nobody is well, so all are used");
    advance(Duration::from_secs(31)).await;
    tokio::task::yield_now().await;
    assert_eq!(world.groups.left_out().len(), 0);
    assert_about(&world.counts(), &[("1", 50), ("2", 50)]);
}

#[test]
fn shares_of_places_are_kept() {
    let entry = |place: &str, share: u32| (Arc::<str>::from(place), share);
    let shares = BTreeMap::from([entry("r1/z1/*", 70), entry("r1/z2", 20), entry("r9", 10)]);
    let distribute = vec![("r1/*".into(), shares)];
    let locality = Some(LocalityPreference { distribute, ..LocalityPreference::default() });
    let policy = by(LoadBalancer { locality, ..LoadBalancer::default() });
    let world = World::with(&["r1/z1", "r1/z1", "r1/z2", "r2"], policy);
    // Nobody is in r9, so the others have its share; nothing is for r2.
    assert_about(&world.counts(), &[("1", 39), ("2", 39), ("3", 22)]);
}

#[tokio::test(start_paused = true)]
async fn who_is_new_gets_its_share_step_by_step() {
    let warmup = Some(Warmup { duration: Duration::from_secs(100), minimum_percent: 10.0, aggression: 1.0 });
    for choice in [Choice::LeastRequest, Choice::RoundRobin] {
        let world = World::with(&["r1"], by(LoadBalancer { choice, warmup, ..LoadBalancer::default() }));
        world.lineup();
        advance(Duration::from_secs(1000)).await;
        world.add(endpoint(2, "r1"));
        assert_about(&world.counts(), &[("1", 91), ("2", 9)]);
        advance(Duration::from_secs(25)).await;
        assert_about(&world.counts(), &[("1", 80), ("2", 20)]);
        advance(Duration::from_secs(75)).await;
        assert_about(&world.counts(), &[("1", 50), ("2", 50)]);
        let settled = world.lineup();
        advance(Duration::from_secs(1000)).await;
        assert!(Arc::ptr_eq(&settled, &world.lineup()), "nothing changes by itself any more");
    }
}

#[test]
fn lb_21_all_waypoints_agree_and_only_the_share_of_who_goes_moves() {
    let algorithm = HashAlgorithm::Ring { minimum_size: 1024 };
    let hash = ConsistentHash { key: HashKey::Header("x-user".into()), algorithm };
    let choice = Choice::ConsistentHash(hash);
    let policy = by(LoadBalancer { choice, ..LoadBalancer::default() });
    let (one, other) = (World::with(&["r1"; 7], policy.clone()), World::with(&["r1"; 7], policy.clone()));
    let fewer = World::with(&["r1"; 6], policy);
    let mut hits: BTreeMap<String, u32> = BTreeMap::new();
    for user in 0..500 {
        let request = Request::builder().header("x-user", user).body(()).unwrap();
        let (head, ()) = request.into_parts();
        let chosen = |world: &World| world.choose(Some(&head), &[]).unwrap().0;
        let name = chosen(&one);
        assert_eq!(name, chosen(&other));
        if name != "7" {
            assert_eq!(name, chosen(&fewer));
        }
        *hits.entry(name).or_default() += 1;
    }
    assert_eq!(hits.len(), 7, "{hits:?}");
}

#[test]
fn l7_04_a_subset_that_is_not_declared_has_nobody() {
    let world = World::with(&["r1"], TrafficPolicy::default());
    let me = Uid::from("Kubernetes//Pod/shop/waypoint");
    let (shop, subset) = (key("shop"), Arc::from("none"));
    let scope = (&shop, 80, Some(&subset), true);
    let lineup = world.lineups.find(&world.reader, &me, scope).unwrap();
    let mut caller = Caller::new("10.0.0.100".parse().unwrap(), None);
    assert!(lineup.choose(&mut caller, &[]).is_none());
    assert!(world.lineups.find(&world.reader, &me, (&key("nowhere"), 80, None, true)).is_none());
}

#[test]
fn a_lineup_stays_where_routes_change_and_goes_where_its_policy_does() {
    let world = World::with(&["r1", "r1"], TrafficPolicy::default());
    let lineup = world.lineup();
    let traffic = || [(0, TrafficPolicy::default())].into();
    let routed = config("shop", vec![rule("other", Vec::new())]);
    world.writer.change(|edit| {
        edit.insert_service_config(ServiceConfig { traffic: traffic(), ..routed });
    });
    assert!(Arc::ptr_eq(&lineup, &world.lineup()));
    let policy = by(LoadBalancer { choice: Choice::Random, ..LoadBalancer::default() });
    world.writer.change(|edit| {
        edit.insert_service_config(ServiceConfig { traffic: [(0, policy)].into(), ..config("shop", vec![]) });
    });
    let renewed = world.lineup();
    assert!(!Arc::ptr_eq(&lineup, &renewed));
    world.add(endpoint(3, "r1"));
    assert!(!Arc::ptr_eq(&renewed, &world.lineup()));
}
