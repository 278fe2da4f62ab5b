//! The path of a request, from the client's connection to a backend and back:
//! [`answer`] is the list of its steps.

mod attempts;
mod authorize;
mod body;
mod client_identity;
mod consent;
mod cors;
mod edits;
mod fault;
mod grpc_web;
mod headers;
mod hedge;
mod mirror;
pub(crate) mod normalise;
mod path;
mod rate_limit;
mod redirect;
mod reply;
mod report;
mod request_id;
mod response;
mod retry;
mod server;
mod strict;
mod upgrade;
mod version;

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, SERVER};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use mesh_authz::Token;
use mesh_telemetry::RequestFlags;
use tokio::time::Instant;

use crate::routes::{Action, Backend, PathMatched, Rule, ServiceRoutes, Subject, Verdict};
use crate::security::Guards;
use crate::session;
use crate::tunnel::Tunnel;
use crate::upstream::Answer;
use attempts::Outgoing;
use body::BodySource;
use normalise::Kind;
use reply::Reply;
use report::Exchange;
use response::ResponseBody;

pub(crate) use attempts::{find_terms, request_for};
pub(crate) use body::{Beginning, RequestBody};
pub(crate) use cors::Cors;
pub(crate) use edits::{Edits, How, editable};
pub(crate) use fault::includes;
pub(crate) use grpc_web::ClientBody;
pub(crate) use headers::{HeaderEdit, is_framing};
pub(crate) use path::PathEdit;
pub(crate) use redirect::Redirection;
pub(crate) use reply::grpc;
pub(crate) use retry::{Failure, RetryPolicy};
pub(crate) use server::serve;
pub(crate) use version::version_for;
#[cfg(fuzzing)]
pub(crate) use {grpc_web::Decoder, strict::Lines};

const UPSTREAM_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// Answers one request that came through a tunnel.
pub(crate) async fn answer(tunnel: Arc<Tunnel>, request: Request<Incoming>) -> Response<ResponseBody> {
    let mut edits = Edits::default();
    let mut response = carry_out(tunnel, request, &mut edits).await;
    edits.apply(response.headers_mut());
    response
}

/// `edits` is what is to change in the response, whatever it is.
async fn carry_out(
    tunnel: Arc<Tunnel>,
    mut request: Request<Incoming>,
    edits: &mut Edits,
) -> Response<ResponseBody> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let mut kind = Kind::of(&head);
    request_id::ensure(&mut head.headers);
    // Found once, so that a request is routed and reported by what it was judged by.
    let guards = Guards::find(&tunnel);
    if guards.as_deref().is_some_and(|guards| guards.speaks_grpc_web(tunnel.target.port())) {
        kind = kind.or_grpc_web(grpc_web::accept(&mut head.headers));
    }
    let mut exchange = Exchange::begin(&tunnel, &mut head, kind, guards.as_deref().map(Guards::reporting));
    let (body, damage) = ClientBody::new(body, kind.grpc_web);
    let body = BodySource::new(body, exchange.received());

    // Awaited where it is made: what has a name first is copied for every request.
    let routed = async {
        normalise::normalise(&mut head, kind)?;
        let guards = guards.as_deref().ok_or_else(authorize::not_configured)?;
        client_identity::forward(&tunnel, guards, &mut head.headers);
        let consent = consent::obtain(&tunnel, guards, (&mut head, &body, kind), edits).await?;
        let (permit, token) = authorize::authorize(&tunnel, guards, &mut head, consent)?;
        let (rule, matched) = route(&tunnel, guards.routes(), &head, token.as_ref())?;
        exchange.routed(&rule.name);
        if let Some(cors) = &rule.cors {
            cors.share(&head, edits)?;
        }
        rate_limit::admit(&tunnel, guards, (&mut head, &rule.name), edits).await?;
        let fault = fault::throw(&rule.fault);
        exchange.flag(fault.flags());
        fault.inject().await?;
        Ok::<_, Reply>((rule, matched, permit))
    }
    .await;
    let (rule, matched, permit) = match routed {
        Ok(routed) => routed,
        Err(reply) => return reply::respond(damage.explain(reply), kind, None, exchange),
    };

    let begin = Instant::now();
    let deadline = attempts::deadline_of(rule, begin);
    let forwarded = async {
        let backend = backend_of(rule, &head, matched, &tunnel)?;
        change_request(rule, backend, &mut head, matched)?;
        let outgoing = Outgoing { head, body, kind };
        mirror::send_copies(&tunnel, rule, &outgoing);
        let hedging = guards.as_deref().and_then(|guards| guards.find_hedging(&rule.name));
        let to = (&**rule, &backend.destination, hedging);
        let answer = attempts::run(permit, &tunnel, to, &outgoing, &mut exchange, deadline).await?;
        Ok::<_, Reply>((answer, backend))
    }
    .await;
    match forwarded {
        Ok((answer, backend)) => {
            let upstream_time = begin.elapsed();
            let changed = change_response(rule, backend, answer, kind, upstream_time);
            exchange.answered(changed.response.status(), changed.response.headers(), Some(upstream_time));
            respond(changed, upgrade, (exchange, kind), deadline, &tunnel)
        }
        Err(reply) => {
            let reply = damage.explain(reply);
            reply::respond(reply, kind, Some(&rule.response_headers), exchange)
        }
    }
}

