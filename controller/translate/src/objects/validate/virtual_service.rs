//! Checks of VirtualService and DestinationRule.

use mesh_model::SniHost;

use super::{Checks, repeated, traffic_policy};
use crate::objects::{
    DestinationRuleSpec, HeaderOperations, Headers, HttpMatchRequest, HttpRouteEntry, L4RouteDestination,
    StringMatch, TlsMatchAttributes, VirtualServiceSpec,
};

/// Every match of an entry becomes a rule with all its backends, so this bounds what one object can
/// make of a waypoint's memory.
const MOST_BACKENDS: usize = 2048;

pub(super) fn check(spec: &VirtualServiceSpec, checks: &mut Checks) {
    let backends =
        spec.http.iter().map(|it| it.matches.len().max(1) * (it.route.len() + it.mirrors.len()).max(1));
    let of_names = spec.tls.iter().map(|it| it.route.len());
    let plain = spec.tcp.iter().map(|it| it.route.len());
    let backends: usize = backends.chain(of_names).chain(plain).sum();
    if backends > MOST_BACKENDS {
        let reason = format!(
            "{backends} pairs of a match and a destination are too many; split the object or use at most {MOST_BACKENDS}"
        );
        return checks.fail("spec.http", reason);
    }
    if spec.hosts.is_empty() {
        check_delegate(spec, checks);
    }
    for (at, host) in spec.hosts.iter().enumerate() {
        check_host(host, &format!("spec.hosts[{at}]"), checks);
    }
    if spec.http.is_empty() && spec.tcp.is_empty() && spec.tls.is_empty() {
        checks.fail("spec", "one of http, tcp and tls is needed");
    }
    for (at, entry) in spec.http.iter().enumerate() {
        check_entry(entry, &format!("spec.http[{at}]"), checks);
    }
    for (at, route) in spec.tls.iter().enumerate() {
        let path = format!("spec.tls[{at}]");
        if route.matches.is_empty() || route.matches.iter().any(|it| it.sni_hosts.is_empty()) {
            checks.fail(format!("{path}.match"), "sniHosts are needed");
        }
        check_names(&route.matches, &path, checks);
        check_connections(&route.route, &path, checks);
    }
    for (at, route) in spec.tcp.iter().enumerate() {
        check_connections(&route.route, &format!("spec.tcp[{at}]"), checks);
    }
}

/// Without hosts, it is for others to delegate to.
fn check_delegate(spec: &VirtualServiceSpec, checks: &mut Checks) {
    if spec.http.is_empty() || !spec.tcp.is_empty() || !spec.tls.is_empty() {
        checks.fail("spec.hosts", "one host is needed");
    }
    if !spec.gateways.is_empty() {
        checks.fail("spec.gateways", "are not possible without hosts: who delegates says for which it is");
    }
    for (at, _) in spec.http.iter().enumerate().filter(|(_, it)| it.delegate.is_some()) {
        checks.fail(
            format!("spec.http[{at}].delegate"),
            "is not possible without hosts: delegation is one level deep",
        );
    }
}

fn check_names(matches: &[TlsMatchAttributes], path: &str, checks: &mut Checks) {
    for (at, matched) in matches.iter().enumerate() {
        for (name, host) in matched.sni_hosts.iter().enumerate().filter(|(_, host)| *host != "*") {
            if let Err(error) = host.parse::<SniHost>() {
                checks.fail(format!("{path}.match[{at}].sniHosts[{name}]"), error.to_string());
            }
        }
    }
}

fn check_connections(route: &[L4RouteDestination], path: &str, checks: &mut Checks) {
    if route.is_empty() {
        checks.fail(format!("{path}.route"), "one destination is needed");
    }
    if route.len() > 1 && route.iter().all(|it| it.weight.unwrap_or(0) == 0) {
        checks.fail(format!("{path}.route"), "a weight is needed where there are several destinations");
    }
    for (at, it) in route.iter().enumerate() {
        check_host(&it.destination.host, &format!("{path}.route[{at}].destination.host"), checks);
    }
}

pub(super) fn check_host(host: &str, field: &str, checks: &mut Checks) {
    let rest = host.strip_prefix('*').map_or(host, |rest| rest.strip_prefix('.').unwrap_or(rest));
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || host.len() > 253 || !rest.bytes().all(is_word) {
        checks.fail(
            field,
            format!("{host:?} is not the name of a host; a '*' is possible at the beginning only"),
        );
    }
}

