//! Defaults and rejects of service configurations.

use std::time::Duration;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::http_rule::Action;
use proto::string_match::MatchType;

use super::decode;
use crate::{HttpRule, Retry};

/// Decodes a configuration with one rule on port 80.
fn rule(change: impl FnOnce(&mut proto::HttpRule)) -> Result<HttpRule, String> {
    let action = Some(Action::Forward(proto::Forward::default()));
    let mut wire = proto::HttpRule { action, ..Default::default() };
    change(&mut wire);
    let port = proto::PortConfig { port: 80, http_rules: vec![wire], governed: true, ..Default::default() };
    let config = proto::ServiceConfig { hostname: "web".into(), ports: vec![port], ..Default::default() };
    match decode(config) {
        Ok(mut config) => Ok(config.ports.get_mut(&80).unwrap().http_rules.remove(0)),
        Err(error) => Err(error.to_string()),
    }
}

fn path(match_type: MatchType) -> Vec<proto::HttpMatch> {
    let path = Some(proto::StringMatch { match_type: Some(match_type) });
    vec![proto::HttpMatch { path, ..Default::default() }]
}

fn duration(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[test]
fn res_06_a_zero_timeout_is_none() {
    let rule = rule(|wire| {
        wire.request_timeout = duration(0);
        wire.attempt_timeout = duration(3);
    })
    .unwrap();
    assert_eq!((rule.request_timeout, rule.attempt_timeout), (None, Some(Duration::from_secs(3))));
    assert_eq!(rule.retry, Retry::default(), "no retry on the wire is the default one");
}

#[test]
fn header_names_are_lower_case_and_query_parameters_are_not() {
    let named = |name: &str| proto::NamedMatch {
        name: name.into(),
        value: Some(proto::StringMatch { match_type: Some(MatchType::Presence(true)) }),
    };
    let rule = rule(|wire| {
        wire.matches = vec![proto::HttpMatch {
            headers: vec![named("X-User"), named(":Method")],
            query_params: vec![named("Page")],
            ..Default::default()
        }];
    })
    .unwrap();
    let names: Vec<&str> = rule.matches[0].headers.iter().map(|header| &*header.name).collect();
    assert_eq!(names, ["x-user", ":method"]);
    assert_eq!(&*rule.matches[0].query_params[0].name, "Page");
}

type Change = fn(&mut proto::HttpRule);

fn assert_rejected(table: Vec<(&str, Change)>) {
    for (reason, change) in table {
        assert_eq!(rule(change), Err(format!("ports[0].http_rules[0].{reason}")));
    }
}

#[test]
fn sec_09_bad_matches_and_headers_are_rejected_with_field_and_reason() {
    assert_rejected(vec![
        ("matches[0].path.match_type: missing", |wire| {
            let path = Some(proto::StringMatch { match_type: None });
            wire.matches = vec![proto::HttpMatch { path, ..Default::default() }];
        }),
        ("matches[0].path.regex: 5000 bytes, at most 4096 are taken", |wire| {
            wire.matches = path(MatchType::Regex("a".repeat(5000)));
        }),
        ("matches[0].path.presence: false has no meaning", |wire| {
            wire.matches = path(MatchType::Presence(false));
        }),
        ("matches[0].headers[0].name: \"a b\" is not the name of a header", |wire| {
            let header = proto::NamedMatch { name: "a b".into(), value: None };
            wire.matches = vec![proto::HttpMatch { headers: vec![header], ..Default::default() }];
        }),
        ("matches[0].query_params[0].value: missing", |wire| {
            let parameter = proto::NamedMatch { name: "a".into(), value: None };
            wire.matches = vec![proto::HttpMatch { query_params: vec![parameter], ..Default::default() }];
        }),
        ("request_headers.set[0].value: control characters cannot travel in a header", |wire| {
            let header = proto::Header { name: "a".into(), value: "b\r\nc: d".into() };
            wire.request_headers = Some(proto::HeaderChange { set: vec![header], ..Default::default() });
        }),
        ("response_headers.remove[0]: \"\" is not the name of a header", |wire| {
            wire.response_headers =
                Some(proto::HeaderChange { remove: vec![String::new()], ..Default::default() });
        }),
    ]);
}

#[test]
fn sec_09_bad_actions_are_rejected_with_field_and_reason() {
    assert_rejected(vec![
        ("action: missing", |wire| wire.action = None),
        ("forward.backends[0].service: \"web\" is not of the form namespace/name", |wire| {
            let backend = proto::Backend { service: "web".into(), ..Default::default() };
            wire.action = Some(Action::Forward(proto::Forward { backends: vec![backend] }));
        }),
        ("forward.backends[0].invalid_status: 0 is not a final status of HTTP", |wire| {
            wire.action = Some(Action::Forward(proto::Forward { backends: vec![proto::Backend::default()] }));
        }),
        ("redirect.status: 200 is not a redirect", |wire| {
            wire.action = Some(Action::Redirect(proto::Redirect { status: 200, ..Default::default() }));
        }),
        ("direct_response.status: 600 is not a final status of HTTP", |wire| {
            wire.action =
                Some(Action::DirectResponse(proto::DirectResponse { status: 600, body: Vec::new() }));
        }),
        ("direct_response.body: 2000000 bytes, at most 1048576 are taken", |wire| {
            let body = vec![0; 2_000_000];
            wire.action = Some(Action::DirectResponse(proto::DirectResponse { status: 200, body }));
        }),
        ("request_timeout: a duration cannot be negative", |wire| wire.request_timeout = duration(-1)),
        ("retry.codes[0]: 70 is not a final status of HTTP", |wire| {
            wire.retry = Some(proto::Retry { codes: vec![70], ..Default::default() });
        }),
        ("fault.delay.fixed: missing", |wire| {
            wire.fault = Some(proto::Fault { delay: Some(proto::Delay::default()), abort: None });
        }),
        ("fault.abort.grpc_status: 17 is not a status of gRPC", |wire| {
            let abort = proto::Abort { per_million: 1, error: Some(proto::abort::Error::GrpcStatus(17)) };
            wire.fault = Some(proto::Fault { delay: None, abort: Some(abort) });
        }),
        ("fault.abort.per_million: 1000001 is more than a million", |wire| {
            let error = Some(proto::abort::Error::HttpStatus(503));
            let abort = proto::Abort { per_million: 1_000_001, error };
            wire.fault = Some(proto::Fault { delay: None, abort: Some(abort) });
        }),
        ("mirrors[0].backend: missing", |wire| wire.mirrors = vec![proto::Mirror::default()]),
    ]);
}

#[test]
fn sec_09_doubled_ports_and_subsets_are_rejected() {
    let port = || proto::PortConfig { port: 80, ..Default::default() };
    let subset = || proto::Subset { name: "v1".into(), ..Default::default() };
    let reason = |change: fn(&mut proto::ServiceConfig)| {
        let mut config = proto::ServiceConfig {
            hostname: "web".into(),
            ports: vec![port(), port()],
            subsets: vec![subset(), subset()],
            ..Default::default()
        };
        change(&mut config);
        decode(config).unwrap_err().to_string()
    };
    assert_eq!(reason(|_| {}), "ports: port 80 is there twice");
    assert_eq!(reason(|config| config.ports.clear()), "subsets: \"v1\" is there twice");
    assert_eq!(reason(|config| config.ports[1].port = 70_000), "ports[1].port: 70000 is not a port");
    assert_eq!(
        reason(|config| {
            config.ports.clear();
            config.subsets.clear();
            config.hostname.clear();
        }),
        "hostname: empty"
    );
}
