//! One connection we opened: its requests, and the task that drives it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use mesh_frames::Reason;
use mesh_model::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::connection::{Answer, Connection, Driver, Role, StreamRef, peer_silent};
use crate::error::{Broken, ConnectError};
use crate::request::{ConnectRequest, read_baggage};
use crate::settings::Settings;
use crate::tls::{Secured, TlsStream};
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

/// Who asks for tunnels on a connection; with the last of these gone it ends with
/// its last tunnel.
#[derive(Clone)]
pub(crate) struct Asker {
    connection: Arc<Connection>,
    _alive: Arc<Alive>,
}

struct Alive(Arc<Connection>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Asker {
    /// Begins HTTP/2 on a connection; the second value must be driven.
    pub(crate) fn new<C: AsyncRead + AsyncWrite + Unpin>(
        secured: Secured<C>,
        settings: &Settings,
    ) -> (Self, Driver<C>) {
        let (driver, connection) = Driver::new(Role::Client, secured, settings);
        (Asker { _alive: Arc::new(Alive(Arc::clone(&connection))), connection }, driver)
    }

    /// The connection, for whoever drives it.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    pub(crate) fn takes_streams(&self) -> bool {
        self.connection.takes_streams()
    }

    pub(crate) fn stream_limit(&self) -> usize {
        self.connection.stream_limit()
    }

    /// Asks for a tunnel and waits for the answer.
    pub(crate) async fn request(
        &self,
        request: &ConnectRequest,
        settings: &Settings,
    ) -> Result<(StreamRef, Answer), Failure> {
        let exchange = async {
            let stream = self.connection.open(&request.to_block()).map_err(Failure::before_sending)?;
            let answer = poll_fn(|cx| stream.poll_answer(cx)).await.map_err(Failure::before_answer)?;
            match answer.status {
                200 => Ok((stream, answer)),
                status => Err(Failure::refused(status)),
            }
        };
        match tokio::time::timeout(settings.answer_timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Final(ConnectError::Timeout(settings.answer_timeout))),
        }
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

    fn before_sending(why: Broken) -> Self {
        Failure::Untouched(ConnectError::Lost(why))
    }

    fn before_answer(why: Broken) -> Self {
        match why {
            Broken::GoAway(_) | Broken::Reset(Reason::REFUSED_STREAM) => {
                Failure::Untouched(ConnectError::Lost(why))
            }
            Broken::Io(_) | Broken::Closed => Failure::Broken(ConnectError::Lost(why)),
            Broken::Protocol(_) => Failure::Final(ConnectError::Http2(why)),
            Broken::Reset(_) | Broken::Malformed | Broken::Record(_) | Broken::Ended => {
                Failure::Final(ConnectError::Lost(why))
            }
        }
    }

    fn refused(status: u16) -> Self {
        // Three digits, or it would not have been an answer.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Failure::Final(ConnectError::Refused(status))
    }
}

/// What the answer says.
pub(crate) fn read_answer(peer: &Identity, answer: &Answer) -> ResponseInfo {
    ResponseInfo { peer: peer.clone(), baggage: read_baggage(&answer.headers) }
}

/// Drives a connection until it ends or its peer is silent.
pub(crate) async fn drive<C: AsyncRead + AsyncWrite + Unpin>(
    mut driver: Driver<C>,
    connection: &Arc<Connection>,
    settings: &Settings,
    peer: impl fmt::Display,
) {
    let end = async {
        // The far end opens no streams.
        while let Some(request) = poll_fn(|cx| driver.poll(cx)).await? {
            request.stream.refuse_unseen();
        }
        Ok::<_, Broken>(())
    };
    tokio::select! {
        ended = end => if let Err(why) = ended {
            tracing::debug!("the tunnel connection to {peer} ended: {why}");
        },
        waited = peer_silent(connection, settings) => {
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
    let (asker, driver) = Asker::new(tls.into_secured(), settings);
    let (connection, driven, name) = (asker.connection(), settings.clone(), peer.clone());
    tokio::spawn(async move { drive(driver, &connection, &driven, name).await });
    let (stream, answer) = asker.request(request, settings).await.map_err(Failure::into_error)?;
    Ok((TunnelStream::new(stream, Place::Alone), read_answer(&peer, &answer)))
}

#[cfg(test)]
mod tests;
