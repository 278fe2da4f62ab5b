//! CUSTOM policies: somebody outside decides about a request, by gRPC and by HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt, Full};
use mesh_model::{
    Attribute, AuthorizationService, CheckProtocol, CheckedBody, Condition, HttpCheck, Pattern, PolicyAction,
    PolicyClause, PolicyKey, PolicyRule, RequestPolicy, Security,
};
use mesh_proto::envoy::service::auth::v3 as proto;
use mesh_proto::google::rpc::Status;
use prost::Message;
use proto::check_response::HttpResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::backend::{Act, Backend, Seen};
use super::client::{post, request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::key;

/// Whoever is asked is a service of its own.
const AUTHZ: &str = "authz";

/// Everything under `/private` is asked about.
fn custom() -> Security {
    let path = Condition {
        attribute: Attribute::Path,
        any_of: vec![Pattern::Prefix("/private".into())],
        none_of: vec![],
    };
    let clause = PolicyClause { alternatives: vec![vec![path]] };
    ask_where(vec![PolicyRule { clauses: vec![clause] }])
}

fn ask_where(rules: Vec<PolicyRule>) -> Security {
    let key = PolicyKey::new("shop", "ask");
    let action = PolicyAction::Custom("somebody".into());
    let policy = RequestPolicy { key, action, dry_run: false, rules };
    Security { policies: vec![policy], token_rules: Vec::new() }
}

fn service(port: u16, protocol: CheckProtocol) -> AuthorizationService {
    AuthorizationService {
        provider: "somebody".into(),
        service: key(AUTHZ),
        port,
        timeout: Duration::from_secs(5),
        fail_open: false,
        status_on_error: 403,
        body: None,
        protocol,
    }
}

fn by_grpc() -> AuthorizationService {
    service(7070, CheckProtocol::Grpc)
}

fn by_http(check: HttpCheck) -> AuthorizationService {
    service(80, CheckProtocol::Http(check))
}

fn exact(names: &[&str]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern::Exact((*name).into())).collect()
}

/// A waypoint with a backend, and somebody to ask who does as the script says.
async fn asked(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> (Mesh, Backend, Backend) {
    let mesh = Mesh::start().await;
    let backend = mesh.echo("v1").await;
    mesh.add_service(AUTHZ, 9);
    let authz = Backend::start(mesh.free_ip(), move |_, seen| script(seen)).await;
    mesh.add(mesh.endpoint("authz-1", AUTHZ, authz.address));
    mesh.secure(custom());
    (mesh, backend, authz)
}

fn question(seen: &Seen) -> proto::CheckRequest {
    assert_eq!(seen.path(), "/envoy.service.auth.v3.Authorization/Check");
    assert_eq!(seen.header("content-type"), Some("application/grpc"));
    proto::CheckRequest::decode(seen.body.slice(5..)).unwrap()
}

fn answer(code: i32, http_response: Option<HttpResponse>) -> Act {
    let status = Some(Status { code, ..Status::default() });
    let message = proto::CheckResponse { status, http_response };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.encoded_len() as u32);
    message.encode(&mut frame).unwrap();
    let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
    Act::Answer(response.body(Full::new(frame.freeze()).boxed()).unwrap())
}

fn written(key: &str, value: &str) -> proto::HeaderValueOption {
    let header = proto::HeaderValue { key: key.into(), value: value.into(), ..Default::default() };
    proto::HeaderValueOption { header: Some(header), ..Default::default() }
}

