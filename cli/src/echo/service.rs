//! The answers of an echo to HTTP and gRPC requests.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::behaviour::Behaviour;
use super::failures::Failures;
use super::name::Name;
use super::onward;
use super::stats::Stats;
use super::tls::AskedName;
use super::url::Url;
use crate::grpc;

/// Largest request body read.
const MAX_BODY: usize = 1 << 20;
/// The path of the one gRPC method: a message with one text field in, one out.
pub(super) const METHOD: &str = "/adit.echo.v1.Echo/Echo";
/// What probes ask.
const HEALTH_METHOD: &str = "/grpc.health.v1.Health/Check";
/// The gRPC statuses given without a wish.
const INVALID_ARGUMENT: u16 = 3;
const UNIMPLEMENTED: u16 = 12;
const UNAVAILABLE: u16 = 14;

pub(super) type Body = BoxBody<Bytes, std::convert::Infallible>;

/// What all ports of one echo share.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) name: Name,
    /// Called for every request, besides what the request itself asks for.
    pub(super) calls: Vec<Url>,
    pub(super) quiet: bool,
    pub(super) stats: Stats,
    pub(super) failures: Mutex<Failures>,
}

/// The request wants its connection closed instead of an answer.
#[derive(Debug, Error)]
#[error("closed as the request wished")]
pub(super) struct Closed;

impl Echo {
    /// Writes a line about something that arrived.
    pub(super) fn log(&self, line: fmt::Arguments<'_>) {
        if !self.quiet {
            // Serving goes on when nobody reads along.
            let _ = writeln!(io::stdout(), "{} {line}", self.name.label());
        }
    }

    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        source: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Closed> {
        match request.uri().path() {
            "/healthz" => return Ok(plain(StatusCode::OK, "ok\n")),
            "/stats" => {
                return Ok(with_type(plain(StatusCode::OK, self.stats.to_json()), "application/json"));
            }
            _ => {}
        }
        let (head, body) = request.into_parts();
        let is_grpc = head.headers.get(CONTENT_TYPE).is_some_and(grpc::is_grpc);
        if is_grpc {
            self.stats.grpc(head.uri.path())
        } else {
            self.stats.http(head.uri.path())
        }
        self.log(format_args!("{:?} {} {} from {source}", head.version, head.method, head.uri));
        let behaviour = match Behaviour::of(&head.uri, &head.headers) {
            Ok(behaviour) => behaviour,
            Err(reason) if is_grpc => return Ok(grpc_status(INVALID_ARGUMENT, &reason)),
            Err(reason) => return Ok(plain(StatusCode::BAD_REQUEST, format!("{reason}\n"))),
        };
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB\n"));
        };
        tokio::time::sleep(behaviour.delay).await;
        let fail = self.is_failing(&behaviour, &head.headers);
        if behaviour.close && (fail || behaviour.fail == 0) {
            return Err(Closed);
        }
        let body = body.to_bytes();
        let mut response = if is_grpc {
            self.grpc(&head, &behaviour, source, &body, fail)
        } else {
            self.http(&head, &behaviour, source, &body, fail).await
        };
        response.headers_mut().extend(behaviour.headers);
        Ok(response)
    }

    fn is_failing(&self, behaviour: &Behaviour, headers: &HeaderMap) -> bool {
        let id = || headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let key = behaviour.key.as_deref().unwrap_or_else(id);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).take(key, behaviour.fail)
    }

    async fn http(
        &self,
        head: &request::Parts,
        behaviour: &Behaviour,
        source: SocketAddr,
        body: &Bytes,
        fail: bool,
    ) -> Response<Body> {
        let status = if fail { behaviour.failure_status() } else { behaviour.http_status() };
        let status = match status {
            Ok(status) => status,
            Err(reason) => return plain(StatusCode::BAD_REQUEST, format!("{reason}\n")),
        };
        let calls = [&self.calls[..], &behaviour.calls[..]].concat();
        let calls = onward::call_all(&calls, &head.headers).await;
        let description = self.describe(head, source, body, calls);
        if behaviour.text {
            plain(status, lines(&description))
        } else {
            with_type(plain(status, format!("{description:#}\n")), "application/json")
        }
    }

    fn grpc(
        &self,
        head: &request::Parts,
        behaviour: &Behaviour,
        source: SocketAddr,
        body: &Bytes,
        fail: bool,
    ) -> Response<Body> {
        let wanted = if fail { behaviour.code.unwrap_or(UNAVAILABLE) } else { behaviour.status.unwrap_or(0) };
        if head.uri.path() == HEALTH_METHOD {
            return grpc_message(Bytes::from_static(grpc::SERVING));
        }
        if head.uri.path() != METHOD {
            return grpc_status(UNIMPLEMENTED, &format!("there is only {}", METHOD));
        }
        let Some(message) = grpc::decode(body) else {
            return grpc_status(INVALID_ARGUMENT, "not an uncompressed message with one text field");
        };
        if wanted != 0 {
            return grpc_status(wanted, "as the request wished");
        }
        let text = self.describe(head, source, &message, Vec::new()).to_string();
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
        let body = Full::new(grpc::encode(text.as_bytes())).with_trailers(async { Some(Ok(trailers)) });
        let mut response = Response::new(body.boxed());
        response.headers_mut().insert(CONTENT_TYPE, grpc::CONTENT);
        response
    }

    /// Who answers, and what arrived.
    fn describe(&self, head: &request::Parts, source: SocketAddr, body: &Bytes, calls: Vec<Value>) -> Value {
        let mut headers = Map::new();
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match headers.get_mut(name.as_str()) {
                Some(Value::String(values)) => *values = format!("{values}, {value}"),
                _ => drop(headers.insert(name.to_string(), Value::String(value))),
            }
        }
        let mut description = json!({
            "service": self.name.service,
            "version": self.name.version,
            "pod": self.name.pod,
            "namespace": self.name.namespace,
            "protocol": format!("{:?}", head.version),
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": head.uri.query().unwrap_or_default(),
            "authority": head.uri.authority().map(|authority| authority.as_str()),
            "source": source.to_string(),
            "headers": headers,
        });
        if let Some(AskedName(name)) = head.extensions.get() {
            description["tls"] = json!({ "serverName": name });
        }
        if !body.is_empty() {
            description["body"] = String::from_utf8_lossy(body).into();
        }
        if !calls.is_empty() {
            description["calls"] = calls.into();
        }
        description
    }
}

/// `Name=value` lines, a header each.
fn lines(description: &Value) -> String {
    let mut text = String::new();
    for (name, value) in description.as_object().into_iter().flatten() {
        match value {
            Value::Object(headers) => {
                for (name, value) in headers {
                    text += &format!("header.{name}={}\n", value.as_str().unwrap_or_default());
                }
            }
            Value::String(value) => text += &format!("{name}={value}\n"),
            Value::Null => {}
            other => text += &format!("{name}={other}\n"),
        }
    }
    text
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed());
    *response.status_mut() = status;
    with_type(response, "text/plain; charset=utf-8")
}

fn with_type(mut response: Response<Body>, content_type: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A gRPC answer with a message.
fn grpc_message(message: Bytes) -> Response<Body> {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
    let mut response = Response::new(Full::new(message).with_trailers(async { Some(Ok(trailers)) }).boxed());
    response.headers_mut().insert(CONTENT_TYPE, grpc::CONTENT);
    response
}

/// A gRPC answer without a message: the status stands in the headers.
fn grpc_status(status: u16, message: &str) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, grpc::CONTENT);
    headers.insert("grpc-status", HeaderValue::from(status));
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert("grpc-message", message);
    }
    response
}
