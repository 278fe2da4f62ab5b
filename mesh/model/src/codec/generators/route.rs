//! Random service configurations.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::rate_limit::rate_limit;
use super::resilience::{health_check, hedged_requests};
use super::security::security;
use super::stream::stream_rule;
use super::telemetry::telemetry;
use super::traffic::port_traffic;
use super::{duration, host, labels, name, small_map, text};
use crate::{
    Abort, AbortError, Backend, BackendTarget, ClaimMatch, Cors, Delay, DirectResponse, Fault, Forward,
    HeaderChange, HttpMatch, HttpRule, Mirror, NamedMatch, PathChange, PerMillion, PortConfig,
    PortDerivation, Redirect, Retry, Rewrite, RuleAction, ServiceConfig, SessionCarrier, SessionPersistence,
    Subset, ValueMatch,
};

fn share() -> impl Strategy<Value = PerMillion> {
    (0..=1_000_000u32).prop_map(PerMillion)
}

fn status() -> impl Strategy<Value = u16> {
    200..=599u16
}

fn value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        text().prop_map(ValueMatch::Exact),
        text().prop_map(ValueMatch::Prefix),
        text().prop_map(ValueMatch::Regex),
        text().prop_map(ValueMatch::PathPrefix),
        Just(ValueMatch::Presence),
    ]
}

fn named() -> impl Strategy<Value = Vec<NamedMatch>> {
    vec((name(), value()).prop_map(|(name, value)| NamedMatch { name, value }), 0..3)
}

pub(super) fn http_match() -> impl Strategy<Value = HttpMatch> {
    let values = (option::of(value()), option::of(value()), option::of(value()), option::of(value()));
    let rest = (option::of(name()), option::of(1..=u16::MAX), claims(), claims());
    (values, any::<bool>(), (named(), named(), named()), rest).prop_map(
        |(values, ignore_path_case, named, (source_namespace, port, claims, without_claims))| HttpMatch {
            path: values.0,
            method: values.1,
            authority: values.2,
            scheme: values.3,
            ignore_path_case,
            headers: named.0,
            without_headers: named.1,
            query_params: named.2,
            source_namespace,
            port,
            claims,
            without_claims,
        },
    )
}

fn claims() -> impl Strategy<Value = Vec<ClaimMatch>> {
    let claim = (vec(name(), 1..3), value()).prop_map(|(path, value)| ClaimMatch { path, value });
    vec(claim, 0..3)
}

fn header_change() -> impl Strategy<Value = HeaderChange> {
    (vec((name(), text()), 0..3), vec((name(), text()), 0..3), vec(name(), 0..3))
        .prop_map(|(set, add, remove)| HeaderChange { set, add, remove })
}

pub(super) fn backend() -> impl Strategy<Value = Backend> {
    let target = prop_oneof![
        (host(), any::<u16>(), option::of(name()))
            .prop_map(|(service, port, subset)| BackendTarget::Service { service, port, subset }),
        status().prop_map(|status| BackendTarget::Invalid { status }),
    ];
    (target, any::<u32>(), header_change(), header_change()).prop_map(
        |(target, weight, request_headers, response_headers)| Backend {
            target,
            weight,
            request_headers,
            response_headers,
        },
    )
}

fn path_change() -> impl Strategy<Value = PathChange> {
    prop_oneof![
        text().prop_map(PathChange::Full),
        text().prop_map(PathChange::Prefix),
        (text(), text()).prop_map(|(pattern, substitution)| PathChange::Regex { pattern, substitution }),
    ]
}

fn redirect() -> impl Strategy<Value = Redirect> {
    use PortDerivation::{FromListener, FromProtocolDefault, FromRequestPort};
    (
        select(vec![301, 302, 303, 307, 308]),
        (option::of(name()), option::of(name())),
        option::of(1..=u16::MAX),
        select(vec![FromListener, FromProtocolDefault, FromRequestPort]),
        option::of(path_change()),
    )
        .prop_map(|(status, (scheme, host), port, port_derivation, path)| Redirect {
            status,
            scheme,
            host,
            port,
            port_derivation,
            path,
        })
}

