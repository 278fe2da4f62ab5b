//! Checks of AuthorizationPolicy and PeerAuthentication.

use mesh_model::PathTemplate;

use super::Checks;
use crate::objects::{
    AuthorizationPolicySpec, Condition, Operation, PeerAuthenticationSpec, PolicyAction, PolicyRule, Source,
};

/// The attributes a condition can be about; those with `[` take a name in brackets.
const KEYS: [&str; 14] = [
    "request.headers[",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.serviceAccount",
    "source.trustDomain",
    "source.principal",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.claims[",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

pub(super) fn check(spec: &AuthorizationPolicySpec, checks: &mut Checks) {
    checks.at_most("spec.rules", &spec.rules, 512);
    checks.at_most("spec.targetRefs", &spec.target_refs, 16);
    let places = [spec.selector.is_some(), spec.target_ref.is_some(), !spec.target_refs.is_empty()];
    if places.iter().filter(|given| **given).count() > 1 {
        checks.fail("spec", "only one of selector, targetRef and targetRefs is possible");
    }
    if spec.provider.is_some() != (spec.action == PolicyAction::Custom) {
        checks.fail("spec.provider", "is needed with action CUSTOM, and only then possible");
    }
    for (at, rule) in spec.rules.iter().enumerate() {
        check_rule(rule, &format!("spec.rules[{at}]"), checks);
    }
}

fn check_rule(rule: &PolicyRule, path: &str, checks: &mut Checks) {
    checks.at_most(format!("{path}.from"), &rule.from, 512);
    checks.at_most(format!("{path}.to"), &rule.to, 512);
    checks.at_most(format!("{path}.when"), &rule.when, 512);
    for (at, entry) in rule.from.iter().enumerate() {
        check_source(&entry.source, &format!("{path}.from[{at}].source"), checks);
    }
    for (at, entry) in rule.to.iter().enumerate() {
        if entry.operation == Operation::default() {
            checks.fail(
                format!("{path}.to[{at}].operation"),
                "names nothing; leave out `to` to match everything",
            );
        }
        for (field, paths) in [("paths", &entry.operation.paths), ("notPaths", &entry.operation.not_paths)] {
            for (place, text) in paths.iter().enumerate().filter(|(_, it)| PathTemplate::is_meant(it)) {
                if let Err(error) = text.parse::<PathTemplate>() {
                    let field = format!("{path}.to[{at}].operation.{field}[{place}]");
                    checks.fail(field, format!("{text:?}: {error}"));
                }
            }
        }
    }
    for (at, condition) in rule.when.iter().enumerate() {
        check_condition(condition, &format!("{path}.when[{at}]"), checks);
    }
}

fn check_source(source: &Source, path: &str, checks: &mut Checks) {
    if *source == Source::default() {
        checks.fail(path, "names nobody; leave out `from` to match everybody");
    }
    for (field, accounts) in
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)]
    {
        checks.at_most(format!("{path}.{field}"), accounts, 16);
        for account in accounts.iter().filter(|it| it.contains('*') || it.matches('/').count() > 1) {
            checks.fail(format!("{path}.{field}"), format!("{account:?} is not `name` or `namespace/name`"));
        }
    }
    let by_account = !source.service_accounts.is_empty() || !source.not_service_accounts.is_empty();
    let others = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if by_account && others.iter().any(|it| !it.is_empty()) {
        checks.fail(path, "serviceAccounts cannot be combined with principals or namespaces");
    }
}

fn check_condition(condition: &Condition, path: &str, checks: &mut Checks) {
    let key = condition.key.as_str();
    let is_known = |known: &&str| match known.ends_with('[') {
        true => key.starts_with(*known) && key.ends_with(']'),
        false => key == *known,
    };
    if !KEYS.iter().any(is_known) && !key.starts_with("experimental.envoy.filters.") {
        checks.fail(format!("{path}.key"), format!("{key:?} is not an attribute a condition can be about"));
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        checks.fail(path, "values or notValues are needed");
    }
    for value in condition.values.iter().chain(&condition.not_values) {
        let valid = match key {
            "source.ip" | "remote.ip" | "destination.ip" => crate::objects::IpBlock::parse(value).is_some(),
            "destination.port" => value.parse::<u16>().is_ok_and(|port| port > 0),
            _ => true,
        };
        if !valid {
            checks.fail(format!("{path}.values"), format!("{value:?} is not possible for {key}"));
        }
    }
}

pub(super) fn check_peer_authentication(spec: &PeerAuthenticationSpec, checks: &mut Checks) {
    let has_selector = spec.selector.as_ref().is_some_and(|it| !it.match_labels.is_empty());
    if !spec.port_level_mtls.is_empty() && !has_selector {
        checks.fail("spec.portLevelMtls", "needs spec.selector");
    }
}
