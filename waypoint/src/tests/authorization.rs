//! Who may ask what of a service, and through the waypoint: from the request to the answer.

use mesh_model::{
    Attribute, Condition, Identity, Pattern, PolicyAction, PolicyClause, PolicyKey, PolicyRule,
    RequestPolicy, Security, TokenRule,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::{Client, post, request, with};
use super::mesh::{Mesh, REVIEWS};
use crate::tokens::issuer::{Issuer, Kind};

pub(super) fn is(attribute: Attribute, text: &str) -> Condition {
    let pattern = match text.strip_suffix('*') {
        Some(prefix) => Pattern::Prefix(prefix.into()),
        None => Pattern::Exact(text.into()),
    };
    Condition { attribute, any_of: vec![pattern], none_of: vec![] }
}

fn policy(action: PolicyAction, rules: Vec<Vec<Condition>>) -> RequestPolicy {
    let rule = |conditions: Vec<Condition>| PolicyRule {
        clauses: conditions.into_iter().map(|it| PolicyClause { alternatives: vec![vec![it]] }).collect(),
    };
    RequestPolicy {
        key: PolicyKey::new("shop", "p"),
        action,
        dry_run: false,
        rules: rules.into_iter().map(rule).collect(),
    }
}

fn policies(policies: Vec<RequestPolicy>) -> Security {
    Security { policies, token_rules: Vec::new() }
}

pub(super) fn allow(rules: Vec<Vec<Condition>>) -> Security {
    policies(vec![policy(PolicyAction::Allow, rules)])
}

fn deny(rules: Vec<Vec<Condition>>) -> Security {
    policies(vec![policy(PolicyAction::Deny, rules)])
}

#[tokio::test]
async fn az_01_06_08_09_paths_methods_and_a_denial_that_beats_a_permission() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let get = || is(Attribute::Method, "GET");
    let allowing = vec![
        vec![is(Attribute::Path, "/allowed"), get()],
        vec![is(Attribute::Path, "/allowed-wildcard*")],
        vec![is(Attribute::Path, "/explicit-deny")],
    ];
    let denying = vec![vec![is(Attribute::Path, "/explicit-deny"), is(Attribute::Method, "POST")]];
    mesh.secure(policies(vec![policy(PolicyAction::Allow, allowing), policy(PolicyAction::Deny, denying)]));
    let mut client = mesh.http1(80).await;
    for (path, status) in [
        ("/allowed", 200),
        ("/allowed?q=1", 200),
        ("/allowed-wildcard-x", 200),
        ("/other", 403),
        ("/allowed/", 403),
        ("/x/../allowed", 200),
        ("/allowed/../other", 403),
        ("/%61llowed", 200),
        ("/explicit-deny", 200),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    let denied = client.send(post("/explicit-deny", "x")).await;
    assert_eq!((denied.status, denied.body.as_str()), (403, "RBAC: access denied"));
    assert_eq!(client.send(post("/allowed", "x")).await.status, 403);
    assert!(v1.seen().iter().all(|seen| !seen.path().contains("other")));
}

#[tokio::test]
async fn az_03_05_a_policy_of_the_waypoint_holds_for_every_service_and_changes_at_once() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.status, 200);
    mesh.secure_waypoint(allow(vec![]));
    assert_eq!(client.get("/").await.status, 403, "allowing nothing denies all");
    mesh.secure_waypoint(Security::default());
    assert_eq!(client.get("/").await.status, 200);
    mesh.secure(deny(vec![vec![]]));
    assert_eq!(client.get("/").await.status, 403);
}

#[tokio::test]
async fn az_07_principals_are_those_of_the_client() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.secure(allow(vec![vec![is(Attribute::SourcePrincipal, "cluster.local/ns/shop/sa/client")]]));
    assert_eq!(mesh.http1(80).await.get("/").await.status, 200);
    let other = Identity::new("cluster.local", "shop", "other");
    let stream = mesh.tunnel_as(&other, mesh.target(80)).await.unwrap();
    let forged =
        with(request("GET", "/"), "x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/client");
    assert_eq!(Client::http1(stream).await.send(forged).await.status, 403);
}

#[tokio::test]
async fn az_grpc_clients_are_told_in_their_own_terms() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.secure(allow(vec![]));
    let call = with(post("/a.B/C", "x"), "content-type", "application/grpc");
    let reply = mesh.http2(7070).await.send(call).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, Some("7")));
    assert_eq!(reply.header("grpc-message"), Some("RBAC: access denied"));
}

