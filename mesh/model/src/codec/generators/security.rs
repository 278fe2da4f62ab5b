//! Random policies over requests, and random rules for tokens.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::rate_limit::rate_limit;
use super::telemetry::telemetry;
use super::{block, host, name, policy_key, text};
use crate::{
    Attribute, AuthorizationService, CheckProtocol, CheckedBody, Condition, HttpCheck, Pattern, PolicyAction,
    PolicyClause, PolicyRule, RequestPolicy, Security, ServiceAccountMatch, TokenRule, WaypointConfig,
    WaypointKey,
};

fn attribute() -> impl Strategy<Value = Attribute> {
    use Attribute::{
        ConnectionSni, DestinationIp, DestinationPort, Host, Method, Path, RemoteIp, SourceIp,
        SourceNamespace, SourcePrincipal, SourceServiceAccount, SourceTrustDomain, TokenAudience,
        TokenPresenter, TokenPrincipal,
    };
    let plain = vec![
        SourcePrincipal,
        SourceNamespace,
        SourceServiceAccount,
        SourceTrustDomain,
        SourceIp,
        RemoteIp,
        DestinationIp,
        DestinationPort,
        ConnectionSni,
        Host,
        Method,
        Path,
        TokenPrincipal,
        TokenAudience,
        TokenPresenter,
    ];
    prop_oneof![
        4 => select(plain),
        1 => name().prop_map(Attribute::Header),
        1 => vec(text(), 1..3).prop_map(Attribute::TokenClaim),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let account = (text(), name()).prop_map(|(namespace, service_account)| {
        Pattern::ServiceAccount(ServiceAccountMatch { namespace, service_account })
    });
    prop_oneof![
        text().prop_map(Pattern::Exact),
        text().prop_map(Pattern::Prefix),
        text().prop_map(Pattern::Suffix),
        Just(Pattern::Presence),
        "(/([a-z]{0,2}|\\{\\*\\})){1,3}(/\\{\\*\\*\\}(/[a-z]{0,2})?)?"
            .prop_map(|text| Pattern::Template(text.parse().unwrap())),
        block().prop_map(Pattern::Block),
        any::<u16>().prop_map(Pattern::Port),
        account,
    ]
}

fn policy() -> impl Strategy<Value = RequestPolicy> {
    let condition = (attribute(), vec(pattern(), 0..3), vec(pattern(), 0..3))
        .prop_map(|(attribute, any_of, none_of)| Condition { attribute, any_of, none_of });
    let clause = vec(vec(condition, 0..3), 0..3).prop_map(|alternatives| PolicyClause { alternatives });
    let rule = vec(clause, 0..3).prop_map(|clauses| PolicyRule { clauses });
    let action = prop_oneof![
        Just(PolicyAction::Allow),
        Just(PolicyAction::Deny),
        Just(PolicyAction::Audit),
        text().prop_map(PolicyAction::Custom),
    ];
    (policy_key(), action, any::<bool>(), vec(rule, 0..3))
        .prop_map(|(key, action, dry_run, rules)| RequestPolicy { key, action, dry_run, rules })
}

fn token_rule() -> impl Strategy<Value = TokenRule> {
    let texts = || vec(text(), 0..3);
    (
        (name(), texts(), text(), vec((name(), text()), 0..3), texts(), texts()),
        (any::<bool>(), option::of(name()), vec((name(), name()), 0..3), texts()),
    )
        .prop_map(|(what, made)| TokenRule {
            issuer: what.0,
            audiences: what.1,
            keys: what.2,
            from_headers: what.3,
            from_params: what.4,
            from_cookies: what.5,
            forward_original: made.0,
            payload_header: made.1,
            claim_headers: made.2,
            space_delimited_claims: made.3,
        })
}

pub(super) fn security() -> impl Strategy<Value = Security> {
    (vec(policy(), 0..3), vec(token_rule(), 0..3))
        .prop_map(|(policies, token_rules)| Security { policies, token_rules })
}

pub(in crate::codec) fn waypoint_config() -> impl Strategy<Value = WaypointConfig> {
    let rest = (telemetry(), vec(rate_limit(), 0..3), any::<bool>());
    (text(), name(), security(), vec(authorization_service(), 0..3), rest).prop_map(
        |(namespace, gateway, security, authorization_services, rest)| {
            let (telemetry, rate_limits, forward_client_identity) = rest;
            WaypointConfig {
                key: WaypointKey { namespace, gateway },
                security,
                authorization_services,
                telemetry,
                rate_limits,
                forward_client_identity,
            }
        },
    )
}

fn authorization_service() -> impl Strategy<Value = AuthorizationService> {
    let body =
        (any::<u32>(), any::<bool>(), any::<bool>()).prop_map(|(max_bytes, allow_partial, pack_as_bytes)| {
            CheckedBody { max_bytes, allow_partial, pack_as_bytes }
        });
    let protocol = prop_oneof![Just(CheckProtocol::Grpc), http_check().prop_map(CheckProtocol::Http)];
    (
        (name(), host(), any::<u16>(), 1..1_000_000u64),
        (any::<bool>(), 400..600u16, option::of(body), protocol),
    )
        .prop_map(|(where_, how)| AuthorizationService {
            provider: where_.0,
            service: where_.1,
            port: where_.2,
            timeout: Duration::from_micros(where_.3),
            fail_open: how.0,
            status_on_error: how.1,
            body: how.2,
            protocol: how.3,
        })
}

fn http_check() -> impl Strategy<Value = HttpCheck> {
    let pattern = prop_oneof![
        name().prop_map(Pattern::Exact),
        name().prop_map(Pattern::Prefix),
        name().prop_map(Pattern::Suffix),
    ];
    let patterns = || vec(pattern.clone(), 0..3);
    ((text(), vec((name(), text()), 0..3)), patterns(), patterns(), patterns(), patterns()).prop_map(
        |(request, told, upstream, on_allow, on_deny)| HttpCheck {
            path_prefix: request.0,
            additional_headers: request.1,
            request_headers: told,
            upstream_headers: upstream,
            downstream_headers_on_allow: on_allow,
            downstream_headers_on_deny: on_deny,
        },
    )
}
