//! Serving a router on a listener until the drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Response, Router, text};
use crate::accepting::AcceptFailures;
use crate::drain::DrainWatcher;

/// Further connections wait to be accepted.
const MOST_CONNECTIONS: usize = 128;
const LARGEST_HEAD: usize = 16 * 1024;
const LARGEST_BODY: usize = 64 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until the drain starts; then answers what was asked and ends.
pub async fn serve(listener: TcpListener, router: Router, drain: DrainWatcher) {
    let router = Arc::new(router);
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut failures = AcceptFailures::of("admin");
    loop {
        let accepted = async {
            // The semaphore is never closed, so there is always a slot some day.
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            _ = drain.signaled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, drain) = (router.clone(), drain.clone());
                tokio::spawn(async move {
                    serve_connection(stream, router, drain).await;
                    drop(slot);
                });
            }
            Err(error) => failures.pause(&error).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Arc<Router>, drain: DrainWatcher) {
    let service = service_fn(move |request| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(respond(&router, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = drain.signaled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn respond(router: &Router, request: hyper::Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, LARGEST_BODY).collect());
    match whole.await {
        Ok(Ok(body)) => router.respond(&http::Request::from_parts(head, body.to_bytes())).await,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {LARGEST_BODY} bytes\n"))
        }
        Ok(Err(_)) => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
        Err(_) => text(StatusCode::REQUEST_TIMEOUT, format!("no body within {BODY_TIMEOUT:?}\n")),
    }
}