#[tokio::test]
async fn sec_what_nobody_has_been_told_of_does_not_pass() {
    let mesh = Mesh::start_untold().await;
    mesh.echo("v1").await;
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.status, 503);
    mesh.secure_waypoint(Security::default());
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn az_13_14_15_17_tokens_at_a_waypoint() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let (issuer, stranger) = (Issuer::new(Kind::Es256), Issuer::new(Kind::Es256));
    let rule = TokenRule {
        issuer: "issuer-1".into(),
        keys: issuer.key_set().into(),
        claim_headers: vec![("x-user".into(), "sub".into())],
        ..TokenRule::default()
    };
    let mut security = allow(vec![
        vec![is(Attribute::TokenPrincipal, "issuer-1/sub-1")],
        vec![is(Attribute::Path, "/healthz")],
    ]);
    security.token_rules.push(rule);
    mesh.secure(security);
    let token = |issuer: &Issuer, iss: &str, sub: &str, exp: u64| {
        format!("Bearer {}", issuer.sign(&json!({ "iss": iss, "sub": sub, "exp": exp })))
    };
    let (later, past) = (u64::MAX / 2, 1_000_000);
    let mut client = mesh.http1(80).await;
    for (path, authorization, status, body) in [
        ("/", None, 403, "RBAC: access denied"),
        ("/", Some(token(&issuer, "issuer-1", "sub-1", later)), 200, "v1"),
        ("/", Some(token(&issuer, "issuer-1", "sub-2", later)), 403, "RBAC: access denied"),
        ("/", Some(token(&issuer, "issuer-1", "sub-1", past)), 401, "Jwt is expired"),
        ("/", Some(token(&stranger, "issuer-1", "sub-1", later)), 401, "Jwt verification fails"),
        ("/", Some(token(&stranger, "issuer-9", "sub-1", later)), 401, "Jwt issuer is not configured"),
        ("/healthz", None, 200, "v1"),
        ("/healthz", Some(token(&issuer, "issuer-1", "sub-1", past)), 401, "Jwt is expired"),
    ] {
        let mut asked = with(request("GET", path), "x-user", "forged");
        if let Some(authorization) = &authorization {
            asked = with(asked, "authorization", authorization);
        }
        let reply = client.send(asked).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{path} {authorization:?}");
        let challenge = (status == 401)
            .then_some(format!("Bearer realm=\"http://reviews{path}\", error=\"invalid_token\""));
        assert_eq!(reply.header("www-authenticate"), challenge.as_deref());
    }
    let seen = v1.seen();
    assert_eq!(seen.iter().map(|it| it.header("x-user")).collect::<Vec<_>>(), [Some("sub-1"), None]);
    assert!(seen.iter().all(|it| it.header("authorization").is_none()), "the token ends here");
}

/// Echoes what it is sent.
async fn echo(mesh: &Mesh) {
    let listener = TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    mesh.add(mesh.endpoint("echo", REVIEWS, listener.local_addr().unwrap()));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
}

#[tokio::test]
async fn az_connections_without_http_are_judged_by_what_they_have() {
    let mesh = Mesh::start().await;
    echo(&mesh).await;
    let passes = async |security: Security| {
        mesh.secure(security);
        match mesh.tunnel(mesh.target(86)).await {
            Err(_) => false,
            Ok(mut stream) => {
                stream.write_all(b"x").await.unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.is_ok()
            }
        }
    };
    let from = |namespace: &str| is(Attribute::SourceNamespace, namespace);
    let get = || is(Attribute::Method, "GET");
    let port = |port| Condition {
        attribute: Attribute::DestinationPort,
        any_of: vec![Pattern::Port(port)],
        none_of: vec![],
    };
    assert!(passes(Security::default()).await);
    assert!(passes(allow(vec![vec![from("shop"), port(86)]])).await);
    assert!(!passes(allow(vec![vec![from("other")]])).await);
    assert!(!passes(allow(vec![vec![from("shop"), get()]])).await, "half a permission is none");
    assert!(!passes(deny(vec![vec![from("shop"), get()]])).await, "half a prohibition is a wider one");
    assert!(passes(deny(vec![vec![port(80)]])).await);
}

#[tokio::test]
async fn l4_14_a_connection_ends_when_policies_no_longer_permit_it() {
    let mesh = Mesh::start().await;
    echo(&mesh).await;
    let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    let mut byte = [0];
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    mesh.secure(allow(vec![vec![is(Attribute::SourceNamespace, "shop")]]));
    stream.write_all(b"y").await.unwrap();
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"y", "still permitted");
    mesh.secure(deny(vec![vec![]]));
    assert!(stream.read_exact(&mut byte).await.is_err(), "cut");
}
