//! Calls of services in the mesh that the waypoint makes of its own accord, on behalf of a client's request or
//! connection: to whoever decides about it, or counts it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use thiserror::Error;

use crate::balance::{Caller, Chosen, OnItsWay, Outcome};
use crate::http::{ClientBody, RequestBody};
use crate::outside::fetch_endpoint;
use crate::routes::Destination;
use crate::tunnel::Tunnel;
use crate::upstream::{Answer, Client, Hop, Terms, Version};

/// More of an answer is not read.
const LARGEST_ANSWER: usize = 1 << 20;

/// Why a call had no answer that could be used.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer makes no sense: {0}")]
    Nonsense(String),
}

/// An endpoint to call.
pub(crate) async fn fetch_callee(tunnel: &Tunnel, destination: &Destination) -> Option<(Chosen, OnItsWay)> {
    let mut caller = Caller::of_connection(tunnel);
    fetch_endpoint(tunnel, destination, &mut caller, &[]).await.ok()
}

/// The whole answer to one request: status, headers, body, trailers.
pub(crate) async fn exchange(
    tunnel: &Tunnel,
    ((chosen, on_its_way), terms): (&(Chosen, OnItsWay), Option<&Arc<Terms>>),
    version: Version,
    request: Request<RequestBody<ClientBody>>,
) -> Result<(http::response::Parts, Bytes, Option<HeaderMap>), CallError> {
    // By TLS it is asked under its own name, whatever the request's host.
    let hop = Hop {
        endpoint: &chosen.endpoint,
        rivals: &chosen.rivals,
        terms,
        client: Client::of(tunnel),
        authority: None,
        open: tunnel.open,
    };
    let sent = tunnel.worker.pool.send(&hop, version, request).await;
    on_its_way.tell(Outcome::of(&sent));
    // The lease is held until all has been read: only then the connection can be used again.
    let Answer { response, lease: _lease } = sent.map_err(|error| CallError::Unreachable(error.reason))?;
    let (head, body) = response.into_parts();
    let read = Limited::new(body, LARGEST_ANSWER).collect().await;
    let read = read.map_err(|error| CallError::Nonsense(error.to_string()))?;
    let trailers = read.trailers().cloned();
    Ok((head, read.to_bytes(), trailers))
}

/// The one message of a good answer.
pub(crate) fn message_of(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: Bytes,
) -> Result<Bytes, CallError> {
    let nonsense = |reason: String| Err(CallError::Nonsense(reason));
    if status != StatusCode::OK {
        return Err(CallError::Unreachable(format!("it answers with HTTP status {status}")));
    }
    let find = |name: &str| trailers.and_then(|it| it.get(name)).or_else(|| headers.get(name));
    let text = |name: &str| find(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => {}
        Some(status) => {
            let message = text("grpc-message").unwrap_or_default();
            return Err(CallError::Unreachable(format!("it answers with gRPC status {status} {message}")));
        }
        None => return nonsense("there is no gRPC status".to_owned()),
    }
    if body.len() < 5 {
        return nonsense("there is no message".to_owned());
    }
    let length = u32::from_be_bytes([body[1], body[2], body[3], body[4]]) as usize;
    match body[0] {
        0 if body.len() == 5 + length => Ok(body.slice(5..)),
        0 => nonsense("the message is not as long as it says".to_owned()),
        _ => nonsense("the message is compressed, which nobody asked for".to_owned()),
    }
}
