//! One HTTP request over a connection that exists: what the echo's client, probes and look-ups share.

use std::error::Error as _;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use thiserror::Error;
use tokio::net::TcpStream;

/// Largest answer read.
const MAX_ANSWER: usize = 16 << 20;

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// gRPC's status is among them.
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is none.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("{}", chain(.0))]
    Http(#[from] hyper::Error),
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// hyper's own text leaves the cause out, and "connection reset" is what the reader needs to see.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Sends a request by HTTP/1.1.
pub(crate) async fn send_http1(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = match sender.send_request(request).await {
        Ok(response) => read(response).await,
        Err(error) => Err(error.into()),
    };
    connection.abort();
    answer
}

/// Sends a request by HTTP/2, without asking whether the far end speaks it.
pub(crate) async fn send_http2(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = match sender.send_request(request).await {
        Ok(response) => read(response).await,
        Err(error) => Err(error.into()),
    };
    connection.abort();
    answer
}

async fn read(response: Response<Incoming>) -> Result<Answer, Error> {
    let (head, body) = response.into_parts();
    let collected = Limited::new(body, MAX_ANSWER).collect().await.map_err(Error::Body)?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(Answer { status: head.status, headers: head.headers, trailers, body: collected.to_bytes() })
}
