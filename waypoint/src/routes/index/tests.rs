//! What the index finds is what looking at one rule after the other finds, whatever the rules.

use http::Request;
use http::request::Parts;
use mesh_model::{
    HeaderChange, HttpMatch, HttpRule, NamedMatch, NamespacedHostname, PortConfig, RuleAction, ServiceConfig,
    ValueMatch,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{ServiceRoutes, Subject, Verdict};

fn value(texts: &'static [&'static str]) -> impl Strategy<Value = ValueMatch> {
    (0..5, select(texts)).prop_map(|(kind, text)| match kind {
        0 | 1 => ValueMatch::Exact(text.into()),
        2 => ValueMatch::Prefix(text.into()),
        3 => ValueMatch::PathPrefix(text.into()),
        _ => ValueMatch::Regex(format!("{text}.*").into()),
    })
}

const PATHS: &[&str] = &["/", "/a", "/A", "/a/", "/a/b", "/ab", "/b", "/ä", ""];
const WORDS: &[&str] = &["one", "two", "One", ""];
const HOSTS: &[&str] = &["a.example", "b.example"];

fn named(names: &'static [&'static str]) -> impl Strategy<Value = NamedMatch> {
    (select(names), value(WORDS)).prop_map(|(name, value)| NamedMatch { name: name.into(), value })
}

fn condition() -> impl Strategy<Value = HttpMatch> {
    use proptest::collection::vec;
    use proptest::option::of;
    let headers = vec(named(&["x-a", "x-b", ":authority", ":path"]), 0..3);
    let without = vec(named(&["x-a", "x-b"]), 0..2);
    let method = select(&["GET", "POST"][..]).prop_map(|method| ValueMatch::Exact(method.into()));
    (of(value(PATHS)), any::<bool>(), of(method), of(value(HOSTS)), headers, without).prop_map(
        |(path, ignore_path_case, method, authority, headers, without_headers)| HttpMatch {
            path,
            ignore_path_case,
            method,
            authority,
            headers,
            without_headers,
            ..HttpMatch::default()
        },
    )
}

fn routes(rules: Vec<Vec<HttpMatch>>) -> ServiceRoutes {
    let rule = |(number, matches): (usize, Vec<HttpMatch>)| HttpRule {
        name: number.to_string().into(),
        matches,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
        action: RuleAction::Forward(mesh_model::Forward { backends: Vec::new() }),
        rewrite: None,
        request_timeout: None,
        attempt_timeout: None,
        retry: mesh_model::Retry::default(),
        fault: mesh_model::Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        session: None,
    };
    let http_rules = rules.into_iter().enumerate().map(rule).collect();
    let port = PortConfig { http_rules, governed: true, ..PortConfig::default() };
    ServiceRoutes::compile(&ServiceConfig {
        key: NamespacedHostname::new("shop", "reviews.shop.svc.cluster.local"),
        ports: [(0, port)].into_iter().collect(),
        subsets: Vec::new(),
        security: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
        traffic: Default::default(),
    })
}

fn request() -> impl Strategy<Value = Parts> {
    let paths = select(&["/", "/a", "/A", "/a/b", "/A/b", "/ab/c", "/b", "/other", "/%C3%A4"][..]);
    let headers = proptest::collection::vec((select(&["x-a", "x-b", "x-c"][..]), select(WORDS)), 0..4);
    (paths, select(&["GET", "POST"][..]), select(HOSTS), headers).prop_map(|(path, method, host, headers)| {
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    })
}

/// The rule, and how much of the path.
fn taken(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Rule(rule, path) => format!("{} {path:?}", rule.name),
        Verdict::Ungoverned | Verdict::NoMatch => "none".to_owned(),
    }
}

proptest! {
    #[test]
    fn gw_36_the_first_rule_that_matches_is_found(
        rules in proptest::collection::vec(proptest::collection::vec(condition(), 0..3), 0..12),
        heads in proptest::collection::vec(request(), 8),
    ) {
        let routes = routes(rules);
        for head in &heads {
            let subject = Subject { head, source_namespace: None, service_port: 80, token: None };
            let (found, expected) = (routes.judge(subject), routes.judge_one_by_one(subject));
            prop_assert_eq!(taken(&found), taken(&expected), "{:?}", head);
        }
    }
}

#[test]
fn only_conditions_that_may_match_are_looked_at() {
    let path = |number: usize| HttpMatch {
        path: Some(ValueMatch::PathPrefix(format!("/{number}").into())),
        ..HttpMatch::default()
    };
    let user = |number: usize| HttpMatch {
        // What all have in common tells nothing.
        path: Some(ValueMatch::PathPrefix("/users".into())),
        headers: vec![NamedMatch {
            name: "x-user".into(),
            value: ValueMatch::Exact(number.to_string().into()),
        }],
        ..HttpMatch::default()
    };
    let rules = (0..1000).map(|number| vec![path(number), user(number)]);
    let routes = routes(rules.collect());
    let port = routes.find_port(80).unwrap();
    for (uri, header, rule) in [("/999/x", "7", "999"), ("/users/x", "512", "512")] {
        let request = Request::builder().uri(uri).header("x-user", header).body(()).unwrap();
        let (head, ()) = request.into_parts();
        let subject = Subject { head: &head, source_namespace: None, service_port: 80, token: None };
        let mut looks = 0;
        let found = port.index.find(subject, |place| {
            looks += 1;
            port.matches(place, subject)
        });
        assert_eq!(found.unwrap().0.0.to_string(), rule);
        assert!(looks <= 4, "{looks} of 2000 conditions were looked at");
    }
}
