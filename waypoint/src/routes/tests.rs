//! Configurations in, verdicts out.

use std::net::SocketAddr;

use http::request::Parts;
use mesh_model::{
    BackendTarget, Forward, HeaderChange, HttpMatch, HttpRule, NamedMatch, PathChange, Retry, Rewrite,
    RuleAction, ValueMatch,
};

use super::*;

fn service() -> NamespacedHostname {
    NamespacedHostname::new("shop", "reviews.shop.svc.cluster.local")
}

fn backend(port: u16, weight: u32) -> mesh_model::Backend {
    mesh_model::Backend {
        target: BackendTarget::Service { service: service(), port, subset: None },
        weight,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
    }
}

fn rule(name: &str, matches: Vec<HttpMatch>) -> HttpRule {
    HttpRule {
        name: name.into(),
        matches,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
        action: RuleAction::Forward(Forward { backends: vec![backend(80, 1)] }),
        rewrite: None,
        request_timeout: None,
        attempt_timeout: None,
        retry: Retry::default(),
        fault: mesh_model::Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        session: None,
    }
}

fn path(value: ValueMatch) -> HttpMatch {
    HttpMatch { path: Some(value), ..HttpMatch::default() }
}

fn header(name: &str, value: &str) -> HttpMatch {
    let named = NamedMatch { name: name.into(), value: ValueMatch::Exact(value.into()) };
    HttpMatch { headers: vec![named], ..HttpMatch::default() }
}

fn config(ports: Vec<(u16, Vec<HttpRule>, bool)>) -> ServiceConfig {
    let port = |(number, http_rules, governed)| {
        (number, PortConfig { http_rules, governed, ..PortConfig::default() })
    };
    ServiceConfig {
        key: service(),
        ports: ports.into_iter().map(port).collect(),
        subsets: Vec::new(),
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    }
}

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::builder().uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

/// The rule that takes a request, or how none does.
fn taken(routes: &ServiceRoutes, port: u16, uri: &str, headers: &[(&str, &str)]) -> String {
    let head = head(uri, headers);
    match routes.judge(Subject { head: &head, source_namespace: None, service_port: port, token: None }) {
        Verdict::Rule(rule, _) => rule.name.to_string(),
        Verdict::Ungoverned => "ungoverned".to_owned(),
        Verdict::NoMatch => "no match".to_owned(),
    }
}

#[test]
fn gw_36_the_first_rule_that_matches_takes_it() {
    let routes = ServiceRoutes::compile(&config(vec![(
        80,
        vec![
            rule("exact", vec![path(ValueMatch::Exact("/v1".into()))]),
            rule("longer", vec![path(ValueMatch::PathPrefix("/v1/deep".into()))]),
            rule("either", vec![path(ValueMatch::PathPrefix("/v1".into())), header("version", "one")]),
        ],
        true,
    )]));
    for (uri, headers, expected) in [
        ("/v1", &[][..], "exact"),
        ("/v1/deep/x", &[], "longer"),
        ("/v1/x", &[], "either"),
        ("/other", &[("version", "one")], "either"),
        ("/other", &[("version", "two")], "no match"),
    ] {
        assert_eq!(taken(&routes, 80, uri, headers), expected, "{uri}");
    }
}

#[test]
fn l7_14_a_catch_all_hides_what_follows() {
    let routes = ServiceRoutes::compile(&config(vec![(
        0,
        vec![rule("all", vec![path(ValueMatch::Regex(".*".into()))]), rule("late", vec![header("a", "b")])],
        true,
    )]));
    assert_eq!(taken(&routes, 80, "/x", &[("a", "b")]), "all");
}

#[test]
fn gw_08_ports_and_the_port_that_speaks_for_the_others() {
    let routes = ServiceRoutes::compile(&config(vec![
        (0, vec![rule("any", vec![])], true),
        (81, vec![rule("81", vec![])], true),
        (82, vec![], true),
        (83, vec![], false),
    ]));
    let on = |port| taken(&routes, port, "/", &[]);
    assert_eq!([on(80), on(81), on(82), on(83)], ["any", "81", "no match", "ungoverned"]);
    let only_81 = ServiceRoutes::compile(&config(vec![(81, vec![rule("81", vec![])], true)]));
    assert_eq!(taken(&only_81, 80, "/", &[]), "ungoverned");
}

