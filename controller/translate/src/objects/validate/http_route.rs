//! Checks of HTTPRoute and GRPCRoute, as their API has them in its schema.

use gateway_api::experimental::grpcroutes::GrpcRouteSpec;
use gateway_api::experimental::httproutes::{
    HttpRouteRules, HttpRouteRulesFilters, HttpRouteRulesMatches,
    HttpRouteRulesMatchesHeadersType as HeaderType, HttpRouteRulesMatchesPathType as PathType,
    HttpRouteRulesMatchesQueryParamsType as QueryType,
    HttpRouteRulesSessionPersistenceCookieConfigLifetimeType as CookieLifetime,
    HttpRouteRulesSessionPersistenceType as SessionType, HttpRouteSpec,
};

use super::Checks;
use crate::objects::grpc_route_as_http;

const MAX_WEIGHT: i32 = 1_000_000;

pub(super) fn check(spec: &HttpRouteSpec, checks: &mut Checks) {
    let parents = spec.parent_refs.as_deref().unwrap_or_default();
    checks.at_most("spec.parentRefs", parents, 32);
    for (at, parent) in parents.iter().enumerate() {
        if let Some(port) = parent.port {
            checks.port(format!("spec.parentRefs[{at}].port"), port);
        }
    }
    let rules = spec.rules.as_deref().unwrap_or_default();
    checks.at_most("spec.rules", rules, 16);
    let matches: usize = rules.iter().map(|rule| rule.matches.as_ref().map_or(1, Vec::len)).sum();
    if matches > 128 {
        checks.fail("spec.rules", format!("{matches} matches are too many; at most 128 are possible"));
    }
    for (at, rule) in rules.iter().enumerate().take(16) {
        check_rule(rule, &format!("spec.rules[{at}]"), checks);
    }
}

/// A GRPCRoute is checked as the HTTPRoute that says the same; what it calls a method is a path there.
pub(super) fn check_grpc(spec: &GrpcRouteSpec, checks: &mut Checks) {
    check(&grpc_route_as_http(spec), checks);
    for invalid in &mut checks.found {
        invalid.field = invalid.field.replace(".path.value", ".method");
    }
    for (at, rule) in spec.rules.iter().flatten().enumerate().take(16) {
        for (index, one) in rule.matches.iter().flatten().enumerate().take(64) {
            let Some(method) = &one.method else { continue };
            let said = [&method.service, &method.method].map(|it| it.as_deref().unwrap_or_default());
            if said.iter().all(|text| text.is_empty()) {
                let field = format!("spec.rules[{at}].matches[{index}].method");
                checks.fail(field, "one of service and method is needed");
            }
        }
    }
}

fn check_rule(rule: &HttpRouteRules, path: &str, checks: &mut Checks) {
    let matches = rule.matches.as_deref().unwrap_or_default();
    checks.at_most(format!("{path}.matches"), matches, 64);
    for (at, one) in matches.iter().enumerate().take(64) {
        check_match(one, &format!("{path}.matches[{at}]"), checks);
    }
    let filters = rule.filters.as_deref().unwrap_or_default();
    checks.at_most(format!("{path}.filters"), filters, 16);
    for (at, filter) in filters.iter().enumerate().take(16) {
        check_filter(filter, &format!("{path}.filters[{at}]"), checks);
    }
    let redirects = filters.iter().any(|it| it.request_redirect.is_some());
    let backends = rule.backend_refs.as_deref().unwrap_or_default();
    if redirects && (!backends.is_empty() || filters.iter().any(|it| it.url_rewrite.is_some())) {
        checks.fail(path, "a rule that redirects can have neither backendRefs nor a URLRewrite");
    }
    checks.at_most(format!("{path}.backendRefs"), backends, 16);
    for (at, backend) in backends.iter().enumerate().take(16) {
        if let Some(port) = backend.port {
            checks.port(format!("{path}.backendRefs[{at}].port"), port);
        }
        if let Some(weight) = backend.weight.filter(|weight| !(0..=MAX_WEIGHT).contains(weight)) {
            let reason = format!("{weight} is not a weight; use 0 to {MAX_WEIGHT}");
            checks.fail(format!("{path}.backendRefs[{at}].weight"), reason);
        }
    }
    let retry = rule.retry.as_ref();
    for code in retry.iter().flat_map(|it| it.codes.iter().flatten()).filter(|it| !(400..600).contains(*it)) {
        checks.fail(format!("{path}.retry.codes"), format!("{code} is not an error status; use 400 to 599"));
    }
    check_durations(rule, path, checks);
    check_session(rule, path, checks);
}

