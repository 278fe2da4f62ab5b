//! One connection we opened: its requests, and the task that drives it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};
use mesh_model::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::error::ConnectError;
use crate::keepalive;
use crate::request::{ConnectRequest, read_baggage};
use crate::server::SEND_BUFFER;
use crate::settings::Settings;
use crate::tls::TlsStream;
use crate::tunnel::{Place, TunnelStream};

/// What the far end says of itself with its 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseInfo {
    /// Who it is, as its certificate proves.
    pub peer: Identity,
    /// Every `baggage` header of the answer.
    pub baggage: Vec<String>,
}

/// How much a connection is in use; shared by it, its streams and its task.
pub(crate) struct Usage {
    streams: AtomicUsize,
    idle_since: Mutex<Instant>,
    /// No new stream is opened on it.
    retired: AtomicBool,
}

impl Usage {
    pub(crate) fn new() -> Self {
        Usage {
            streams: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            retired: AtomicBool::new(false),
        }
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self) {
        self.streams.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end(&self) {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn idle_since(&self) -> Instant {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// Begins HTTP/2 on a connection; the second value must be driven.
pub(crate) async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    settings: &Settings,
) -> Result<(SendRequest<Bytes>, Connection<IO, Bytes>), ConnectError> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.frame_size)
        .max_header_list_size(settings.answer_headers)
        .max_send_buffer_size(SEND_BUFFER);
    match tokio::time::timeout(settings.handshake_timeout, builder.handshake(io)).await {
        Ok(opened) => opened.map_err(|error| ConnectError::Http2(Arc::new(error))),
        Err(_) => Err(ConnectError::Timeout(settings.handshake_timeout)),
    }
}

/// Why a request brought no tunnel.
pub(crate) enum Failure {
    /// The far end has not acted on it: another connection may be tried.
    Untouched(ConnectError),
    /// The connection broke; whether the far end has acted on it is not known.
    Broken(ConnectError),
    /// An answer, or an error that would come again.
    Final(ConnectError),
}

impl Failure {
    pub(crate) fn into_error(self) -> ConnectError {
        match self {
            Failure::Untouched(error) | Failure::Broken(error) | Failure::Final(error) => error,
        }
    }

    fn before_sending(error: h2::Error) -> Self {
        Failure::Untouched(ConnectError::Lost(Arc::new(error)))
    }

    fn before_answer(error: h2::Error) -> Self {
        let untouched = error.reason() == Some(Reason::REFUSED_STREAM)
            // h2 reports a GOAWAY only to the streams it says were not processed.
            || (error.is_go_away() && error.is_remote());
        let broken = error.is_io();
        let error = ConnectError::Lost(Arc::new(error));
        match (untouched, broken) {
            (true, _) => Failure::Untouched(error),
            (false, true) => Failure::Broken(error),
            (false, false) => Failure::Final(error),
        }
    }
}

/// Asks for a tunnel and waits for the answer.
pub(crate) async fn request(
    connection: SendRequest<Bytes>,
    request: &ConnectRequest,
    settings: &Settings,
) -> Result<(SendStream<Bytes>, Response<RecvStream>), Failure> {
    let head = request.to_http().map_err(|error| Failure::Final(ConnectError::Request(error.to_string())))?;
    let exchange = async {
        let mut ready = connection.ready().await.map_err(Failure::before_sending)?;
        let (answer, send) = ready.send_request(head, false).map_err(Failure::before_sending)?;
        let answer = answer.await.map_err(Failure::before_answer)?;
        match answer.status() {
            StatusCode::OK => Ok((send, answer)),
            status => Err(Failure::Final(ConnectError::Refused(status))),
        }
    };
    match tokio::time::timeout(settings.answer_timeout, exchange).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Final(ConnectError::Timeout(settings.answer_timeout))),
    }
}

/// What the answer says, and its body.
pub(crate) fn read_answer(peer: &Identity, answer: Response<RecvStream>) -> (ResponseInfo, RecvStream) {
    let (head, body) = answer.into_parts();
    (ResponseInfo { peer: peer.clone(), baggage: read_baggage(&head.headers) }, body)
}

/// Drives a connection until it ends or its peer is silent.
pub(crate) async fn drive<IO: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<IO, Bytes>,
    settings: &Settings,
    peer: impl fmt::Display,
) {
    let ping_pong = connection.ping_pong();
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!("the tunnel connection to {peer} ended: {error}");
        },
        waited = keepalive::peer_silent(ping_pong, settings) => {
            tracing::info!("{peer} did not answer a ping within {} s; dropping its tunnels", waited.as_secs());
        }
    }
}

/// Opens the one tunnel of a connection that is shared with nobody, such as the
/// inner one of two that are nested (wire.md §2.3).
pub async fn connect_unpooled<IO>(
    tls: TlsStream<IO>,
    settings: &Settings,
    request: &ConnectRequest,
) -> Result<(TunnelStream, ResponseInfo), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = tls.peer_identity().clone();
    connect_decrypted(tls, peer, settings, request).await
}

/// The same over whatever carries the bytes of HTTP/2.
pub(crate) async fn connect_decrypted<IO>(
    io: IO,
    peer: Identity,
    settings: &Settings,
    request: &ConnectRequest,
) -> Result<(TunnelStream, ResponseInfo), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = handshake(io, settings).await?;
    let (driven, name) = (settings.clone(), peer.clone());
    tokio::spawn(async move { drive(connection, &driven, name).await });
    let (send, answer) = self::request(send, request, settings).await.map_err(Failure::into_error)?;
    let (info, body) = read_answer(&peer, answer);
    Ok((TunnelStream::new(body, send, Place::Alone), info))
}

#[cfg(test)]
mod tests;
