//! What the fuzz targets reach of this crate: how requests are told from other
//! traffic, made uniform, judged by policies and by routes.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use mesh_authz::{Call, Connection, Request, authorize_call, questions};
use mesh_model::{Identity, ServiceConfig, WaypointConfig};
use mesh_proto::grpc::health::v1::health_check_response::ServingStatus;

use crate::client_hello::{self, Greeting};
use crate::consent::{self, Opinion};
use crate::detect::{self, Protocol};
use crate::health;
use crate::http::normalise::{self, Kind};
use crate::http::{Decoder, Lines};
use crate::own_call::message_of;
use crate::rate_limits;
use crate::routes::{Action, PathMatched, ServiceRoutes, Subject, Verdict, authority_of};
use crate::session::Token;
use crate::tokens::{self, TokenCheck};

/// What is spoken, as far as these first bytes tell.
pub fn guess(bytes: &[u8]) -> Option<&'static str> {
    detect::guess(bytes).map(|protocol| match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
        Protocol::Tcp => "TCP",
    })
}

/// Where the first line ends on an HTTP/1 connection that must not pass.
pub fn refused_line<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<usize> {
    let mut lines = Lines::default();
    let mut passed = 0;
    pieces.into_iter().find_map(|piece| {
        let fault = lines.find_fault(piece).map(|place| passed + place);
        passed += piece.len();
        fault
    })
}

/// What a body of gRPC-web says in base64, whatever the pieces it comes in; none if it cannot be read.
pub fn base64_body<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(&decoder.read(piece).ok()?);
    }
    decoder.end().ok().map(|()| all)
}

/// The name that TLS asks for, or that it asks for none; nothing while that is open.
pub fn name_asked_for(bytes: &[u8]) -> Option<Option<String>> {
    match client_hello::read(bytes) {
        Greeting::Unfinished => None,
        Greeting::Name(name) => Some(Some(name)),
        Greeting::Nothing => Some(None),
    }
}

/// Whether an endpoint says by gRPC that it serves; none if the answer makes no sense.
pub fn serves(answer: &[u8]) -> Option<bool> {
    let ok = HeaderMap::from_iter([("grpc-status".parse().ok()?, HeaderValue::from_static("0"))]);
    let message = message_of(StatusCode::OK, &ok, None, answer.to_vec().into()).ok()?;
    Some(health::serving_status(message).ok()? == ServingStatus::Serving)
}

/// Makes the changes to a request's headers that an answer by gRPC to a question about it asks for; or the status of
/// its denial. None if it makes no sense.
pub fn consent(answer: &[u8], headers: &mut HeaderMap) -> Option<Result<(), StatusCode>> {
    let ok = HeaderMap::from_iter([("grpc-status".parse().ok()?, HeaderValue::from_static("0"))]);
    match consent::read_grpc(StatusCode::OK, &ok, None, answer.to_vec().into()).ok()? {
        Opinion::Consent(changes) => {
            changes.request.apply(headers);
            Some(Ok(()))
        }
        Opinion::Denial(denied) => Some(Err(denied.status)),
    }
}

/// Makes the changes to a request's headers that an answer by gRPC to a question about so many limits asks for; about how
/// many it says something. None if it makes no sense.
pub fn counted(answer: &[u8], limits: usize, headers: &mut HeaderMap) -> Option<usize> {
    let ok = HeaderMap::from_iter([("grpc-status".parse().ok()?, HeaderValue::from_static("0"))]);
    let message = message_of(StatusCode::OK, &ok, None, answer.to_vec().into()).ok()?;
    let answer = rate_limits::decode(message, limits).ok()?;
    answer.request.apply(headers);
    answer.response.apply(headers);
    Some(answer.counted.len())
}

/// A session as its client brings it, written again; none if it is none.
pub fn session_token(text: &str) -> Option<String> {
    Token::read(text).map(Token::write)
}

/// Makes a request uniform, or says with which status it is refused. Whether it asked for WebSocket comes back.
pub fn normalise(head: &mut Parts) -> Result<bool, StatusCode> {
    let kind = Kind::of(head);
    normalise::normalise(head, kind).map(|()| kind.websocket).map_err(|reply| reply.status)
}

/// Routes a uniform request, its filters included. How much of the path the rule took comes
/// back, and where a redirect leads. Panics where the rule is not the first that matches.
pub fn route(config: &ServiceConfig, head: &mut Parts, port: u16) -> Option<(usize, Option<HeaderValue>)> {
    let routes = ServiceRoutes::compile(config);
    let subject = Subject { head, source_namespace: Some("default"), service_port: port, token: None };
    let (found, expected) = (routes.judge(subject), routes.judge_one_by_one(subject));
    assert!(is_same(&found, &expected), "{found:?} instead of {expected:?}");
    let Verdict::Rule(rule, matched) = found else { return None };
    let taken = match matched {
        PathMatched::Whole => head.uri.path().len(),
        PathMatched::Prefix(length) | PathMatched::Segments(length) => length,
    };
    let location = match &rule.action {
        Action::Redirect(redirection) => {
            let response = redirection.answer(head, matched, port).into_response(false);
            response.headers().get(http::header::LOCATION).cloned()
        }
        _ => None,
    };
    rule.request_headers.apply(&mut head.headers);
    if let (Some(edit), Some(old)) = (&rule.new_path, head.uri.path_and_query())
        && let Some(new) = edit.apply(old, matched)
    {
        head.uri = new.into();
    }
    Some((taken, location))
}

fn is_same(one: &Verdict, other: &Verdict) -> bool {
    match (one, other) {
        (Verdict::Rule(rule, path), Verdict::Rule(expected, part)) => {
            std::ptr::eq(&**rule, &**expected) && path == part
        }
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// Judges a uniform request by a waypoint's policies and token rules at a time, in seconds since 1970: whether it
/// passes, or why its token is bad.
pub fn judge(config: &WaypointConfig, head: &mut Parts, now: u64) -> Result<bool, String> {
    let checks: Vec<TokenCheck> = config.security.token_rules.iter().map(TokenCheck::compile).collect();
    let token = tokens::check(checks.iter(), head, now).map_err(|error| error.to_string())?;
    let identity = Identity::new("cluster.local", "default", "client");
    let source = std::net::IpAddr::from([10, 0, 0, 1]);
    let request = Request {
        method: head.method.as_str(),
        host: authority_of(head),
        path: head.uri.path(),
        headers: &head.headers,
        token: token.as_ref(),
    };
    let destination = std::net::SocketAddr::from(([10, 96, 0, 1], 80));
    let connection = Connection { source, source_identity: Some(&identity), destination };
    let call = Call { connection, remote: Some(source), sni: None, request: Some(request) };
    let policies = config.security.policies.iter();
    // Nobody is there to be asked.
    let Ok(consent) = questions(policies.clone(), &call).close() else { return Ok(false) };
    Ok(authorize_call(policies, &call, consent).is_ok())
}