#[tokio::test]
async fn az_custom_by_grpc_consents_and_denies_in_its_own_words() {
    let (mesh, backend, authz) = asked(|seen| {
        let http = question(seen).attributes.unwrap().request.unwrap().http.unwrap();
        match http.headers.get("x-user").map(String::as_str) {
            Some("friend") => answer(
                0,
                Some(HttpResponse::OkResponse(proto::OkHttpResponse {
                    headers: vec![written("x-approved", "yes")],
                    headers_to_remove: vec!["x-user".into()],
                    response_headers_to_add: vec![written("x-by", "somebody")],
                })),
            ),
            _ => answer(
                7,
                Some(HttpResponse::DeniedResponse(proto::DeniedHttpResponse {
                    status: Some(proto::HttpStatus { code: 401 }),
                    headers: vec![written("www-authenticate", "Basic")],
                    body: "who are you?".into(),
                })),
            ),
        }
    })
    .await;
    mesh.let_ask(vec![by_grpc()]);
    let mut client = mesh.http1(80).await;
    let denied = client.get("/private/x").await;
    assert_eq!((denied.status, denied.body.as_str()), (401, "who are you?"));
    assert_eq!(denied.header("www-authenticate"), Some("Basic"));
    assert!(backend.seen().is_empty());

    let forged = with(request("GET", "/private/x?q=1"), "x-user", "friend");
    let passed = client.send(with(forged, "x-approved", "by myself")).await;
    assert_eq!((passed.status, passed.header("x-by")), (200, Some("somebody")));
    let seen = backend.only();
    assert_eq!((seen.header("x-approved"), seen.header("x-user")), (Some("yes"), None));
    assert_eq!(seen.headers.get_all("x-approved").iter().count(), 1, "the client's own is replaced");

    let told = question(&authz.seen()[1]).attributes.unwrap();
    assert_eq!(told.source.unwrap().principal, "spiffe://cluster.local/ns/shop/sa/client");
    let http = told.request.unwrap().http.unwrap();
    assert_eq!((http.path.as_str(), http.host.as_str()), ("/private/x?q=1", "reviews"));

    assert_eq!(client.get("/public").await.status, 200);
    assert_eq!(authz.seen().len(), 2, "nobody is asked about what no policy matches");
}

#[tokio::test]
async fn az_custom_by_http_is_told_what_it_may_know() {
    let (mesh, backend, authz) = asked(|seen| match seen.header("authorization") {
        Some("secret") => {
            let response = Response::builder().header("x-user-id", "7").header("x-other", "1");
            let response = response.header("x-envoy-auth-headers-to-remove", "authorization, x-gone");
            Act::Answer(response.body(Full::default().boxed()).unwrap())
        }
        _ => {
            let response =
                Response::builder().status(302).header("location", "/login").header("x-other", "1");
            Act::Answer(response.body(Full::default().boxed()).unwrap())
        }
    })
    .await;
    mesh.let_ask(vec![by_http(HttpCheck {
        path_prefix: "/check".into(),
        request_headers: vec![Pattern::Prefix("x-tell-".into())],
        additional_headers: vec![("x-from".into(), "waypoint".into())],
        upstream_headers: exact(&["x-user-id"]),
        downstream_headers_on_allow: exact(&["x-other"]),
        downstream_headers_on_deny: exact(&["location"]),
    })]);
    let mut client = mesh.http1(80).await;
    let denied = client.get("/private").await;
    assert_eq!(
        (denied.status, denied.header("location"), denied.header("x-other")),
        (302, Some("/login"), None)
    );
    assert!(backend.seen().is_empty());

    let mut asking = with(post("/private?q=1", "body"), "authorization", "secret");
    for (name, value) in [("x-tell-me", "a"), ("x-secret", "b"), ("x-gone", "c"), ("x-user-id", "forged")] {
        asking = with(asking, name, value);
    }
    let passed = client.send(asking).await;
    assert_eq!((passed.status, passed.header("x-other")), (200, Some("1")));
    let check = &authz.seen()[1];
    assert_eq!(
        (check.method.as_str(), check.path(), check.host()),
        ("POST", "/check/private?q=1", "reviews")
    );
    assert_eq!((check.header("x-tell-me"), check.header("x-secret")), (Some("a"), None));
    assert_eq!((check.header("x-from"), check.body.len()), (Some("waypoint"), 0));
    let seen = backend.only();
    assert_eq!((seen.header("x-user-id"), seen.header("x-other")), (Some("7"), None));
    assert_eq!((seen.header("authorization"), seen.header("x-gone")), (None, None));
    assert_eq!(seen.body, "body");
}

