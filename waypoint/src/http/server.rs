//! HTTP on a client's connection, one request after the other or many at once.

use std::convert::Infallible;
use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_runtime::drain::DrainWatcher;
use tokio::io::{AsyncRead, AsyncWrite};

use super::strict::{LeftHttp, Strict};
use super::{answer, report};
use crate::detect::Protocol;
use crate::tunnel::Tunnel;

/// What a request's head may take; more is answered with 431.
const LARGEST_HEAD: usize = 64 * 1024;
/// Between requests, and for the head of one. It also bounds how long an idle
/// connection is kept, and clients dislike those to end before they end them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Requests at the same time on one HTTP/2 connection.
const MOST_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What waits to be sent on one stream.
const SEND_BUFFER: usize = 256 * 1024;

/// Serves a connection until it ends; a drain ends it after what it is at.
pub(crate) async fn serve<S>(stream: S, protocol: Protocol, tunnel: Arc<Tunnel>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let drain = tunnel.drain.clone();
    let told_by = tunnel.clone();
    let respond = move |request| {
        let tunnel = tunnel.clone();
        async move { Ok::<_, Infallible>(answer(tunnel, request).await) }
    };
    let ended = match protocol {
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(MOST_STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(LARGEST_HEAD as u32);
            // Each answer becomes a task, and is moved about until it is one.
            let service = service_fn(move |request| Box::pin(respond(request)));
            drive(builder.serve_connection(TokioIo::new(stream), service), |c| c.graceful_shutdown(), &drain)
                .await
        }
        Protocol::Http1 | Protocol::Tcp => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(LARGEST_HEAD);
            let left_http = LeftHttp::default();
            let io = TokioIo::new(Strict::new(stream, left_http.clone()));
            let service = service_fn(move |request| {
                let (answer, left_http) = (respond(request), left_http.clone());
                async move {
                    let response = answer.await?;
                    // The client hears of it later than this is set, and says nothing else before.
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        left_http.set();
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let connection = builder.serve_connection(io, service).with_upgrades();
            drive(connection, |c| c.graceful_shutdown(), &drain).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's HTTP connection ended early");
        if let Some(status) = answer_to_nonsense(&error) {
            report::unreadable(&told_by, status);
        }
    }
}

/// What hyper has answered to what was no request: a status, or nothing but an end where HTTP/2 has no other word for it.
/// None if the connection ended for another reason.
fn answer_to_nonsense(error: &hyper::Error) -> Option<Option<StatusCode>> {
    if error.is_parse_too_large() {
        return Some(Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if error.is_parse() {
        return Some(Some(StatusCode::BAD_REQUEST));
    }
    let by_us = |error: &h2::Error| error.is_go_away() && error.is_library();
    error.source()?.downcast_ref::<h2::Error>().is_some_and(by_us).then_some(None)
}

/// Drives a connection to its end, or to where a drain ends it.
async fn drive<C>(connection: C, stop: impl Fn(Pin<&mut C>), drain: &DrainWatcher) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = drain.signaled() => stop(connection.as_mut()),
    }
    tokio::select! {
        ended = connection => ended,
        () = drain.forced() => Ok(()),
    }
}
