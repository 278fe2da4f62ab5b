//! Asks somebody outside whether a request may pass, as CUSTOM policies want it: by the protocols of Envoy's external
//! authorization, over gRPC or by a request like the client's.

mod grpc;
mod http_check;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use mesh_model::{AuthorizationService, CheckProtocol, CheckedBody};
use thiserror::Error;

use crate::balance::{Chosen, OnItsWay};
use crate::http::{Beginning, ClientBody, Edits, RequestBody};
use crate::own_call::{CallError, exchange, fetch_callee};
use crate::routes::Destination;
use crate::tunnel::Tunnel;
use crate::upstream::{Terms, Version};
#[cfg(fuzzing)]
pub(crate) use grpc::read as read_grpc;

/// More of a body nobody is told, whatever the configuration says.
const MOST_TOLD: u32 = 4 << 20;

/// Somebody to ask.
#[derive(Debug)]
pub(crate) struct Authorizer {
    pub(crate) service: AuthorizationService,
    destination: Destination,
}

/// What a question is about.
pub(crate) struct Subject<'a> {
    pub(crate) tunnel: &'a Tunnel,
    /// The request; none if the connection carries no HTTP.
    pub(crate) head: Option<&'a Parts>,
    /// What is told of the request's body.
    pub(crate) body: Option<Beginning>,
    /// The name the client has asked for by TLS.
    pub(crate) sni: Option<&'a str>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) enum Opinion {
    /// It may pass, with these changes.
    Consent(Changes),
    /// It may not.
    Denial(Denied),
}

/// What a consent wants changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Headers of the request.
    pub(crate) request: Edits,
    /// Headers of the response.
    pub(crate) response: Edits,
}

/// What the client is told instead.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no opinion.
#[derive(Debug, Error)]
pub(crate) enum NoOpinion {
    #[error("{0} has no endpoint that could be asked")]
    NoEndpoint(String),
    #[error("it did not answer within {0:?}")]
    TooSlow(std::time::Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer makes no sense: {0}")]
    Nonsense(String),
    /// Only requests can be asked about by requests.
    #[error("it is asked by HTTP, which is possible for requests only; use a gRPC provider")]
    NoRequest,
}

impl From<CallError> for NoOpinion {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(reason) => NoOpinion::Unreachable(reason),
            CallError::Nonsense(reason) => NoOpinion::Nonsense(reason),
        }
    }
}

impl Authorizer {
    pub(crate) fn new(service: &AuthorizationService) -> Authorizer {
        let (key, port) = (service.service.clone(), service.port);
        let destination = Destination::Service { service: key, port, subset: None };
        Authorizer { service: service.clone(), destination }
    }

    /// What it wants to be told of bodies, and the most of one.
    pub(crate) fn wants_body(&self) -> Option<(CheckedBody, usize)> {
        self.service.body.map(|body| (body, body.max_bytes.min(MOST_TOLD) as usize))
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, subject: &Subject<'_>) -> Result<Opinion, NoOpinion> {
        let asking = async {
            match &self.service.protocol {
                CheckProtocol::Grpc => grpc::ask(self, subject).await,
                CheckProtocol::Http(check) => http_check::ask(self, check, subject).await,
            }
        };
        let limit = self.service.timeout;
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(NoOpinion::TooSlow(limit)))
    }

    /// An endpoint to ask.
    async fn fetch_endpoint(&self, tunnel: &Tunnel) -> Result<(Chosen, OnItsWay), NoOpinion> {
        let fetched = fetch_callee(tunnel, &self.destination).await;
        fetched.ok_or_else(|| NoOpinion::NoEndpoint(self.service.service.to_string()))
    }

    /// The whole answer to one request: status, headers, body, trailers.
    async fn exchange(
        &self,
        tunnel: &Tunnel,
        way: (&(Chosen, OnItsWay), Option<&Arc<Terms>>),
        version: Version,
        request: Request<RequestBody<ClientBody>>,
    ) -> Result<(http::response::Parts, Bytes, Option<HeaderMap>), NoOpinion> {
        Ok(exchange(tunnel, way, version, request).await?)
    }
}

/// A body that is sent at once.
fn whole(bytes: Bytes) -> RequestBody<ClientBody> {
    if bytes.is_empty() { RequestBody::Empty } else { RequestBody::Whole(Full::new(bytes)) }
}