#[test]
fn gw_45_weights_are_shares_and_zero_is_none() {
    let mut weighted = rule("w", vec![]);
    let backends = vec![backend(1, 70), backend(2, 30), backend(3, 0)];
    weighted.action = RuleAction::Forward(Forward { backends });
    let Action::Forward(backends) = Rule::compile(&weighted, &service()).action else { panic!("forwards") };
    let mut hits = [0_u32; 4];
    for _ in 0..10_000 {
        match &Backend::choose(&backends).unwrap().destination {
            Destination::Service { port, .. } => hits[usize::from(*port)] += 1,
            other => panic!("{other:?}"),
        }
    }
    // Six standard deviations around 7,000 of 10,000.
    assert!((6_725..=7_275).contains(&hits[1]), "{hits:?}");
    assert_eq!((hits[1] + hits[2], hits[3]), (10_000, 0));
}

#[test]
fn gw_40_no_backend_with_a_weight_is_none() {
    let none = |backends| {
        let mut empty = rule("e", vec![]);
        empty.action = RuleAction::Forward(Forward { backends });
        let Action::Forward(backends) = Rule::compile(&empty, &service()).action else { panic!("forwards") };
        Backend::choose(&backends).is_none()
    };
    assert!(none(vec![]));
    assert!(none(vec![backend(1, 0), backend(2, 0)]));
    assert!(!none(vec![backend(1, 0), backend(2, 1)]));
}

#[test]
fn sec_a_rule_that_cannot_be_compiled_takes_nothing_or_answers_500() {
    let bad_match = rule("bad", vec![path(ValueMatch::Regex("(".into()))]);
    let half = rule("half", vec![path(ValueMatch::Regex("(".into())), header("a", "b")]);
    let routes = ServiceRoutes::compile(&config(vec![(80, vec![bad_match, half], true)]));
    assert_eq!(taken(&routes, 80, "/", &[]), "no match");
    assert_eq!(taken(&routes, 80, "/", &[("a", "b")]), "half");

    let mut bad_rewrite = rule("rewrite", vec![]);
    let path = PathChange::Regex { pattern: "(".into(), substitution: "".into() };
    bad_rewrite.rewrite = Some(Rewrite { authority: None, path: Some(path) });
    assert!(matches!(Rule::compile(&bad_rewrite, &service()).action, Action::Broken));
    let mut bad_authority = rule("authority", vec![]);
    bad_authority.rewrite = Some(Rewrite { authority: Some("a\nb".into()), path: None });
    assert!(matches!(Rule::compile(&bad_authority, &service()).action, Action::Broken));
}

#[test]
fn wp_28_an_invalid_backend_keeps_its_status() {
    let mut invalid = rule("i", vec![]);
    let backend = mesh_model::Backend { target: BackendTarget::Invalid { status: 500 }, ..backend(1, 1) };
    invalid.action = RuleAction::Forward(Forward { backends: vec![backend] });
    let Action::Forward(backends) = Rule::compile(&invalid, &service()).action else { panic!("forwards") };
    let chosen = Backend::choose(&backends).unwrap();
    assert_eq!(chosen.destination, Destination::Invalid(http::StatusCode::INTERNAL_SERVER_ERROR));
}

#[test]
fn res_06_a_timeout_of_zero_is_none() {
    let mut timed = rule("t", vec![]);
    timed.request_timeout = Some(std::time::Duration::ZERO);
    timed.attempt_timeout = Some(std::time::Duration::from_secs(1));
    let compiled = Rule::compile(&timed, &service());
    assert_eq!((compiled.request_timeout, compiled.attempt_timeout.map(|t| t.as_secs())), (None, Some(1)));
}

#[test]
fn what_no_rule_governs_goes_where_it_was_sent() {
    let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let destination = Destination::Service { service: service(), port: address.port(), subset: None };
    let Action::Forward(backends) = Rule::straight_to(destination.clone()).action else { panic!("forwards") };
    assert_eq!(Backend::choose(&backends).unwrap().destination, destination);
}
