//! Attempts: send a request to an endpoint, and to another one where the rule says so.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, StatusCode, Uri};
use mesh_authz::Permit;
use mesh_model::NamespacedHostname;
use mesh_telemetry::RequestFlags;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::{BodySource, RequestBody};
use super::grpc_web::ClientBody;
use super::hedge::{may_hedge, race};
use super::normalise::Kind;
use super::reply::{Reply, grpc};
use super::report::Exchange;
use super::retry::Failure;
use super::version::version_for;
use crate::balance::{Caller, Chosen, NoEndpoint, Outcome};
use crate::hedging::Hedging;
use crate::outside::fetch_endpoint;
use crate::routes::{Destination, Rule};
use crate::session::Session;
use crate::tunnel::Tunnel;
use crate::upstream::{Answer, Client, Hop, SendError, Terms, Version};

const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// A request as it goes to the backend.
pub(crate) struct Outgoing {
    pub(crate) head: Parts,
    pub(crate) body: BodySource<ClientBody>,
    pub(crate) kind: Kind,
}

/// What all attempts of a request have in common.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) tunnel: &'a Tunnel,
    pub(super) rule: &'a Rule,
    pub(super) destination: &'a Destination,
    terms: Option<&'a Arc<Terms>>,
    outgoing: &'a Outgoing,
    pub(super) deadline: Option<Instant>,
}

/// The request's end of time, if its rule sets one.
pub(crate) fn deadline_of(rule: &Rule, begin: Instant) -> Option<Instant> {
    rule.request_timeout.and_then(|limit| begin.checked_add(limit))
}

/// Tries until there is a response to pass on. `deadline` bounds all of it, pauses included (RES-11).
pub(crate) async fn run(
    _permit: Permit,
    tunnel: &Tunnel,
    (rule, destination, hedging): (&Rule, &Destination, Option<&Hedging>),
    outgoing: &Outgoing,
    exchange: &mut Exchange,
    deadline: Option<Instant>,
) -> Result<Answer, Reply> {
    let terms = find_terms(tunnel, destination);
    let course = Course { tunnel, rule, destination, terms: terms.as_ref(), outgoing, deadline };
    let _active = hedging.map(Hedging::enter_request);
    // Awaited where it is made, here and below: what has a name first is copied for every request.
    let answer = match deadline {
        None => attempts(course, hedging, exchange).await?,
        Some(deadline) => match timeout_at(deadline, attempts(course, hedging, exchange)).await {
            Ok(result) => result?,
            Err(_) => {
                exchange.heard(Some(Outcome::TimedOut));
                return Err(reply_for(Failure::Timeout, "response_timeout"));
            }
        },
    };
    if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS && !outgoing.kind.websocket {
        // Nobody asked for that, and nobody could speak it.
        let reply = Reply::new(StatusCode::BAD_GATEWAY, "upstream_protocol_error");
        return Err(reply.flagged(RequestFlags::UPSTREAM_RESET));
    }
    Ok(answer)
}

