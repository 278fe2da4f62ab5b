//! The end that is connected to: CONNECT requests of one connection, each
//! answered by a task of its own on the same thread.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use mesh_runtime::drain::{DrainWatcher, Mode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{ServeError, to_io};
use crate::keepalive;
use crate::request::ConnectRequest;
use crate::settings::Settings;
use crate::tls::TlsStream;
use crate::tunnel::{Place, TunnelStream};

/// What one stream may have waiting to be sent.
pub(crate) const SEND_BUFFER: usize = 256 * 1024;

/// Serves a connection until the peer ends it, it fails, or the drain does it:
/// a graceful one lets open tunnels end by themselves, up to its deadline.
/// Requests that ask for no tunnel are answered here, with 400 (HB-04).
pub async fn serve<IO, H, F>(
    tls: TlsStream<IO>,
    settings: &Settings,
    drain: DrainWatcher,
    handler: H,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Incoming) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    serve_decrypted(tls, settings, drain, handler).await
}

/// The same over whatever carries the bytes of HTTP/2.
pub(crate) async fn serve_decrypted<IO, H, F>(
    io: IO,
    settings: &Settings,
    drain: DrainWatcher,
    handler: H,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Incoming) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let handshake = tokio::time::timeout(settings.handshake_timeout, builder(settings).handshake(io));
    let mut connection: Connection<_, Bytes> = tokio::select! {
        connection = handshake => {
            connection.map_err(|_| ServeError::HandshakeTimeout(settings.handshake_timeout))??
        }
        // A graceful drain may only begin with a GOAWAY: without one the peer
        // would not know whether its first request was served.
        () = drain.forced() => return Ok(()),
    };
    let silent = keepalive::peer_silent(connection.ping_pong(), settings);
    tokio::pin!(silent);
    let mut draining = false;
    let running = Arc::new(());
    // Requests a peer gives up at once are no streams any more, but whoever handles them still has them.
    let most_running = 2 * settings.accepted_streams as usize;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    if Arc::strong_count(&running) > most_running {
                        refuse_unseen(respond);
                    } else {
                        dispatch(request, respond, &handler, &running);
                    }
                }
                None => return Ok(()),
            },
            mode = drain.signaled(), if !draining => {
                if mode == Mode::Immediate {
                    return Ok(());
                }
                draining = true;
                connection.graceful_shutdown();
            }
            () = drain.forced(), if draining => return Ok(()),
            waited = &mut silent => return Err(ServeError::Silent(waited)),
        }
    }
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.frame_size)
        .max_concurrent_streams(settings.accepted_streams)
        .max_header_list_size(settings.accepted_headers)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Tells the peer that its request was not looked at and may be sent again.
fn refuse_unseen(mut respond: SendResponse<Bytes>) {
    respond.send_reset(Reason::REFUSED_STREAM);
}

fn dispatch<H, F>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    handler: &H,
    running: &Arc<()>,
) where
    H: Fn(Incoming) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (head, body) = request.into_parts();
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    match ConnectRequest::read(&head.method, authority, &head.headers) {
        Ok(request) => {
            let place = Place::Accepted(Arc::clone(running));
            tokio::spawn(handler(Incoming { request, respond, body, place }));
        }
        Err(error) => {
            tracing::debug!("refused a request: {error}");
            // Fails only if the peer has already given up.
            let _ = respond.send_response(answer(StatusCode::BAD_REQUEST), true);
        }
    }
}

fn answer(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

/// A request for a tunnel that waits for its answer. Dropped unanswered it is reset.
pub struct Incoming {
    /// What is asked for.
    pub request: ConnectRequest,
    respond: SendResponse<Bytes>,
    body: RecvStream,
    place: Place,
}

impl Incoming {
    /// Answers 200 with these headers; bytes flow from here on. Values no header
    /// can hold are left out. Fails if the peer has given up.
    pub fn accept(mut self, headers: &[(&str, &str)]) -> io::Result<TunnelStream> {
        let mut response = answer(StatusCode::OK);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
                response.headers_mut().append(name, value);
            }
        }
        let send = self.respond.send_response(response, false).map_err(to_io)?;
        Ok(TunnelStream::new(self.body, send, self.place))
    }

    /// Answers no.
    pub fn refuse(mut self, status: StatusCode) {
        // Fails only if the peer has already given up.
        let _ = self.respond.send_response(answer(status), true);
    }
}

#[cfg(test)]
mod tests;