fn check_entry(entry: &HttpRouteEntry, path: &str, checks: &mut Checks) {
    let actions = [
        !entry.route.is_empty(),
        entry.redirect.is_some(),
        entry.direct_response.is_some(),
        entry.delegate.is_some(),
    ];
    if actions.iter().filter(|given| **given).count() != 1 {
        checks.fail(path, "exactly one of route, redirect, directResponse and delegate is needed");
    }
    if entry.delegate.as_ref().is_some_and(|it| it.name.is_empty()) {
        checks.fail(format!("{path}.delegate.name"), "is needed");
    }
    if entry.mirror.is_some() && !entry.mirrors.is_empty() {
        checks.fail(path, "only one of mirror and mirrors is possible");
    }
    for (at, one) in entry.matches.iter().enumerate() {
        check_match(one, &format!("{path}.match[{at}]"), checks);
    }
    if entry.route.len() > 1 && entry.route.iter().all(|it| it.weight.unwrap_or(0) == 0) {
        checks.fail(format!("{path}.route"), "a weight is needed where there are several destinations");
    }
    for (at, route) in entry.route.iter().enumerate() {
        let path = format!("{path}.route[{at}]");
        check_host(&route.destination.host, &format!("{path}.destination.host"), checks);
        check_headers(route.headers.as_ref(), &format!("{path}.headers"), checks);
    }
    check_headers(entry.headers.as_ref(), &format!("{path}.headers"), checks);
    if let Some(redirect) = &entry.redirect {
        if redirect.redirect_code.is_some_and(|code| ![301, 302, 303, 307, 308].contains(&code)) {
            checks.fail(format!("{path}.redirect.redirectCode"), "is not a redirect");
        }
        if redirect.port.is_some() && redirect.derive_port.is_some() {
            checks.fail(format!("{path}.redirect"), "only one of port and derivePort is possible");
        }
    }
    if entry.direct_response.as_ref().is_some_and(|it| !(200..600).contains(&it.status)) {
        checks.fail(format!("{path}.directResponse.status"), "is not a status; use 200 to 599");
    }
    if let Some(it) = entry.rewrite.as_ref().and_then(|it| it.uri_regex_rewrite.as_ref()) {
        checks.pattern(format!("{path}.rewrite.uriRegexRewrite.match"), &it.pattern);
    }
    check_fault(entry, path, checks);
}

fn check_fault(entry: &HttpRouteEntry, path: &str, checks: &mut Checks) {
    let Some(fault) = &entry.fault else { return };
    if let Some(delay) = &fault.delay {
        if delay.fixed_delay.is_none() && delay.exponential_delay.is_none() {
            checks.fail(format!("{path}.fault.delay.fixedDelay"), "is needed");
        }
        if delay.percent.is_some_and(|percent| percent > 100) {
            checks.fail(format!("{path}.fault.delay.percent"), "is not a percentage; use 0 to 100");
        }
    }
    if fault.abort.as_ref().and_then(|it| it.http_status).is_some_and(|it| !(200..600).contains(&it)) {
        checks.fail(format!("{path}.fault.abort.httpStatus"), "is not a status; use 200 to 599");
    }
}

fn check_match(one: &HttpMatchRequest, path: &str, checks: &mut Checks) {
    let fields =
        [("uri", &one.uri), ("scheme", &one.scheme), ("method", &one.method), ("authority", &one.authority)];
    let fields = fields.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it.as_ref()?)));
    let maps = [
        ("headers", &one.headers),
        ("withoutHeaders", &one.without_headers),
        ("queryParams", &one.query_params),
    ];
    let named = maps
        .into_iter()
        .flat_map(|(map, values)| values.iter().map(move |(name, it)| (format!("{map}.{name}"), it)));
    for (field, it) in fields.chain(named) {
        match it {
            // Written by many to say "is there".
            StringMatch::Regex(pattern) if pattern == "*" => {}
            StringMatch::Regex(pattern) => checks.pattern(format!("{path}.{field}"), pattern),
            _ => {}
        }
    }
}

fn check_headers(headers: Option<&Headers>, path: &str, checks: &mut Checks) {
    let Some(headers) = headers else { return };
    let mut check = |operations: &HeaderOperations, direction: &str| {
        let pairs = operations.set.iter().chain(&operations.add);
        for (name, value) in pairs {
            // `:authority` is how the host is set.
            checks.header_name(format!("{path}.{direction}"), name.strip_prefix(':').unwrap_or(name));
            checks.header_value(format!("{path}.{direction} ({name})"), value);
        }
    };
    check(&headers.request, "request");
    check(&headers.response, "response");
}

pub(super) fn check_destination_rule(spec: &DestinationRuleSpec, checks: &mut Checks) {
    check_host(&spec.host, "spec.host", checks);
    if let Some(policy) = &spec.traffic_policy {
        traffic_policy::check(policy, "spec.trafficPolicy", checks);
    }
    for (at, subset) in spec.subsets.iter().enumerate() {
        if subset.name.is_empty() {
            checks.fail(format!("spec.subsets[{at}].name"), "a name is needed");
        }
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy::check(policy, &format!("spec.subsets[{at}].trafficPolicy"), checks);
        }
    }
    for at in repeated(spec.subsets.iter().map(|it| &it.name)) {
        checks
            .fail(format!("spec.subsets[{at}].name"), format!("{:?} is there twice", spec.subsets[at].name));
    }
}
