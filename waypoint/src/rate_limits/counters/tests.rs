//! Counts outlive changes around them, keep callers apart, and are bounded.

use std::time::Duration;

use mesh_model::{Counted, KeySource};
use mesh_telemetry::Registry;

use super::*;

fn counters() -> Counters {
    Counters::new(RateLimitMetrics::new(&Registry::new("waypoint", "1")))
}

fn local(requests: u32) -> LocalLimit {
    LocalLimit { requests, per: Duration::from_secs(3600), burst: requests }
}

fn limit(target: &str, keys: &[KeySource]) -> RateLimit {
    let key = |source: &KeySource| RateLimitKey { name: "k".into(), source: source.clone() };
    RateLimit {
        name: "shop/calm/each".into(),
        target: target.into(),
        ports: Vec::new(),
        rules: Vec::new(),
        matches: Vec::new(),
        keys: keys.iter().map(key).collect(),
        status: 429,
        shadow: false,
        counted: Counted::Local(local(1)),
    }
}

fn draw(counter: &Counter, key: &str) -> bool {
    counter.draw(|hasher| hasher.write(key.as_bytes())).admitted
}

#[test]
fn res_counts_outlive_the_configuration_around_them_but_not_a_change_of_the_limit() {
    let counters = counters();
    let before = counters.find(&limit("Service/shop/a", &[]), local(1));
    assert!(draw(&before, ""));
    let same = counters.find(&RateLimit { ports: vec![80], ..limit("Service/shop/a", &[]) }, local(1));
    assert!(!draw(&same, ""));
    assert!(draw(&counters.find(&limit("Service/shop/b", &[]), local(1)), ""), "another target");
    let changed = counters.find(&limit("Service/shop/a", &[]), local(2));
    assert!(draw(&changed, "") && draw(&changed, "") && !draw(&changed, ""));
    let keyed = counters.find(&limit("Service/shop/a", &[KeySource::Path]), local(2));
    assert!(draw(&keyed, "/"));
    drop((before, same, changed, keyed));
    assert!(draw(&counters.find(&limit("Service/shop/a", &[]), local(1)), ""), "nobody had it any more");
}

#[test]
fn res_each_caller_has_a_bucket_of_its_own() {
    let counters = counters();
    let counter = counters.find(&limit("Service/shop/a", &[KeySource::Identity]), local(2));
    for caller in ["a", "b", "", "a\u{ff}b"] {
        assert!(draw(&counter, caller) && draw(&counter, caller) && !draw(&counter, caller), "{caller}");
    }
}

#[test]
fn res_the_number_of_buckets_is_bounded_and_the_fullest_goes_first() {
    let pace = Pace::of(local(10));
    let keyed = Keyed { hash: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) };
    let key = |number: u64| number * SHARDS as u64;
    let greedy = key(MOST_IN_SHARD as u64 * 2);
    (0..10).for_each(|_| assert!(keyed.draw(greedy, pace, 1).0.admitted));
    let evicted = (0..MOST_IN_SHARD as u64 + 5).filter(|at| keyed.draw(key(*at), pace, 1).1).count();
    assert_eq!(evicted, 6);
    assert_eq!(keyed.shards[0].lock().unwrap().len(), MOST_IN_SHARD);
    assert!(!keyed.draw(greedy, pace, 1).0.admitted, "who has used up most is remembered longest");
    // Once they are full, they make room without a loss.
    let later = 4 * 3600 * 1_000_000_000;
    assert!(!keyed.draw(key(5000), pace, later).1);
    assert_eq!(keyed.shards[0].lock().unwrap().len(), 1);
}