async fn attempts(
    course: Course<'_>,
    hedging: Option<&Hedging>,
    exchange: &mut Exchange,
) -> Result<Answer, Reply> {
    let Course { tunnel, rule, destination, outgoing, .. } = course;
    let (policy, terms) = (&rule.retry, course.terms);
    // Attempts after the first have had their delay.
    let mut hedging = hedging.filter(|_| may_hedge(rule, outgoing));
    let session = Session::of(rule, &outgoing.head);
    let mut caller = Caller::of_request(tunnel, &outgoing.head).bound_by(session.as_ref());
    // Counts the attempt that is on its way, if it is not the first.
    let mut retry = None;
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut round = 1;
    loop {
        let avoided = if policy.avoid_previous_hosts { tried.as_slice() } else { &[] };
        let fetched = fetch_endpoint(tunnel, destination, &mut caller, avoided).await;
        let (chosen, on_its_way) = fetched.map_err(reply_without_endpoint)?;
        tried.push(chosen.endpoint.address);
        exchange.sent_to(&chosen.endpoint, on_its_way, || cluster_name(destination));
        let (chosen, mut result) = match hedging.take() {
            None => {
                let number = u32::try_from(tried.len()).unwrap_or(u32::MAX);
                let result = attempt(course, &chosen, number).await;
                exchange.heard(Outcome::of(&result));
                (chosen, result)
            }
            // Few requests may be sent twice, and all would carry the room that takes.
            Some(hedging) => Box::pin(race(course, hedging, chosen, &mut caller, &mut tried, exchange)).await,
        };
        drop(retry.take());
        let again = match &result {
            Ok(answer) => policy.wants_other_than(answer.response.status(), answer.response.headers()),
            Err(error) => policy.wants_after(error.failure),
        };
        let exhausted = round > policy.attempts;
        if again && exhausted && policy.attempts > 0 {
            exchange.flag(RequestFlags::RETRIES_EXHAUSTED);
        }
        let mut worthwhile = again && !exhausted && outgoing.body.can_be_opened_again();
        if let Some(terms) = terms.filter(|_| worthwhile) {
            retry = terms.enter_retry().ok();
            worthwhile = retry.is_some();
            if !worthwhile {
                exchange.flag(RequestFlags::UPSTREAM_OVERFLOW);
            }
        }
        if !worthwhile {
            if let Ok(answer) = &mut result {
                let headers = answer.response.headers_mut();
                caller.give_cookie(headers);
                session.iter().for_each(|session| session.tell(destination, &chosen.endpoint, headers));
            }
            return result.map_err(|SendError { failure, reason }| {
                tracing::debug!(rule = %rule.name, ?failure, %reason, "no response from the backend");
                exchange.failed(reason);
                reply_for(failure, details_of(failure))
            });
        }
        // Gives the connection back, or closes it, before the pause.
        drop(result);
        exchange.let_go();
        tokio::time::sleep(policy.pause(round)).await;
        round += 1;
    }
}

/// Sends a request to an endpoint, the first time with the number 1.
pub(super) async fn attempt(course: Course<'_>, chosen: &Chosen, number: u32) -> Result<Answer, SendError> {
    let Course { tunnel, rule, terms, outgoing, .. } = course;
    let kind = outgoing.kind;
    let asked = terms.map(|terms| terms.version).unwrap_or_default();
    let version = version_for((asked, chosen.app_protocol), outgoing.head.version, kind.grpc, kind.websocket);
    let request = request_for(&outgoing.head, outgoing.body.open(), version, number).ok_or(SendError {
        failure: Failure::Connect,
        reason: "the request's host is no authority".into(),
    })?;
    let hop = hop_for(tunnel, (chosen, terms), &outgoing.head);
    let pool = &tunnel.worker.pool;
    match rule.attempt_timeout {
        None => pool.send(&hop, version, request).await,
        Some(limit) => timeout(limit, pool.send(&hop, version, request)).await.unwrap_or_else(|_| {
            let reason = format!("no response within {limit:?}");
            Err(SendError { failure: Failure::Timeout, reason })
        }),
    }
}

/// How the endpoints of a destination are spoken to, if anything is said of that.
pub(crate) fn find_terms(tunnel: &Tunnel, destination: &Destination) -> Option<Arc<Terms>> {
    tunnel.worker.terms.find(&tunnel.worker.reader, destination)
}

/// An endpoint as a request gets there.
pub(crate) fn hop_for<'a>(
    tunnel: &Tunnel,
    (chosen, terms): (&'a Chosen, Option<&'a Arc<Terms>>),
    head: &'a Parts,
) -> Hop<'a> {
    Hop {
        endpoint: &chosen.endpoint,
        rivals: &chosen.rivals,
        terms,
        client: Client::of(tunnel),
        authority: head.headers.get(HOST).and_then(|host| host.to_str().ok()),
        open: tunnel.open,
    }
}