fn check_session(rule: &HttpRouteRules, path: &str, checks: &mut Checks) {
    let Some(session) = &rule.session_persistence else { return };
    let path = format!("{path}.sessionPersistence");
    let name = session.session_name.as_deref().unwrap_or_default();
    if name.len() > 128 {
        checks.fail(format!("{path}.sessionName"), "is too long; at most 128 characters are possible");
    } else if !name.is_empty() {
        checks.header_name(format!("{path}.sessionName"), name);
    }
    let Some(cookie) = &session.cookie_config else { return };
    if session.r#type == Some(SessionType::Header) {
        checks.fail(format!("{path}.cookieConfig"), "is for sessions of type Cookie");
    }
    let is_permanent = cookie.lifetime_type == Some(CookieLifetime::Permanent);
    if is_permanent && session.absolute_timeout.is_none() {
        checks.fail(format!("{path}.absoluteTimeout"), "is needed where the cookie is permanent");
    }
}

fn check_durations(rule: &HttpRouteRules, path: &str, checks: &mut Checks) {
    let timeouts = rule.timeouts.as_ref();
    let session = rule.session_persistence.as_ref();
    let durations = [
        ("timeouts.request", timeouts.and_then(|it| it.request.as_ref())),
        ("timeouts.backendRequest", timeouts.and_then(|it| it.backend_request.as_ref())),
        ("sessionPersistence.absoluteTimeout", session.and_then(|it| it.absolute_timeout.as_ref())),
        ("sessionPersistence.idleTimeout", session.and_then(|it| it.idle_timeout.as_ref())),
        ("retry.backoff", rule.retry.as_ref().and_then(|it| it.backoff.as_ref())),
    ];
    for (field, text) in durations {
        let Some(text) = text else { continue };
        if text.parse::<gateway_api::Duration>().is_err() {
            let reason = format!("{text:?} is not a duration; write for instance 500ms or 1m30s");
            checks.fail(format!("{path}.{field}"), reason);
        }
    }
}

fn check_match(one: &HttpRouteRulesMatches, path: &str, checks: &mut Checks) {
    if let Some(written) = &one.path {
        let value = written.value.as_deref().unwrap_or("/");
        match written.r#type {
            Some(PathType::RegularExpression) => checks.pattern(format!("{path}.path.value"), value),
            _ if !value.starts_with('/') => {
                checks.fail(format!("{path}.path.value"), format!("{value:?} has to begin with '/'"));
            }
            _ => {}
        }
    }
    for (at, header) in one.headers.iter().flatten().enumerate().take(16) {
        checks.header_name(format!("{path}.headers[{at}].name"), &header.name);
        if matches!(header.r#type, Some(HeaderType::RegularExpression)) {
            checks.pattern(format!("{path}.headers[{at}].value"), &header.value);
        }
    }
    for (at, param) in one.query_params.iter().flatten().enumerate().take(16) {
        if matches!(param.r#type, Some(QueryType::RegularExpression)) {
            checks.pattern(format!("{path}.queryParams[{at}].value"), &param.value);
        }
    }
    checks.at_most(format!("{path}.headers"), one.headers.as_deref().unwrap_or_default(), 16);
    checks.at_most(format!("{path}.queryParams"), one.query_params.as_deref().unwrap_or_default(), 16);
}

fn check_filter(filter: &HttpRouteRulesFilters, path: &str, checks: &mut Checks) {
    if let Some(it) = &filter.request_header_modifier {
        let set = it.set.iter().flatten().map(|it| (&it.name, &it.value));
        let add = it.add.iter().flatten().map(|it| (&it.name, &it.value));
        check_headers(set.chain(add), &format!("{path}.requestHeaderModifier"), checks);
    }
    if let Some(it) = &filter.response_header_modifier {
        let set = it.set.iter().flatten().map(|it| (&it.name, &it.value));
        let add = it.add.iter().flatten().map(|it| (&it.name, &it.value));
        check_headers(set.chain(add), &format!("{path}.responseHeaderModifier"), checks);
    }
    if let Some(it) = &filter.request_redirect {
        let field = format!("{path}.requestRedirect");
        if let Some(port) = it.port {
            checks.port(format!("{field}.port"), port);
        }
        if let Some(code) = it.status_code.filter(|code| ![301, 302, 303, 307, 308].contains(code)) {
            checks.fail(format!("{field}.statusCode"), format!("{code} is not a redirect"));
        }
    }
    if let Some(it) = &filter.request_mirror {
        let field = format!("{path}.requestMirror");
        if it.percent.is_some() && it.fraction.is_some() {
            checks.fail(&field, "only one of percent and fraction is possible");
        }
        if let Some(percent) = it.percent.filter(|percent| !(0..=100).contains(percent)) {
            checks.fail(format!("{field}.percent"), format!("{percent} is not a percentage"));
        }
        if let Some(it) = &it.fraction
            && !(0..=it.denominator.unwrap_or(100)).contains(&it.numerator)
        {
            checks.fail(format!("{field}.fraction"), "the numerator has to be between 0 and the denominator");
        }
    }
}

fn check_headers<'a>(
    headers: impl Iterator<Item = (&'a String, &'a String)>,
    path: &str,
    checks: &mut Checks,
) {
    for (name, value) in headers {
        checks.header_name(path, name);
        checks.header_value(format!("{path} ({name})"), value);
    }
}
