//! What policies over requests mean, by the IDs of the behaviours, and what must not get around them.

use std::net::IpAddr;
use std::slice::from_ref;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_model::{
    Attribute, Condition, Identity, Pattern, PolicyAction, PolicyClause, PolicyKey, PolicyRule,
    RequestPolicy, ServiceAccountMatch,
};
use serde_json::{Value, json};

use super::fixtures::identity;
use crate::{
    Call, CallDenial, Connection, NotConsented, NoteKind, Request, Token, asks_for_sni, authorize_call,
    notes, questions,
};

/// A call to be changed where a test needs it: `GET http://reviews:80/allowed` by `td/ns/prod/sa/web`.
struct Sample {
    identity: Option<Identity>,
    remote: Option<&'static str>,
    sni: Option<&'static str>,
    method: &'static str,
    host: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    token: Option<Token>,
    stream: bool,
}

impl Default for Sample {
    fn default() -> Self {
        Sample {
            identity: Some(identity("td", "prod", "web")),
            remote: Some("10.0.0.1"),
            sni: None,
            method: "GET",
            host: "reviews",
            path: "/allowed",
            headers: Vec::new(),
            token: None,
            stream: false,
        }
    }
}

impl Sample {
    fn judge<T>(&self, judge: impl FnOnce(&Call<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let request = Request {
            method: self.method,
            host: self.host,
            path: self.path,
            headers: &headers,
            token: self.token.as_ref(),
        };
        judge(&Call {
            connection: Connection {
                source: "10.0.0.1".parse().unwrap(),
                source_identity: self.identity.as_ref(),
                destination: "10.96.0.1:80".parse().unwrap(),
            },
            remote: self.remote.map(|ip| ip.parse::<IpAddr>().unwrap()),
            sni: self.sni,
            request: (!self.stream).then_some(request),
        })
    }

    /// With the consent of everybody who is asked.
    fn result(&self, policies: &[RequestPolicy]) -> Result<(), CallDenial> {
        self.judge(|call| {
            let mut questions = questions(policies.iter(), call);
            while questions.next().is_some() {
                questions.consented();
            }
            authorize_call(policies.iter(), call, questions.close().unwrap()).map(drop)
        })
    }

    /// Whom somebody has to ask about it, in turn.
    fn asked(&self, policies: &[RequestPolicy]) -> Vec<String> {
        self.judge(|call| {
            let mut questions = questions(policies.iter(), call);
            let mut asked = Vec::new();
            while let Some(question) = questions.next() {
                asked.push(format!("{} by {}", question.provider, question.policy.name));
                questions.consented();
            }
            asked
        })
    }

    fn passes(&self, policies: &[RequestPolicy]) -> bool {
        self.result(policies).is_ok()
    }
}

fn policy(name: &str, action: PolicyAction, rules: Vec<PolicyRule>) -> RequestPolicy {
    RequestPolicy { key: PolicyKey::new("prod", name), action, dry_run: false, rules }
}

/// A rule of clauses with one alternative each.
fn rule(conditions: Vec<Condition>) -> PolicyRule {
    let clauses = conditions.into_iter().map(|it| PolicyClause { alternatives: vec![vec![it]] });
    PolicyRule { clauses: clauses.collect() }
}

fn allow(conditions: Vec<Condition>) -> RequestPolicy {
    policy("allow", PolicyAction::Allow, vec![rule(conditions)])
}

fn deny(conditions: Vec<Condition>) -> RequestPolicy {
    policy("deny", PolicyAction::Deny, vec![rule(conditions)])
}

fn pattern(text: &str) -> Pattern {
    match (text, text.strip_suffix('*'), text.strip_prefix('*')) {
        ("*", ..) => Pattern::Presence,
        (_, Some(prefix), _) => Pattern::Prefix(prefix.into()),
        (_, _, Some(suffix)) => Pattern::Suffix(suffix.into()),
        (text, ..) if text.contains('{') => Pattern::Template(text.parse().unwrap()),
        (text, ..) => Pattern::Exact(text.into()),
    }
}

fn is(attribute: Attribute, texts: &[&str]) -> Condition {
    Condition { attribute, any_of: texts.iter().map(|text| pattern(text)).collect(), none_of: vec![] }
}

fn is_not(attribute: Attribute, texts: &[&str]) -> Condition {
    Condition { attribute, any_of: vec![], none_of: texts.iter().map(|text| pattern(text)).collect() }
}

fn header(name: &str) -> Attribute {
    Attribute::Header(name.into())
}

fn token(claims: Value) -> Option<Token> {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    Some(Token::verified(claims, vec!["groups".into()]))
}

#[test]
fn az_05_06_09_deny_beats_allow_and_allow_is_needed_where_there_is_one() {
    let (hit, miss) = (is(Attribute::Path, &["/allowed"]), is(Attribute::Path, &["/other"]));
    let denied = Err(CallDenial::ExplicitlyDenied { policy: PolicyKey::new("prod", "deny"), rule: 0 });
    let nothing = policy("empty", PolicyAction::Allow, vec![]);
    for (policies, expected) in [
        (vec![], Ok(())),
        (vec![nothing.clone()], Err(CallDenial::NotAllowed)),
        (vec![nothing, allow(vec![hit.clone()])], Ok(())),
        (vec![policy("all", PolicyAction::Allow, vec![PolicyRule::default()])], Ok(())),
        (vec![allow(vec![hit.clone()])], Ok(())),
        (vec![allow(vec![miss.clone()])], Err(CallDenial::NotAllowed)),
        (vec![allow(vec![hit.clone()]), deny(vec![hit.clone()])], denied.clone()),
        (vec![deny(vec![miss.clone()])], Ok(())),
        (vec![deny(vec![hit.clone()])], denied),
        (vec![allow(vec![hit.clone(), miss.clone()])], Err(CallDenial::NotAllowed)),
    ] {
        assert_eq!(Sample::default().result(&policies), expected, "{policies:?}");
    }
}

#[test]
fn az_denials_read_as_users_of_envoy_know_them() {
    let denied = CallDenial::ExplicitlyDenied { policy: PolicyKey::new("prod", "no"), rule: 2 };
    assert_eq!(denied.details(), "rbac_access_denied_matched_policy[ns[prod]-policy[no]-rule[2]]");
    assert_eq!(CallDenial::NotAllowed.details(), "rbac_access_denied_matched_policy[none]");
}

#[test]
fn az_every_attribute_matches_what_it_is_about() {
    let sample = || Sample {
        headers: vec![("x-foo", "bar")],
        sni: Some("a.Example.com"),
        token: token(json!({
            "iss": "issuer-1", "sub": "sub-1", "azp": "app", "aud": ["a", "b"], "scope": "read write",
            "groups": "one two", "nested": { "key": ["v1", "v2"] }, "admin": true, "level": 3
        })),
        ..Sample::default()
    };
    let claim = |path: &[&str]| Attribute::TokenClaim(path.iter().map(|it| Arc::from(*it)).collect());
    for (attribute, hit, miss) in [
        (Attribute::SourcePrincipal, "td/ns/prod/sa/web", "spiffe://td/ns/prod/sa/web"),
        (Attribute::SourcePrincipal, "td/*", "other/*"),
        (Attribute::SourceNamespace, "prod", "pro"),
        (Attribute::SourceTrustDomain, "td", "prod"),
        (Attribute::ConnectionSni, "*.example.com", "*.example.org"),
        (Attribute::Host, "Reviews", "ratings"),
        (Attribute::Host, "rev*", "rat*"),
        (Attribute::Method, "GET", "get"),
        (Attribute::Path, "/allow*", "/deny*"),
        (Attribute::Path, "/{*}", "/{*}/"),
        (header("x-foo"), "bar", "baz"),
        (header("x-foo"), "*", "b"),
        (Attribute::TokenPrincipal, "issuer-1/sub-1", "issuer-1/sub-2"),
        (Attribute::TokenPrincipal, "issuer-1/*", "issuer-2/*"),
        (Attribute::TokenAudience, "b", "c"),
        (Attribute::TokenPresenter, "app", "other"),
        (claim(&["scope"]), "write", "wri"),
        (claim(&["groups"]), "two", "three"),
        (claim(&["nested", "key"]), "v2", "v3"),
        (claim(&["admin"]), "true", "false"),
        (claim(&["level"]), "3", "4"),
    ] {
        let of = |text| is(attribute.clone(), &[text]);
        assert!(sample().passes(&[allow(vec![of(hit)])]), "{attribute:?} {hit}");
        assert!(!sample().passes(&[allow(vec![of(miss)])]), "{attribute:?} {miss}");
        assert!(!sample().passes(&[deny(vec![of(hit)])]), "{attribute:?} {hit}");
        assert!(
            !sample().passes(&[allow(vec![is_not(attribute.clone(), &[hit])])]),
            "not {attribute:?} {hit}"
        );
    }
    let block = |attribute, block: &str| Condition {
        attribute,
        any_of: vec![Pattern::Block(block.parse().unwrap())],
        none_of: vec![],
    };
    for (attribute, hit) in [
        (Attribute::SourceIp, "10.0.0.0/24"),
        (Attribute::RemoteIp, "10.0.0.1/32"),
        (Attribute::DestinationIp, "10.96.0.0/12"),
    ] {
        assert!(sample().passes(&[allow(vec![block(attribute.clone(), hit)])]), "{attribute:?}");
        assert!(!sample().passes(&[allow(vec![block(attribute, "192.168.0.0/16")])]));
    }
    let port = |port| Condition {
        attribute: Attribute::DestinationPort,
        any_of: vec![Pattern::Port(port)],
        none_of: vec![],
    };
    assert!(sample().passes(&[allow(vec![port(80)])]) && !sample().passes(&[allow(vec![port(8080)])]));
}

#[test]
fn az_07_accounts_whatever_the_trust_domain_and_nobody_is_nobody() {
    let account = ServiceAccountMatch { namespace: "prod".into(), service_account: "web".into() };
    let condition = Condition {
        attribute: Attribute::SourceServiceAccount,
        any_of: vec![Pattern::ServiceAccount(account)],
        none_of: vec![],
    };
    let by = |identity| Sample { identity, ..Sample::default() };
    for (identity, expected) in [
        (Some(identity("td", "prod", "web")), true),
        (Some(identity("other", "prod", "web")), true),
        (Some(identity("td", "prod", "other")), false),
        (Some(identity("td", "test", "web")), false),
        (None, false),
    ] {
        assert_eq!(by(identity.clone()).passes(&[allow(vec![condition.clone()])]), expected, "{identity:?}");
    }
    assert!(by(None).passes(&[allow(vec![is_not(Attribute::SourceNamespace, &["prod"])])]), "L4-10");
    assert!(!by(None).passes(&[allow(vec![is(Attribute::SourcePrincipal, &["*"])])]));
}

#[test]
fn az_02_10_headers_that_are_there_and_that_are_not() {
    let with =
        |headers: &[(&'static str, &'static str)]| Sample { headers: headers.to_vec(), ..Sample::default() };
    let both = Condition {
        attribute: header("x-foo"),
        any_of: vec![Pattern::Presence],
        none_of: vec![Pattern::Exact("bad".into())],
    };
    for (headers, expected) in [
        (&[][..], false),
        (&[("x-foo", "")], false),
        (&[("x-foo", "good")], true),
        (&[("x-foo", "bad")], false),
        (&[("x-bar", "good")], false),
        // SEC: a line that is not wanted does not hide behind another.
        (&[("x-foo", "good"), ("x-foo", "bad")], false),
    ] {
        assert_eq!(with(headers).passes(&[allow(vec![both.clone()])]), expected, "{headers:?}");
    }
    let bad = deny(vec![is(header("x-foo"), &["bad"])]);
    for (headers, expected) in [
        (&[][..], true),
        (&[("x-foo", "bad")], false),
        (&[("x-foo", "good"), ("x-foo", "bad")], false),
        (&[("x-foo", "good,bad")], true),
    ] {
        assert_eq!(with(headers).passes(from_ref(&bad)), expected, "{headers:?}");
    }
    let admin = allow(vec![is(header("x-role"), &["admin"])]);
    assert!(
        !with(&[("x-role", "user"), ("x-role", "admin")]).passes(&[admin]),
        "several lines are one value"
    );
}

#[test]
fn sec_a_prohibition_holds_for_every_reading_of_a_path() {
    let denied = deny(vec![is(Attribute::Path, &["/admin", "/admin/*"])]);
    let but = deny(vec![is_not(Attribute::Path, &["/public", "/public/*"])]);
    for (path, is_denied) in [
        ("/admin", true),
        ("/admin/x", true),
        ("//admin", true),
        ("/admin//x", true),
        ("/admin%2Fx", true),
        ("/%2Fadmin", true),
        ("/admin;jsessionid=1", true),
        ("/admin;x/y", true),
        ("/a/%2e%2e/admin", true),
        ("/ADMIN", false),
        ("/administrator", false),
        ("/public/admin", false),
    ] {
        let sample = Sample { path, ..Sample::default() };
        assert_eq!(!sample.passes(from_ref(&denied)), is_denied, "{path}");
    }
    for (path, is_denied) in [("/public/x", false), ("//public/x", true), ("/other", true)] {
        let sample = Sample { path, ..Sample::default() };
        assert_eq!(!sample.passes(from_ref(&but)), is_denied, "not {path}");
    }
}

#[test]
fn sec_a_permission_holds_for_what_is_written_alone() {
    let allowed = allow(vec![is(Attribute::Path, &["/public", "/public/{**}"])]);
    let but = allow(vec![is_not(Attribute::Path, &["/admin", "/admin/*"])]);
    for (path, expected) in [
        ("/public", true),
        ("/public/x", true),
        ("//public", false),
        ("/public;x", false),
        ("/%2Fpublic", false),
    ] {
        let sample = Sample { path, ..Sample::default() };
        assert_eq!(sample.passes(from_ref(&allowed)), expected, "{path}");
    }
    for (path, expected) in [("/other", true), ("/admin", false), ("//admin", false), ("/admin%2fx", false)] {
        let sample = Sample { path, ..Sample::default() };
        assert_eq!(sample.passes(from_ref(&but)), expected, "not {path}");
    }
}

#[test]
fn sec_hosts_with_a_port_are_the_same_host_to_a_prohibition() {
    for (host, denied, allowed) in [
        ("example.com", true, true),
        ("Example.COM", true, true),
        ("example.com:80", true, false),
        ("example.com.", true, false),
        ("example.com.evil", false, false),
    ] {
        let sample = Sample { host, ..Sample::default() };
        assert_eq!(!sample.passes(&[deny(vec![is(Attribute::Host, &["example.com"])])]), denied, "{host}");
        assert_eq!(sample.passes(&[allow(vec![is(Attribute::Host, &["example.com"])])]), allowed, "{host}");
    }
}

#[test]
fn sec_an_address_that_cannot_be_read_is_none_that_is_allowed_and_any_that_is_denied() {
    let block = Condition {
        attribute: Attribute::RemoteIp,
        any_of: vec![Pattern::Block("10.0.0.0/8".parse().unwrap())],
        none_of: vec![],
    };
    let not = Condition { any_of: vec![], none_of: block.any_of.clone(), ..block.clone() };
    let sample = Sample { remote: None, ..Sample::default() };
    assert!(!sample.passes(&[allow(vec![block.clone()])]));
    assert!(!sample.passes(&[allow(vec![not.clone()])]));
    assert!(!sample.passes(&[deny(vec![block])]));
    assert!(!sample.passes(&[deny(vec![not])]));
}

#[test]
fn az_13_14_17_tokens() {
    let only = allow(vec![is(Attribute::TokenPrincipal, &["issuer-1/sub-1"])]);
    let health = allow(vec![is(Attribute::Path, &["/healthz"])]);
    let policies = [only, health];
    let with = |token, path| Sample { token, path, ..Sample::default() };
    let of = |issuer: &str| token(json!({ "iss": issuer, "sub": "sub-1" }));
    assert!(!with(None, "/").passes(&policies));
    assert!(with(of("issuer-1"), "/").passes(&policies));
    assert!(!with(of("issuer-2"), "/").passes(&policies));
    assert!(with(None, "/healthz").passes(&policies));
    let without = deny(vec![is_not(Attribute::TokenPrincipal, &["*"])]);
    assert!(!with(None, "/").passes(from_ref(&without)));
    assert!(with(of("issuer-1"), "/").passes(from_ref(&without)));
    assert!(!with(token(json!({ "iss": "issuer-1" })), "/").passes(&[without]), "no subject, no principal");
}

#[test]
fn az_custom_policies_ask_about_what_they_match_each_provider_once() {
    let custom = |name: &str, provider: &str, conditions| {
        policy(name, PolicyAction::Custom(provider.into()), vec![rule(conditions)])
    };
    let get = || vec![is(Attribute::Method, &["GET"])];
    let dry = RequestPolicy { dry_run: true, ..custom("dry", "iam", get()) };
    let policies = [
        custom("first", "opa", get()),
        custom("other", "opa", vec![is(Attribute::Method, &["POST"])]),
        custom("second", "iam", get()),
        custom("again", "opa", vec![]),
        deny(vec![is(Attribute::Method, &["POST"])]),
        dry,
    ];
    assert_eq!(Sample::default().asked(&policies), ["opa by first", "iam by second"]);
    assert!(Sample::default().asked(&policies[1..2]).is_empty());
}

#[test]
fn az_a_question_without_an_answer_is_no_consent() {
    let custom = policy("ask", PolicyAction::Custom("opa".into()), vec![PolicyRule::default()]);
    let closed = Sample::default().judge(|call| questions([&custom].into_iter(), call).close());
    let expected = NotConsented { policy: PolicyKey::new("prod", "ask"), provider: "opa".into() };
    assert_eq!(closed, Err(expected));
}

#[test]
fn az_who_looks_at_tokens_asks_before_they_are_known() {
    let sample = Sample { token: token(json!({ "iss": "i", "sub": "s" })), ..Sample::default() };
    let ask = |conditions| policy("ask", PolicyAction::Custom("opa".into()), vec![rule(conditions)]);
    for condition in
        [is(Attribute::TokenPrincipal, &["other/one"]), is_not(Attribute::TokenPrincipal, &["i/s"])]
    {
        assert_eq!(sample.asked(&[ask(vec![condition.clone()])]).len(), 1, "{condition:?}");
        let elsewhere = ask(vec![condition, is(Attribute::Method, &["POST"])]);
        assert!(sample.asked(&[elsewhere]).is_empty(), "the rest still has to match");
    }
}

#[test]
fn az_dry_runs_and_audits_are_noted_and_change_nothing() {
    let dry = |it: RequestPolicy| RequestPolicy { dry_run: true, ..it };
    let get = || is(Attribute::Method, &["GET"]);
    let post = || is(Attribute::Method, &["POST"]);
    let audit = policy("audit", PolicyAction::Audit, vec![rule(vec![get()])]);
    let custom = policy("ask", PolicyAction::Custom("opa".into()), vec![PolicyRule::default()]);
    let sample = Sample::default();
    for (policies, expected) in [
        (vec![dry(deny(vec![get()]))], vec![NoteKind::WouldDeny]),
        (vec![dry(deny(vec![post()]))], vec![]),
        (vec![dry(allow(vec![get()]))], vec![NoteKind::WouldAllow]),
        (vec![dry(allow(vec![post()]))], vec![NoteKind::WouldNotAllow]),
        (vec![audit.clone()], vec![NoteKind::Audit]),
        (vec![dry(audit)], vec![]),
        (vec![dry(custom)], vec![]),
    ] {
        let kinds: Vec<NoteKind> =
            sample.judge(|call| notes(policies.iter(), call).iter().map(|note| note.kind).collect());
        assert_eq!(kinds, expected, "{policies:?}");
        assert!(sample.passes(&policies), "{policies:?}");
    }
    assert_eq!(NoteKind::WouldNotAllow.to_string(), "dry-run: no allow policies match");
}

#[test]
fn az_connections_without_http_drop_permissions_and_broaden_prohibitions() {
    let stream = Sample { stream: true, ..Sample::default() };
    let from = || is(Attribute::SourceNamespace, &["prod"]);
    let other = || is(Attribute::SourceNamespace, &["test"]);
    let get = || is(Attribute::Method, &["GET"]);
    for (policy, expected) in [
        (allow(vec![from()]), true),
        (allow(vec![from(), get()]), false),
        (allow(vec![is_not(Attribute::Path, &["/x"])]), false),
        (deny(vec![from(), get()]), false),
        (deny(vec![other(), get()]), true),
        (deny(vec![get()]), false),
        (deny(vec![is_not(Attribute::TokenPrincipal, &["*"])]), false),
    ] {
        assert_eq!(stream.passes(from_ref(&policy)), expected, "{policy:?}");
    }
}

#[test]
fn az_the_name_by_tls_is_asked_for_where_a_policy_looks_at_it() {
    assert!(!asks_for_sni(&[allow(vec![is(Attribute::Path, &["/"])])]));
    assert!(asks_for_sni(&[allow(vec![]), deny(vec![is(Attribute::ConnectionSni, &["a"])])]));
}

#[test]
fn az_alternatives_nest() {
    let (hit, miss) = (is(Attribute::Method, &["GET"]), is(Attribute::Method, &["PUT"]));
    let of = |clauses: &[&[&[&Condition]]]| {
        let clause = |alternatives: &&[&[&Condition]]| PolicyClause {
            alternatives: alternatives.iter().map(|all| all.iter().copied().cloned().collect()).collect(),
        };
        policy("p", PolicyAction::Allow, vec![PolicyRule { clauses: clauses.iter().map(clause).collect() }])
    };
    for (clauses, expected) in [
        (&[&[&[&miss][..], &[&hit]][..]][..], true), // alternatives
        (&[&[&[&hit, &miss]]], false),               // conditions go together
        (&[&[&[&hit]], &[&[&miss]]], false),         // so do clauses
        (&[&[]], false),                             // none of no alternatives
        (&[&[&[]]], true),                           // an alternative that asks for nothing
    ] {
        assert_eq!(Sample::default().passes(&[of(clauses)]), expected, "{clauses:?}");
    }
}