/// The rule that takes a request: the first that matches (GW-36), or the one
/// that sends what nobody governs to where it was going.
fn route<'r>(
    tunnel: &'r Tunnel,
    routes: Option<&'r ServiceRoutes>,
    head: &Parts,
    token: Option<&Token>,
) -> Result<(&'r Arc<Rule>, PathMatched), Reply> {
    let straight = || Ok((&tunnel.straight, PathMatched::Whole));
    let Some(routes) = routes else { return straight() };
    let source_namespace = Some(&*tunnel.identity.namespace);
    let subject = Subject { head, source_namespace, service_port: tunnel.target.port(), token };
    match routes.judge(subject) {
        Verdict::Rule(rule, matched) => Ok((rule, matched)),
        Verdict::Ungoverned => straight(),
        Verdict::NoMatch => {
            Err(Reply::new(StatusCode::NOT_FOUND, "route_not_found").flagged(RequestFlags::NO_ROUTE))
        }
    }
}

/// The backend a rule sends a request to, by weight; or what the rule answers itself.
fn backend_of<'r>(
    rule: &'r Rule,
    head: &Parts,
    matched: PathMatched,
    tunnel: &Tunnel,
) -> Result<&'r Backend, Reply> {
    let broken = |details| Reply::new(StatusCode::INTERNAL_SERVER_ERROR, details);
    match &rule.action {
        Action::Forward(backends) => {
            let backend = session::choose_backend(rule, backends, head, tunnel);
            backend.ok_or_else(|| broken("cluster_not_found"))
        }
        Action::Redirect(redirection) => Err(redirection.answer(head, matched, tunnel.target.port())),
        Action::Direct(direct) => {
            let status = StatusCode::from_u16(direct.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(Reply::new(status, "direct_response").with_body(direct.body.to_vec()))
        }
        Action::Broken => Err(broken("invalid_route")),
    }
}

/// Changes to the request. The rule's come last, so that they win (L7-03).
fn change_request(
    rule: &Rule,
    backend: &Backend,
    head: &mut Parts,
    matched: PathMatched,
) -> Result<(), Reply> {
    backend.request_headers.apply(&mut head.headers);
    rule.request_headers.apply(&mut head.headers);
    if let Some(authority) = &rule.new_authority {
        head.headers.insert(http::header::HOST, authority.clone());
    }
    if let (Some(edit), Some(old)) = (&rule.new_path, head.uri.path_and_query()) {
        let invalid = || Reply::new(StatusCode::INTERNAL_SERVER_ERROR, "path_rewrite_invalid");
        let new = edit.apply(old, matched).ok_or_else(invalid)?;
        if let Ok(original) = HeaderValue::from_str(old.as_str()) {
            head.headers.insert(ORIGINAL_PATH, original);
        }
        head.uri = new.into();
    }
    Ok(())
}

/// Changes to a backend's response.
fn change_response(
    rule: &Rule,
    backend: &Backend,
    mut answer: Answer,
    kind: Kind,
    upstream_time: Duration,
) -> Answer {
    let headers = answer.response.headers_mut();
    normalise::strip_connection_headers(headers, kind.websocket);
    let milliseconds = u64::try_from(upstream_time.as_millis()).unwrap_or(u64::MAX);
    headers.insert(UPSTREAM_TIME, HeaderValue::from(milliseconds));
    // What clients of the mesh expect of a waypoint (wire.md §11).
    headers.insert(SERVER, HeaderValue::from_static("istio-envoy"));
    backend.response_headers.apply(headers);
    rule.response_headers.apply(headers);
    answer
}

/// The response as it goes to the client; a WebSocket's connections are joined.
fn respond(
    Answer { mut response, lease }: Answer,
    client: OnUpgrade,
    (exchange, kind): (Exchange, Kind),
    deadline: Option<Instant>,
    tunnel: &Tunnel,
) -> Response<ResponseBody> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::join(response, client, (exchange, lease), tunnel.drain.clone());
    }
    // What is no gRPC stays what it is.
    let form = kind.grpc_web.filter(|form| form.answer(response.headers_mut()));
    response.map(|body| ResponseBody::backend(body, lease, exchange, deadline).told_in(form))
}