#[tokio::test]
async fn az_custom_bodies_are_told_up_to_a_limit_and_arrive_whole() {
    let (mesh, backend, authz) = asked(|_| Act::text(200, "")).await;
    let body = |allow_partial| CheckedBody { max_bytes: 4, allow_partial, pack_as_bytes: false };
    let service = by_http(HttpCheck::default());
    mesh.let_ask(vec![AuthorizationService { body: Some(body(false)), ..service.clone() }]);
    let mut client = mesh.http1(80).await;
    assert_eq!(client.send(post("/private", "1234")).await.status, 200);
    assert_eq!((authz.only().body, backend.only().body), (Bytes::from("1234"), Bytes::from("1234")));
    assert_eq!(authz.only().header("x-envoy-auth-partial-body"), Some("false"));
    assert_eq!(mesh.http1(80).await.send(post("/private", "12345")).await.status, 413);
    assert_eq!(authz.seen().len(), 1);

    mesh.let_ask(vec![AuthorizationService { body: Some(body(true)), ..service }]);
    let large = Bytes::from(vec![b'x'; 300_000]);
    assert_eq!(mesh.http2(85).await.send(post("/private", large.clone())).await.status, 200);
    let check = &authz.seen()[1];
    assert_eq!(
        (check.body.as_ref(), check.header("x-envoy-auth-partial-body")),
        (&b"xxxx"[..], Some("true"))
    );
    assert_eq!(backend.seen()[1].body, large);
}

#[tokio::test]
async fn az_custom_without_an_answer_closes_unless_it_may_open() {
    let (mesh, backend, _authz) = asked(|seen| match seen.path() {
        "/private/slow" => Act::Hang,
        "/private/broken" => Act::Reset,
        _ => Act::text(503, "ill"),
    })
    .await;
    let service = AuthorizationService {
        timeout: Duration::from_millis(200),
        status_on_error: 503,
        ..by_http(HttpCheck::default())
    };
    let nowhere = AuthorizationService { service: key("nobody"), ..service.clone() };
    let paths = ["/private/slow", "/private/broken", "/private/ill"];
    for path in paths {
        mesh.let_ask(vec![service.clone()]);
        assert_eq!(mesh.http1(80).await.get(path).await.status, 503, "{path}");
    }
    mesh.let_ask(vec![nowhere]);
    assert_eq!(mesh.http1(80).await.get("/private").await.status, 503);
    mesh.let_ask(vec![]);
    let unknown = mesh.http1(80).await.get("/private").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (403, "RBAC: access denied"));
    assert!(backend.seen().is_empty());
    mesh.let_ask(vec![AuthorizationService { fail_open: true, ..service }]);
    for path in paths {
        assert_eq!(mesh.http1(80).await.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn az_custom_comes_before_tokens_and_other_policies() {
    let (mesh, backend, _authz) = asked(|_| {
        let response = Response::builder().header("x-role", "admin").body(Full::default().boxed());
        Act::Answer(response.unwrap())
    })
    .await;
    let check = HttpCheck { upstream_headers: exact(&["x-role"]), ..HttpCheck::default() };
    mesh.let_ask(vec![by_http(check)]);
    let admin = Condition {
        attribute: Attribute::Header("x-role".into()),
        any_of: vec![Pattern::Exact("admin".into())],
        none_of: vec![],
    };
    let clause = PolicyClause { alternatives: vec![vec![admin]] };
    let mut security = custom();
    security.policies.push(RequestPolicy {
        key: PolicyKey::new("shop", "admins"),
        action: PolicyAction::Allow,
        dry_run: false,
        rules: vec![PolicyRule { clauses: vec![clause] }],
    });
    mesh.secure(security);
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/private").await.status, 200);
    assert_eq!(client.get("/public").await.status, 403);
    assert_eq!(backend.only().header("x-role"), Some("admin"));
}

#[tokio::test]
async fn az_custom_about_connections_by_grpc() {
    let allowed = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let decides = allowed.clone();
    let (mesh, _backend, authz) = asked(move |seen| {
        assert!(question(seen).attributes.unwrap().request.unwrap().http.is_none());
        answer(if decides.load(std::sync::atomic::Ordering::SeqCst) { 0 } else { 7 }, None)
    })
    .await;
    let listener = TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    mesh.writer.change(|edit| edit.remove_workload(&super::samples::workload("v1", mesh.free_ip()).uid));
    mesh.add(mesh.endpoint("tcp", REVIEWS, listener.local_addr().unwrap()));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            tokio::spawn(async move { stream.read(&mut [0; 1]).await });
        }
    });
    mesh.secure(ask_where(vec![PolicyRule::default()]));
    mesh.let_ask(vec![by_grpc()]);
    let mut greeting = [0; 5];
    let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello");
    assert_eq!(authz.seen().len(), 1);
    allowed.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(mesh.tunnel(mesh.target(86)).await.is_err());
    mesh.let_ask(vec![by_http(HttpCheck::default())]);
    assert!(mesh.tunnel(mesh.target(86)).await.is_err(), "only requests can be asked about by HTTP");
}
