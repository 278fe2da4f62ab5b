//! The validating webhook: the API server asks it about objects before it stores them, so that what
//! cannot work is refused while its author still looks at it. Bounded in connections, sizes and time,
//! for anybody in the cluster can connect.

mod configuration;
mod review;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::server::accept;

pub use configuration::{ConfigurationSettings, keep_configuration};
#[cfg(fuzzing)]
pub(crate) use review::review;

/// The only path.
const PATH: &str = "/validate";
/// A review holds the object and what it was before, 3 MiB each at most, and a little more.
const MAX_REQUEST: usize = 7 << 20;
/// How long a request may take to get here.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed; the API server opens another.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Requests held in memory at a time.
const MAX_REVIEWS: usize = 32;

/// Answers the API server until it is dropped.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>) {
    let (connections, _accepting) = accept::secured(listener, tls);
    let mut connections = Box::pin(connections);
    let places = Arc::new(Semaphore::new(MAX_REVIEWS));
    while let Some(Ok(connection)) = connections.next().await {
        let places = places.clone();
        let service = service_fn(move |request| {
            let places = places.clone();
            async move { Ok::<_, Infallible>(answer(request, &places).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .serve_connection(TokioIo::new(connection), service);
        tokio::spawn(async move {
            if let Err(error) = served.await {
                debug!("a connection to the webhook ended: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>, places: &Semaphore) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return text(StatusCode::NOT_FOUND, "only /validate is here");
    }
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only POST is possible");
    }
    if request.body().size_hint().lower() > MAX_REQUEST as u64 {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
    }
    let read = async {
        // The semaphore is never closed.
        let place = places.acquire().await.ok();
        (place, Limited::new(request.into_body(), MAX_REQUEST).collect().await)
    };
    let Ok((_place, body)) = tokio::time::timeout(READ_TIMEOUT, read).await else {
        return text(StatusCode::REQUEST_TIMEOUT, "the request took too long");
    };
    let Ok(body) = body else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large or broken off");
    };
    // Large objects take a while, which streams of proxies need not wait for.
    let reviewed = tokio::task::spawn_blocking(move || review::review(&body.to_bytes())).await;
    match reviewed {
        Ok(Ok(answer)) => respond(StatusCode::OK, "application/json", answer),
        Ok(Err(error)) => text(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", (message.into() + "\n").into_bytes())
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
