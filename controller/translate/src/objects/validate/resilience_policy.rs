//! Checks of ResiliencePolicy.

use std::time::Duration;

use super::{Checks, repeated};
use crate::objects::{GoDuration, HttpCheck, PolicyHealthCheck, PolicyHedging, ResiliencePolicySpec};

/// More often endpoints would be busy with telling how they are.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Longer than anybody waits.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(spec: &ResiliencePolicySpec, checks: &mut Checks) {
    if spec.target_refs.is_empty() {
        checks.fail("spec.targetRefs", "at least one is needed");
    }
    checks.at_most("spec.targetRefs", &spec.target_refs, 16);
    for at in repeated(spec.target_refs.iter()) {
        checks.fail(format!("spec.targetRefs[{at}]"), "is there twice");
    }
    if spec.health_check.is_none() && spec.hedging.is_none() {
        checks.fail("spec", "says nothing; one of healthCheck and hedging is needed");
    }
    if let Some(check) = &spec.health_check {
        let is_service = |kind: &str| matches!(kind, "Service" | "ServiceEntry");
        for (at, target) in spec.target_refs.iter().enumerate().filter(|(_, it)| !is_service(&it.kind)) {
            let reason =
                "has no endpoints that could be checked; put hedging for it into a policy of its own";
            checks
                .fail(format!("spec.targetRefs[{at}]"), format!("{} {} {reason}", target.kind, target.name));
        }
        check_health_check(check, checks);
    }
    if let Some(hedging) = &spec.hedging {
        check_hedging(hedging, checks);
    }
}

fn check_health_check(check: &PolicyHealthCheck, checks: &mut Checks) {
    let path = "spec.healthCheck";
    between(format!("{path}.interval"), check.interval, SHORTEST_INTERVAL, checks);
    between(format!("{path}.timeout"), check.timeout, Duration::from_millis(1), checks);
    for (field, threshold) in
        [("healthyThreshold", check.healthy_threshold), ("unhealthyThreshold", check.unhealthy_threshold)]
    {
        if threshold.is_some_and(|threshold| !(1..=100).contains(&threshold)) {
            checks.fail(format!("{path}.{field}"), "has to be 1 to 100");
        }
    }
    if let Some(port) = check.port {
        checks.port(format!("{path}.port"), port.into());
    }
    let given = [check.http.is_some(), check.tcp.is_some(), check.grpc.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        checks.fail(path, "exactly one of http, tcp and grpc is needed");
    }
    if let Some(http) = &check.http {
        check_http(http, checks);
    }
}

fn check_http(http: &HttpCheck, checks: &mut Checks) {
    let path = "spec.healthCheck.http";
    if !http.path.starts_with('/') {
        checks.fail(format!("{path}.path"), "has to begin with /");
    } else if !http.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        checks.fail(format!("{path}.path"), "has characters that no path has; write them as %XX");
    }
    let is_host =
        |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if http.host.as_deref().is_some_and(|host| !is_host(host)) {
        checks.fail(format!("{path}.host"), "is no host; write a name, and :port if it is needed");
    }
    checks.at_most(format!("{path}.expectedStatuses"), &http.expected_statuses, 16);
    for (at, range) in http.expected_statuses.iter().enumerate() {
        if range.start < 100 || range.end > 599 || range.start > range.end {
            let reason = "start to end have to be statuses, 100 to 599, and start not after end";
            checks.fail(format!("{path}.expectedStatuses[{at}]"), reason);
        }
    }
}

fn check_hedging(hedging: &PolicyHedging, checks: &mut Checks) {
    between("spec.hedging.delay".to_owned(), Some(hedging.delay), Duration::from_millis(1), checks);
    if hedging.max_requests.is_some_and(|most| !(2..=5).contains(&most)) {
        checks.fail("spec.hedging.maxRequests", "has to be 2 to 5, the first request being one of them");
    }
}

fn between(field: String, asked: Option<GoDuration>, shortest: Duration, checks: &mut Checks) {
    if asked.is_some_and(|asked| asked.0 < shortest || asked.0 > LONGEST) {
        checks.fail(field, format!("has to be {shortest:?} to a day"));
    }
}
