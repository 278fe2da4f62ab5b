//! Who belongs to a group, and who is left out of it for how long.

use std::time::Duration;

use mesh_telemetry::Registry;
use tokio::time::advance;

use super::*;
use crate::balance::outcome::Outcome;
use crate::balance::record::{OnItsWay, Watch};
use crate::tests::samples::{key, workload};

fn detection() -> OutlierDetection {
    OutlierDetection {
        interval: Duration::from_secs(1),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_percent: 50,
        min_health_percent: 0,
        consecutive_gateway_errors: None,
        consecutive_errors: Some(2),
        consecutive_local_origin_failures: None,
        split_local_origin_errors: false,
        error_codes: Vec::new(),
    }
}

fn group() -> Arc<Group> {
    let scope = Scope { service: key("shop"), port: 80, subset: Some("v1".into()), ipv4: true };
    let metrics = OutlierMetrics::new(&Registry::new("waypoint", "test"));
    Arc::new(Group::new(scope, metrics, Arc::default(), Instant::now()))
}

fn endpoint(name: &str, address: &str) -> Endpoint {
    let address: SocketAddr = address.parse().unwrap();
    let workload = Arc::new(workload(name, address.ip()));
    Endpoint { service: None, tunnel: workload.tunnel, accepted: Vec::new(), workload, address }
}

fn call(group: &Group, endpoints: &[Endpoint]) -> Roll {
    group.call(endpoints.iter(), true, Instant::now())
}

fn four() -> [Endpoint; 4] {
    [1, 2, 3, 4].map(|n| endpoint(&format!("e{n}"), &format!("10.0.0.{n}:80")))
}

/// Lets an endpoint fail as often as it may.
fn fail(group: &Arc<Group>, record: &Arc<Record>) {
    let watch = Arc::new(Watch { group: group.clone(), detection: detection() });
    for _ in 0..2 {
        OnItsWay::to(record, Some(&watch)).tell(Some(Outcome::Failed));
    }
}

fn out(group: &Group) -> Vec<String> {
    let mut out: Vec<String> = group.left_out().iter().map(|it| it.address.to_string()).collect();
    out.sort();
    out
}

#[tokio::test(start_paused = true)]
async fn res_20_an_endpoint_is_left_out_and_taken_back() {
    let group = group();
    let roll = call(&group, &four());
    fail(&group, &roll.members[1].0);
    assert_eq!(out(&group), ["10.0.0.2:80"]);
    assert_ne!(group.epoch(), roll.epoch, "whoever has made ready has to do it again");
    let out_now: Vec<bool> = call(&group, &four()).members.iter().map(|(_, is_out)| *is_out).collect();
    assert_eq!(out_now, [false, true, false, false]);
    let epoch = group.epoch();
    advance(Duration::from_secs(29)).await;
    assert_eq!((out(&group).len(), group.epoch()), (1, epoch));
    advance(Duration::from_secs(2)).await;
    tokio::task::yield_now().await;
    assert!(out(&group).is_empty());
    assert_ne!(group.epoch(), epoch);
}

#[tokio::test(start_paused = true)]
async fn res_20_no_more_than_the_share_are_left_out() {
    let group = group();
    let roll = call(&group, &four());
    for (record, _) in &roll.members {
        fail(&group, record);
    }
    assert_eq!(out(&group), ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[tokio::test(start_paused = true)]
async fn who_goes_is_forgotten_and_who_comes_is_new() {
    let group = group();
    let roll = call(&group, &four());
    fail(&group, &roll.members[0].0);
    let again = call(&group, &four()[1..]);
    assert!(out(&group).is_empty());
    assert!(Arc::ptr_eq(&again.members[0].0, &roll.members[1].0), "who stays keeps the record");
    fail(&group, &roll.members[0].0);
    assert!(out(&group).is_empty(), "of no group any more");
    advance(Duration::from_secs(5)).await;
    let back = call(&group, &four());
    assert_eq!(back.members[0].0.since - back.members[1].0.since, Duration::from_secs(5));
    let mut moved = four();
    moved[3] = endpoint("e4", "10.0.0.9:80");
    let moved = call(&group, &moved);
    assert!(!Arc::ptr_eq(&moved.members[3].0, &back.members[3].0), "elsewhere, it is another");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_to_be_left_out_all_are_taken_back() {
    let group = group();
    fail(&group, &call(&group, &four()).members[0].0);
    let roll = group.call(four().iter(), false, Instant::now());
    assert!(roll.members.iter().all(|(_, is_out)| !is_out) && out(&group).is_empty());
}

#[test]
fn requests_count_while_they_are_on_their_way() {
    let group = group();
    let roll = call(&group, &four());
    let record = &roll.members[0].0;
    let both = [OnItsWay::to(record, None), OnItsWay::to(record, None)];
    assert_eq!(record.load(), 2);
    drop(both);
    assert_eq!(record.load(), 0);
    assert_eq!(group.scope.cluster_name(), "inbound-vip|80|http/v1|shop.shop.svc.cluster.local");
}