/// One attempt's request, in the form of its version of HTTP.
pub(crate) fn request_for<B>(
    head: &Parts,
    body: RequestBody<B>,
    version: Version,
    number: u32,
) -> Option<Request<RequestBody<B>>> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    request.headers_mut().insert(ATTEMPT_COUNT, HeaderValue::from(number));
    match version {
        Version::Http1 => *request.uri_mut() = head.uri.clone(),
        Version::Http2 => {
            let host = request.headers_mut().remove(HOST)?;
            let path = head.uri.path_and_query()?.clone();
            let uri = Uri::builder().scheme("http").authority(host.as_bytes()).path_and_query(path);
            *request.uri_mut() = uri.build().ok()?;
            *request.version_mut() = http::Version::HTTP_2;
        }
    }
    Some(request)
}

fn reply_without_endpoint(none: NoEndpoint) -> Reply {
    match none {
        NoEndpoint::Invalid(status) => Reply::new(status, "cluster_not_found"),
        NoEndpoint::OutsideWildcard => {
            Reply::new(StatusCode::NOT_FOUND, "route_not_found").flagged(RequestFlags::NO_ROUTE)
        }
        NoEndpoint::Forbidden => {
            let reply = Reply::new(StatusCode::FORBIDDEN, "host_forbidden");
            reply.flagged(RequestFlags::NO_ROUTE).with_body(none.to_string())
        }
        NoEndpoint::NoneHealthy => reply_for(Failure::NoEndpoint, details_of(Failure::NoEndpoint)),
    }
}

fn reply_for(failure: Failure, details: &'static str) -> Reply {
    let (flags, body) = match failure {
        Failure::NoEndpoint => (RequestFlags::NO_HEALTHY_UPSTREAM, "no healthy upstream"),
        Failure::Overflow => (
            RequestFlags::UPSTREAM_OVERFLOW,
            "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        ),
        Failure::Connect | Failure::Tls => (
            RequestFlags::UPSTREAM_CONNECT_FAILURE,
            "upstream connect error or disconnect/reset before headers",
        ),
        Failure::Timeout => (RequestFlags::UPSTREAM_TIMEOUT, "upstream request timeout"),
        Failure::Refused | Failure::Stale | Failure::Reset => {
            (RequestFlags::UPSTREAM_CLOSED, "upstream connect error or disconnect/reset before headers")
        }
    };
    let reply = Reply::new(failure.status(), details).flagged(flags).with_body(body);
    match failure {
        Failure::Timeout => reply.with_grpc_status(grpc::DEADLINE_EXCEEDED),
        Failure::Overflow => reply.with_header(OVERLOADED, HeaderValue::from_static("true")),
        _ => reply,
    }
}

fn details_of(failure: Failure) -> &'static str {
    match failure {
        Failure::NoEndpoint => "no_healthy_upstream",
        Failure::Connect => "upstream_reset_before_response_started{connection_failure}",
        Failure::Tls => "upstream_reset_before_response_started{connection_failure|TLS_error}",
        Failure::Overflow => "upstream_reset_before_response_started{overflow}",
        Failure::Timeout => "upstream_per_try_timeout",
        Failure::Refused => "upstream_reset_before_response_started{remote_refused_stream_reset}",
        Failure::Stale | Failure::Reset => "upstream_reset_before_response_started{connection_termination}",
    }
}

/// Envoy's name for the endpoints a request is balanced over (telemetry.md §5).
pub(super) fn cluster_name(destination: &Destination) -> String {
    match destination {
        Destination::Service { service: NamespacedHostname { hostname, .. }, port, subset } => {
            let subset = subset.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
            format!("inbound-vip|{port}|http{subset}|{hostname}")
        }
        Destination::Workload(..) | Destination::Invalid(_) => "encap".to_owned(),
    }
}
