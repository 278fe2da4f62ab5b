//! Checks of RateLimitPolicy.

use mesh_model::RateUnit;

use super::{Checks, repeated};
use crate::objects::{
    GlobalCount, HeaderMatchType, LimitKey, PathMatchType, PolicyLimit, RateLimitPolicySpec, RequestMatch,
};

/// In nanoseconds a year and its bucket are what can be counted.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(366 * 24 * 3600);

pub(super) fn check(spec: &RateLimitPolicySpec, checks: &mut Checks) {
    if spec.target_refs.is_empty() {
        checks.fail("spec.targetRefs", "at least one is needed");
    }
    checks.at_most("spec.targetRefs", &spec.target_refs, 16);
    for at in repeated(spec.target_refs.iter()) {
        checks.fail(format!("spec.targetRefs[{at}]"), "is there twice");
    }
    if spec.limits.is_empty() {
        checks.fail("spec.limits", "at least one is needed");
    }
    checks.at_most("spec.limits", &spec.limits, 16);
    for at in repeated(spec.limits.iter().map(|limit| &limit.name)) {
        checks.fail(format!("spec.limits[{at}].name"), "is the name of another limit too");
    }
    for (at, limit) in spec.limits.iter().enumerate() {
        check_limit(limit, &format!("spec.limits[{at}]"), checks);
    }
}

fn check_limit(limit: &PolicyLimit, path: &str, checks: &mut Checks) {
    if limit.name.is_empty() || !limit.name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
    {
        checks.fail(format!("{path}.name"), "letters, digits, and - _ . are needed");
    }
    check_rate(limit, path, checks);
    if limit.status.is_some_and(|status| !(400..600).contains(&status)) {
        checks.fail(format!("{path}.status"), "has to be the status of an error, 400 to 599");
    }
    checks.at_most(format!("{path}.keys"), &limit.keys, 8);
    for (at, key) in limit.keys.iter().enumerate() {
        check_key(key, &format!("{path}.keys[{at}]"), checks);
    }
    checks.at_most(format!("{path}.when"), &limit.when, 16);
    for (at, wanted) in limit.when.iter().enumerate() {
        check_match(wanted, &format!("{path}.when[{at}]"), checks);
    }
    if let Some(global) = &limit.global {
        check_global(global, limit, path, checks);
    }
}

fn check_rate(limit: &PolicyLimit, path: &str, checks: &mut Checks) {
    match (limit.requests, limit.per) {
        (Some(_), Some(_)) => {}
        (None, None) if limit.global.is_some() => {}
        (None, None) => checks.fail(path, "requests and per are needed, since nobody else knows how many"),
        (Some(_), None) => checks.fail(format!("{path}.per"), "is needed with requests"),
        (None, Some(_)) => checks.fail(format!("{path}.requests"), "is needed with per"),
    }
    for (field, number) in [("requests", limit.requests), ("burst", limit.burst)] {
        if number == Some(0) {
            checks.fail(format!("{path}.{field}"), "has to be more than 0");
        }
    }
    if limit.per.is_some_and(|per| per.0.is_zero() || per.0 > LONGEST) {
        checks.fail(format!("{path}.per"), "has to be more than nothing and at most a year");
    }
}

fn check_key(key: &LimitKey, path: &str, checks: &mut Checks) {
    let given = [key.from.is_some(), key.header.is_some(), key.value.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        checks.fail(path, "exactly one of from, header and value is needed");
    }
    if let Some(header) = &key.header {
        checks.header_name(format!("{path}.header"), header);
    }
    for (field, text) in [("name", &key.name), ("value", &key.value)] {
        if text.as_deref() == Some("") {
            checks.fail(format!("{path}.{field}"), "is empty; leave it out");
        }
    }
}

fn check_match(wanted: &RequestMatch, path: &str, checks: &mut Checks) {
    if *wanted == RequestMatch::default() {
        checks.fail(path, "names nothing; leave out `when` to match everything");
    }
    if let Some(wanted) = &wanted.path {
        match wanted.how {
            PathMatchType::RegularExpression => checks.pattern(format!("{path}.path.value"), &wanted.value),
            _ if wanted.value.starts_with('/') => {}
            _ => checks.fail(format!("{path}.path.value"), "has to begin with /"),
        }
    }
    checks.at_most(format!("{path}.headers"), &wanted.headers, 16);
    for (at, header) in wanted.headers.iter().enumerate() {
        checks.header_name(format!("{path}.headers[{at}].name"), &header.name);
        if header.how == HeaderMatchType::RegularExpression {
            checks.pattern(format!("{path}.headers[{at}].value"), &header.value);
        }
    }
}

fn check_global(global: &GlobalCount, limit: &PolicyLimit, path: &str, checks: &mut Checks) {
    if global.service.is_some() == global.provider.is_some() {
        checks.fail(format!("{path}.global"), "exactly one of service and provider is needed");
    }
    if let Some(service) = &global.service {
        checks.port(format!("{path}.global.service.port"), service.port.into());
    }
    if limit.per.is_some_and(|per| RateUnit::of(per.0).is_none()) {
        let reason = "services that count know seconds, minutes, hours and days: use 1s, 1m, 1h or 24h";
        checks.fail(format!("{path}.per"), reason);
    }
    if limit.burst.is_some() {
        checks.fail(format!("{path}.burst"), "is not possible with global, where windows are counted");
    }
    if limit.requests.is_none() && limit.keys.is_empty() {
        let reason =
            "the service has to be told by what it finds its limit; at least one key is needed, or requests";
        checks.fail(format!("{path}.keys"), reason);
    }
    if global.domain.as_deref() == Some("") {
        checks.fail(format!("{path}.global.domain"), "is empty; leave it out");
    }
    if global.timeout.is_some_and(|it| it.0.is_zero()) {
        checks.fail(format!("{path}.global.timeout"), "has to be more than nothing");
    }
}
