//! Tests of `profile`.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use prost::Message as _;

use super::format::WireProfile;
use super::*;

fn frame(function: &str, line: i64) -> Frame {
    Frame { function: function.into(), symbol: format!("_{function}"), file: "a.rs".into(), line }
}

#[test]
fn ad_04_a_profile_names_each_place_once() {
    let sample = |thread: &str, calls: Vec<Vec<Frame>>, count| Sample { thread: thread.into(), calls, count };
    let profile = Profile {
        samples: vec![
            sample("data", vec![vec![frame("inlined", 3), frame("leaf", 7)], vec![frame("main", 1)]], 4),
            sample("control", vec![vec![frame("leaf", 9)], vec![frame("main", 1)]], 1),
        ],
        frequency: 100,
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
        lasted: Duration::from_secs(2),
    };
    let wire = WireProfile::decode(profile.encode().as_slice()).unwrap();
    let text = |index: i64| wire.string_table[usize::try_from(index).unwrap()].as_str();
    assert_eq!(text(0), "");
    let kinds: Vec<_> = wire.sample_type.iter().map(|kind| (text(kind.kind), text(kind.unit))).collect();
    assert_eq!(kinds, [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!(
        (wire.period, wire.time_nanos, wire.duration_nanos),
        (10_000_000, 5_000_000_000, 2_000_000_000)
    );
    assert_eq!((wire.function.len(), wire.location.len(), wire.sample.len()), (3, 3, 2));
    assert_eq!(wire.sample[0].value, [4, 40_000_000]);
    assert_eq!(wire.sample[0].location_id[1], wire.sample[1].location_id[1], "one main");
    assert_eq!(text(wire.sample[1].label[0].text), "control");
    let first = wire.location.iter().find(|place| place.id == wire.sample[0].location_id[0]).unwrap();
    let named: Vec<_> = first
        .line
        .iter()
        .map(|line| {
            let function = wire.function.iter().find(|function| function.id == line.function_id).unwrap();
            (text(function.name), text(function.system_name), text(function.filename), line.line)
        })
        .collect();
    assert_eq!(named, [("inlined", "_inlined", "a.rs", 3), ("leaf", "_leaf", "a.rs", 7)]);
}

#[test]
fn ad_04_what_can_be_asked_for() {
    for (query, seconds, frequency) in
        [("", 10, 100), ("seconds=1&frequency=1000", 1, 1000), ("frequency=1&seconds=300", 300, 1)]
    {
        assert_eq!(Wanted::read(query), Ok(Wanted { seconds, frequency }), "{query}");
    }
    for (query, said) in [
        ("seconds=0", "seconds is \"0\"; expected a number from 1 to 300"),
        ("seconds=301", "from 1 to 300"),
        ("frequency=0", "from 1 to 1000"),
        ("frequency=1001", "frequency is \"1001\""),
        ("seconds=soon", "seconds is \"soon\""),
        ("debug=1", "unknown parameter \"debug\""),
    ] {
        let error = Wanted::read(query).unwrap_err().to_string();
        assert!(error.contains(said), "{query}: {error}");
    }
}

async fn asked(query: &str) -> (StatusCode, Vec<u8>) {
    let uri = format!("/debug/pprof/profile?{query}");
    let response = cpu(&http::Request::get(uri).body(Bytes::new()).unwrap()).await;
    (response.status(), response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

#[inline(never)]
fn busy_place(stop: &AtomicBool) {
    let mut sum = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ad_04_a_busy_function_is_seen_and_two_profiles_exclude_each_other() {
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    let busy = std::thread::spawn(move || busy_place(&seen));
    let (first, second) = tokio::join!(asked("seconds=2&frequency=500"), asked("seconds=1"));
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    assert_eq!(second.0, StatusCode::CONFLICT);
    assert_eq!(first.0, StatusCode::OK);
    let profile = WireProfile::decode(first.1.as_slice()).unwrap();
    let found = profile.string_table.iter().any(|text| text.contains("busy_place"));
    assert!(found && !profile.sample.is_empty(), "{:?}", profile.string_table);
    assert_eq!(asked("seconds=x").await.0, StatusCode::BAD_REQUEST);
}
