//! The end that is connected to: CONNECT requests of one connection, each
//! answered by a task of its own on the same thread.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use mesh_runtime::drain::{DrainWatcher, Mode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::{Driver, Request, Role, StreamRef, peer_silent};
use crate::error::ServeError;
use crate::request::ConnectRequest;
use crate::settings::Settings;
use crate::tls::TlsStream;
use crate::tunnel::{Place, TunnelStream};

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
    let (mut driver, connection) = Driver::new(Role::Server, tls.into_secured(), settings);
    let silent = peer_silent(&connection, settings);
    let late = async {
        tokio::time::sleep(settings.handshake_timeout).await;
        if connection.has_begun() {
            std::future::pending().await
        }
    };
    tokio::pin!(silent, late);
    let mut draining = false;
    let running = Arc::new(());
    // Requests a peer gives up at once are no streams any more, but whoever handles them still has them.
    let most_running = 2 * settings.accepted_streams as usize;
    loop {
        tokio::select! {
            request = poll_fn(|cx| driver.poll(cx)) => match request? {
                Some(request) if Arc::strong_count(&running) > most_running => request.stream.refuse_unseen(),
                Some(request) => dispatch(request, &handler, &running),
                None => return Ok(()),
            },
            mode = drain.signaled(), if !draining => {
                if mode == Mode::Immediate {
                    return Ok(());
                }
                draining = true;
                connection.drain();
            }
            () = drain.forced(), if draining => return Ok(()),
            () = &mut late => return Err(ServeError::HandshakeTimeout(settings.handshake_timeout)),
            waited = &mut silent => return Err(ServeError::Silent(waited)),
        }
    }
}

fn dispatch<H, F>(request: Request, handler: &H, running: &Arc<()>)
where
    H: Fn(Incoming) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Request { stream, method, authority, headers, too_large } = request;
    if too_large {
        return answer(&stream, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    match ConnectRequest::read(&method, authority.as_deref(), &headers) {
        Ok(request) => {
            let place = Place::Accepted(Arc::clone(running));
            tokio::spawn(handler(Incoming { request, stream, place }));
        }
        Err(error) => {
            tracing::debug!("refused a request: {error}");
            answer(&stream, StatusCode::BAD_REQUEST);
        }
    }
}

/// Answers, and that is all.
fn answer(stream: &StreamRef, status: StatusCode) {
    // Fails only if the peer has already given up.
    let _ = stream.answer(status.as_u16(), std::iter::empty(), true);
}

/// A request for a tunnel that waits for its answer. Dropped unanswered it is reset.
pub struct Incoming {
    /// What is asked for.
    pub request: ConnectRequest,
    stream: StreamRef,
    place: Place,
}

impl Incoming {
    /// Answers 200 with these headers; bytes flow from here on. Values no header
    /// can hold are left out. Fails if the peer has given up.
    pub fn accept(self, headers: &[(&str, &str)]) -> io::Result<TunnelStream> {
        let fits = |(name, value): &&(&str, &str)| {
            HeaderName::from_lowercase(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
        };
        let headers = headers.iter().filter(fits).map(|(name, value)| (*name, value.as_bytes()));
        self.stream.answer(StatusCode::OK.as_u16(), headers, false)?;
        Ok(TunnelStream::new(self.stream, self.place))
    }

    /// Answers no.
    pub fn refuse(self, status: StatusCode) {
        answer(&self.stream, status);
    }
}

#[cfg(test)]
mod tests;
