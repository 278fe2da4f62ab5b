//! Asking one endpoint once, over a connection of its own: whoever takes no connection is not well, although one from
//! before may still be open. The way there is that of requests: by HBONE as the waypoint where the endpoint takes it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_model::{HealthCheck, HttpProbe, Probe};
use mesh_proto::grpc::health::v1 as proto;
use mesh_state::Endpoint;
use prost::Message;
use proto::health_check_response::ServingStatus;
use thiserror::Error;

use crate::http::{ClientBody, RequestBody};
use crate::own_call::{CallError, message_of};
use crate::own_request::{self, OwnRequest};
use crate::upstream::{Client, Hop, OpenError, Terms, Upstream, Version, Wire};

const METHOD: &str = "/grpc.health.v1.Health/Check";
const AGENT: HeaderValue = HeaderValue::from_static("adit-health-check");
/// What the head of an answer may take.
const LARGEST_HEAD: usize = 64 * 1024;
/// More of an answer is not read.
const LARGEST_ANSWER: usize = 4 * 1024;

/// How the endpoints of a service are asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) check: HealthCheck,
    pub(super) terms: Option<Arc<Terms>>,
    /// What HTTP is spoken in.
    pub(super) version: Version,
}

/// Why an endpoint is not well.
#[derive(Debug, Error)]
pub(super) enum NotWell {
    #[error("it did not answer within {0:?}")]
    TooSlow(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] OpenError),
    #[error("its connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("{0}")]
    NoAnswer(#[from] CallError),
    #[error("it says of itself that it is {0}")]
    NotServing(&'static str),
    #[error("the check's host or path is none; mend the policy")]
    NoQuestion,
}

/// Asks an endpoint, and waits for so long as the check allows.
pub(super) async fn ask(
    upstream: &Upstream,
    endpoint: &Arc<Endpoint>,
    question: &Question,
) -> Result<(), NotWell> {
    let patience = question.check.timeout;
    let asked = tokio::time::timeout(patience, fetch(upstream, endpoint, question)).await;
    asked.unwrap_or(Err(NotWell::TooSlow(patience)))
}

async fn fetch(upstream: &Upstream, endpoint: &Arc<Endpoint>, question: &Question) -> Result<(), NotWell> {
    let (host, protocol) = match &question.check.probe {
        Probe::Http(http) => (Some(&*http.host), Some(question.version)),
        Probe::Grpc { host, .. } => (Some(&**host), Some(Version::Http2)),
        Probe::Tcp => (None, None),
    };
    let hop = Hop {
        endpoint,
        rivals: &[],
        terms: question.terms.as_ref(),
        client: Client { address: SocketAddr::new(upstream.me.ip, 0), target: endpoint.address },
        authority: host,
        open: upstream.me.sandwiched,
    };
    let wire = upstream.connect(&hop, protocol.map(Version::protocol), None).await?;
    match &question.check.probe {
        Probe::Tcp => Ok(()),
        Probe::Http(http) => ask_http(wire, question.version, http).await,
        Probe::Grpc { service, host } => ask_grpc(wire, host, service).await,
    }
}

async fn ask_http(wire: Wire, version: Version, probe: &HttpProbe) -> Result<(), NotWell> {
    let request = request(version, probe).ok_or(NotWell::NoQuestion)?;
    let response = match version {
        Version::Http1 => {
            let builder = &mut http1::Builder::new();
            let (mut sender, connection) =
                builder.max_buf_size(LARGEST_HEAD).handshake(TokioIo::new(wire)).await?;
            over(connection, sender.send_request(request)).await?
        }
        Version::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(wire)).await?;
            over(connection, sender.send_request(request)).await?
        }
    };
    let status = response.status().as_u16();
    match probe.expected.iter().any(|range| range.includes(status)) {
        true => Ok(()),
        false => Err(NotWell::Status(status)),
    }
}

/// None if the host is no authority, or the path no path.
fn request(version: Version, probe: &HttpProbe) -> Option<OwnRequest> {
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::from_bytes(probe.method.as_bytes()).ok()?;
    match version {
        Version::Http1 => {
            *request.uri_mut() = probe.path.parse().ok()?;
            request.headers_mut().insert(HOST, probe.host.parse().ok()?);
        }
        Version::Http2 => {
            let uri = Uri::builder().scheme("http").authority(&*probe.host).path_and_query(&*probe.path);
            *request.uri_mut() = uri.build().ok()?;
            *request.version_mut() = http::Version::HTTP_2;
        }
    }
    request.headers_mut().insert(USER_AGENT, AGENT);
    Some(request)
}

async fn ask_grpc(wire: Wire, host: &str, service: &str) -> Result<(), NotWell> {
    let question = proto::HealthCheckRequest { service: service.to_owned() };
    let mut request = own_request::grpc(host, METHOD, &question).ok_or(NotWell::NoQuestion)?;
    request.headers_mut().insert(USER_AGENT, AGENT);
    let (mut sender, connection) =
        http2::handshake::<_, _, RequestBody<ClientBody>>(TokioExecutor::new(), TokioIo::new(wire)).await?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let read = Limited::new(body, LARGEST_ANSWER).collect().await;
        let read = read.map_err(|error| CallError::Nonsense(error.to_string()))?;
        let trailers = read.trailers().cloned();
        Ok::<_, NotWell>(message_of(head.status, &head.headers, trailers.as_ref(), read.to_bytes())?)
    };
    match serving_status(over(connection, exchange).await?)? {
        ServingStatus::Serving => Ok(()),
        other => Err(NotWell::NotServing(other.as_str_name())),
    }
}

/// What a server says of itself.
pub(crate) fn serving_status(message: Bytes) -> Result<ServingStatus, CallError> {
    let answer = proto::HealthCheckResponse::decode(message);
    Ok(answer.map_err(|error| CallError::Nonsense(error.to_string()))?.status())
}

/// Carries out an exchange while its connection is driven. The connection's end is not the exchange's, which may have got
/// all it needs by then.
async fn over<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        _ = connection => exchange.await,
    }
}
