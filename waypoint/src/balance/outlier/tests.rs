//! Outcomes and times as tables.

use super::Outcome::{Answered, Failed, TimedOut};
use super::*;

fn detection() -> OutlierDetection {
    OutlierDetection {
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_percent: 10,
        min_health_percent: 0,
        consecutive_gateway_errors: None,
        consecutive_errors: Some(3),
        consecutive_local_origin_failures: None,
        split_local_origin_errors: false,
        error_codes: Vec::new(),
    }
}

/// After which of these outcomes an endpoint would be left out.
fn verdicts(detection: &OutlierDetection, outcomes: &[Outcome]) -> Vec<(usize, Reason)> {
    let streaks = Streaks::default();
    let count = |(index, outcome): (usize, &Outcome)| Some((index + 1, streaks.count(*outcome, detection)?));
    outcomes.iter().enumerate().filter_map(count).collect()
}

#[test]
fn res_20_errors_in_a_row_count_and_a_success_ends_them() {
    for (outcomes, expected) in [
        (&[Answered(500), Answered(503), Answered(599)][..], &[3][..]),
        (&[Answered(500), Answered(500), Answered(200), Answered(500), Answered(500)], &[]),
        (&[Answered(500), Answered(500), Answered(404), Answered(500)], &[]),
        (&[Failed, TimedOut, Answered(500)], &[3]),
        (&[Failed; 7], &[3, 6]),
    ] {
        let found = verdicts(&detection(), outcomes);
        let expected: Vec<_> = expected.iter().map(|index| (*index, Reason::Errors)).collect();
        assert_eq!(found, expected, "{outcomes:?}");
    }
    for off in [None, Some(0)] {
        let detection = OutlierDetection { consecutive_errors: off, ..detection() };
        assert!(verdicts(&detection, &[Failed; 20]).is_empty());
    }
}

#[test]
fn res_20_gateway_errors_have_a_streak_of_their_own() {
    let detection =
        OutlierDetection { consecutive_gateway_errors: Some(2), consecutive_errors: None, ..detection() };
    for (outcomes, expected) in [
        (&[Answered(502), Answered(504)][..], &[2][..]),
        (&[Answered(503), Answered(500), Answered(503)], &[]),
        (&[Answered(503), Answered(200), Answered(503)], &[]),
        (&[TimedOut, Failed], &[2]),
    ] {
        let expected: Vec<_> = expected.iter().map(|index| (*index, Reason::GatewayErrors)).collect();
        assert_eq!(verdicts(&detection, outcomes), expected, "{outcomes:?}");
    }
}

#[test]
fn res_20_only_the_codes_that_are_named_are_errors() {
    let detection =
        OutlierDetection { consecutive_errors: Some(2), error_codes: vec![429, 503], ..detection() };
    let both = [Answered(429), Answered(503)];
    assert_eq!(verdicts(&detection, &both), [(2, Reason::Errors)]);
    assert!(verdicts(&detection, &[Answered(429), Answered(500), Answered(429)]).is_empty());
    assert_eq!(verdicts(&detection, &[Failed, Failed]), [(2, Reason::Errors)], "whatever the codes");
}

#[test]
fn res_20_local_failures_count_by_themselves_where_they_are_split() {
    let detection = OutlierDetection {
        split_local_origin_errors: true,
        consecutive_local_origin_failures: Some(2),
        consecutive_errors: Some(2),
        ..detection()
    };
    for (outcomes, expected) in [
        (&[Failed, TimedOut][..], &[(2, Reason::LocalOriginFailures)][..]),
        (&[Failed, Answered(500), Failed, Answered(500)], &[(4, Reason::Errors)]),
        (&[Failed, Answered(200), Failed], &[]),
    ] {
        assert_eq!(verdicts(&detection, outcomes), expected, "{outcomes:?}");
    }
}

#[test]
fn res_20_one_may_always_go_and_then_no_more_than_the_share() {
    for (out, all, percent, expected) in [
        (0, 1, 0, true),
        (0, 100, 10, true),
        (1, 10, 10, false),
        (1, 20, 10, true),
        (9, 100, 10, true),
        (10, 100, 10, false),
        (3, 4, 100, true),
    ] {
        let detection = OutlierDetection { max_ejection_percent: percent, ..detection() };
        assert_eq!(may_eject(out, all, &detection), expected, "{out} of {all}, {percent} %");
    }
}

#[test]
fn res_20_when_too_few_are_well_nobody_is_left_out() {
    for (healthy, all, percent, expected) in
        [(0, 4, 0, true), (1, 4, 0, false), (1, 4, 25, false), (1, 4, 26, true), (4, 4, 100, false)]
    {
        assert_eq!(is_panic(healthy, all, percent), expected, "{healthy} of {all}, {percent} %");
    }
}

#[test]
fn res_20_each_time_is_longer_until_it_is_forgiven() {
    let began = Instant::now();
    let after = |seconds| began + Duration::from_secs(seconds);
    let mut history = History::default();
    let mut eject = |at: u64, back: u64, expected: u64| {
        let until = history.eject(&detection(), Reason::Errors, began, after(at));
        assert_eq!(until, after(expected), "left out after {at} s");
        assert_eq!(history.out(), Some(Ejection { until, reason: Reason::Errors }));
        history.take_back(after(back));
        assert_eq!(history.out(), None);
    };
    eject(0, 30, 30);
    eject(35, 100, 100);
    // 65 s is looked at after 70.
    eject(105, 200, 200);
    // Well for five intervals, that is three times: as new.
    eject(255, 290, 290);
    // Well for one interval: of once, none.
    eject(300, 330, 330);
}

#[test]
fn times_have_a_limit_and_an_interval_of_nothing_rounds_nothing() {
    let began = Instant::now();
    let mut history = History { times: 1000, ..History::default() };
    let until = history.eject(&detection(), Reason::Errors, began, began);
    assert_eq!(until - began, LONGEST_EJECTION);
    let detection = OutlierDetection { interval: Duration::ZERO, ..detection() };
    let until = History::default().eject(&detection, Reason::Errors, began, began + Duration::from_millis(7));
    assert_eq!(until - began, Duration::from_millis(30_007));
}
