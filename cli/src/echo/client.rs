//! One call of a URL: HTTP/1.1, HTTP/2 with prior knowledge, gRPC or TCP, on a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::Full;
use thiserror::Error;
use tokio::net::TcpStream;

use super::url::{Protocol, Url};
use super::{service, tcp};
use crate::{exchange, grpc};

/// What to call, and how.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// HTTP/2 with prior knowledge; gRPC always does.
    pub(super) http2: bool,
    /// Of the whole call.
    pub(super) timeout: Duration,
    /// TCP only: read a greeting before sending.
    pub(super) server_first: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Of HTTP; absent for TCP.
    pub(super) status: Option<StatusCode>,
    /// Of gRPC, from trailers or headers.
    pub(super) grpc_status: Option<u32>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("{0} does not resolve: {1}")]
    Resolve(String, std::io::Error),
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] exchange::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Makes the call.
pub(super) async fn fetch(call: &Call) -> Result<Answer, CallError> {
    match tokio::time::timeout(call.timeout, attempt(call)).await {
        Ok(result) => result,
        Err(_) => Err(CallError::Timeout(call.timeout)),
    }
}

async fn attempt(call: &Call) -> Result<Answer, CallError> {
    let stream = connect(&call.url).await?;
    match call.url.protocol {
        Protocol::Tcp => {
            let body = tcp::converse(stream, &call.body, call.server_first).await?;
            Ok(Answer { status: None, grpc_status: None, headers: HeaderMap::new(), body })
        }
        Protocol::Grpc => Ok(answer(exchange::send_http2(stream, grpc_request(call)?).await?)),
        Protocol::Http if call.http2 => {
            Ok(answer(exchange::send_http2(stream, request(call, Version::HTTP_2)?).await?))
        }
        Protocol::Http => Ok(answer(exchange::send_http1(stream, request(call, Version::HTTP_11)?).await?)),
    }
}

async fn connect(url: &Url) -> Result<TcpStream, CallError> {
    let failed = |error| CallError::Connect(format!("{}:{}", url.host, url.port), error);
    let addresses = tokio::net::lookup_host((url.host.as_str(), url.port))
        .await
        .map_err(|error| CallError::Resolve(url.host.clone(), error))?;
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(failed)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn request(call: &Call, version: Version) -> Result<Request<Full<Bytes>>, http::Error> {
    // HTTP/1.1 names the host in a header, HTTP/2 in the URI's authority.
    let uri = match version {
        Version::HTTP_2 => format!("http://{}{}", call.url.authority, call.url.path),
        _ => call.url.path.clone(),
    };
    let mut request = Request::builder().version(version).method(call.method.clone()).uri(uri);
    if let Some(headers) = request.headers_mut() {
        headers.extend(call.headers.clone());
        if version != Version::HTTP_2 && !headers.contains_key(HOST) {
            headers.insert(HOST, HeaderValue::from_str(&call.url.authority)?);
        }
    }
    request.body(Full::new(call.body.clone()))
}

fn grpc_request(call: &Call) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut call = call.clone();
    call.method = Method::POST;
    call.headers.insert(CONTENT_TYPE, grpc::CONTENT);
    call.headers.insert(TE, HeaderValue::from_static("trailers"));
    if call.url.path == "/" {
        call.url.path = service::METHOD.to_owned();
    }
    call.body = grpc::encode(&call.body);
    request(&call, Version::HTTP_2)
}

fn answer(answer: exchange::Answer) -> Answer {
    let status_of = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    let grpc_status = status_of(&answer.trailers).or_else(|| status_of(&answer.headers));
    let is_grpc = answer.headers.get(CONTENT_TYPE).is_some_and(grpc::is_grpc);
    let text = if is_grpc { grpc::decode(&answer.body) } else { None };
    let body = text.unwrap_or(answer.body);
    Answer { status: Some(answer.status), grpc_status, headers: answer.headers, body }
}