fn action() -> impl Strategy<Value = RuleAction> {
    prop_oneof![
        vec(backend(), 0..3).prop_map(|backends| RuleAction::Forward(Forward { backends })),
        redirect().prop_map(RuleAction::Redirect),
        (status(), vec(any::<u8>(), 0..9)).prop_map(|(status, body)| {
            RuleAction::DirectResponse(DirectResponse { status, body: body.into() })
        }),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    (any::<u32>(), vec(status(), 0..3), vec(name(), 0..3), duration(), any::<bool>()).prop_map(
        |(attempts, codes, conditions, backoff, avoid_previous_hosts)| Retry {
            attempts,
            codes,
            conditions,
            backoff,
            avoid_previous_hosts,
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let delay = (duration(), share()).prop_map(|(fixed, share)| Delay { fixed, share });
    let error = prop_oneof![status().prop_map(AbortError::Http), (0..=16u32).prop_map(AbortError::Grpc)];
    let abort = (error, share()).prop_map(|(error, share)| Abort { error, share });
    (option::of(delay), option::of(abort)).prop_map(|(delay, abort)| Fault { delay, abort })
}

fn rewrite() -> impl Strategy<Value = Rewrite> {
    (option::of(name()), option::of(path_change())).prop_map(|(authority, path)| Rewrite { authority, path })
}

fn cors() -> impl Strategy<Value = Cors> {
    let names = || vec(name(), 0..3);
    (vec(value(), 0..3), (names(), names(), names()), option::of(duration()), any::<bool>(), any::<bool>())
        .prop_map(|(origins, names, max_age, credentials, forwards_unmatched_preflights)| Cors {
            origins,
            methods: names.0,
            headers: names.1,
            exposed_headers: names.2,
            max_age,
            credentials,
            forwards_unmatched_preflights,
        })
}

fn session() -> impl Strategy<Value = SessionPersistence> {
    let carrier = prop_oneof![Just(SessionCarrier::Cookie), Just(SessionCarrier::Header)];
    (option::of(name()), carrier, option::of(duration()), option::of(duration()), any::<bool>()).prop_map(
        |(name, carrier, absolute_timeout, idle_timeout, permanent)| SessionPersistence {
            name,
            carrier,
            absolute_timeout,
            idle_timeout,
            permanent,
        },
    )
}

fn http_rule() -> impl Strategy<Value = HttpRule> {
    let mirror = (backend(), share()).prop_map(|(backend, share)| Mirror { backend, share });
    (
        (text(), vec(http_match(), 0..3), header_change(), header_change(), action()),
        (option::of(rewrite()), option::of(duration()), option::of(duration())),
        (retry(), fault(), vec(mirror, 0..3), option::of(cors()), option::of(session())),
    )
        .prop_map(
            |(rule, (rewrite, request_timeout, attempt_timeout), (retry, fault, mirrors, cors, session))| {
                HttpRule {
                    name: rule.0,
                    matches: rule.1,
                    request_headers: rule.2,
                    response_headers: rule.3,
                    action: rule.4,
                    rewrite,
                    request_timeout,
                    attempt_timeout,
                    retry,
                    fault,
                    mirrors,
                    cors,
                    session,
                }
            },
        )
}

pub(in crate::codec) fn service_config() -> impl Strategy<Value = ServiceConfig> {
    let port = (vec(http_rule(), 0..3), any::<bool>(), vec(stream_rule(), 0..3))
        .prop_map(|(http_rules, governed, stream_rules)| PortConfig { http_rules, governed, stream_rules });
    let subsets = small_map(name(), (labels(), port_traffic())).prop_map(|subsets| {
        let subset = |(name, (labels, traffic))| Subset { name, labels, traffic };
        subsets.into_iter().map(subset).collect()
    });
    let rest = (security(), port_traffic(), option::of(telemetry()), any::<bool>(), vec(rate_limit(), 0..3));
    let more = (option::of(health_check()), vec(hedged_requests(), 0..3), btree_set(any::<u16>(), 0..3));
    (host(), small_map(any::<u16>(), port), subsets, rest, more).prop_map(
        |(key, ports, subsets, rest, (health_check, hedging, grpc_web_ports))| {
            let (security, traffic, telemetry, race_connections, rate_limits) = rest;
            ServiceConfig {
                key,
                ports,
                subsets,
                security,
                traffic,
                telemetry,
                rate_limits,
                race_connections,
                health_check,
                hedging,
                grpc_web_ports,
            }
        },
    )
}
