//! HTTP/2: a connection is shared by as many requests as it may have streams.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::key::{Bounds, Key};
use super::slots::{Kind, Leave, Slots, Turn};
use super::{Answer, Body, Held, HttpPool, LARGEST_HEAD, Lease, SendError, Version};
use crate::upstream::Hop;
use crate::upstream::classify::reason_of;

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Connections of HTTP/2.
pub(super) enum Http2 {}

#[derive(Clone)]
pub(super) struct Connection {
    sender: http2::SendRequest<Body>,
    usage: Arc<Usage>,
}

struct Usage {
    streams: AtomicU32,
    /// From the beginning.
    served: AtomicU32,
    opened: Instant,
    idle_since: Mutex<Instant>,
}

/// A stream of a connection; dropped, it makes room for another.
pub(super) struct Lent {
    connection: Connection,
    key: Arc<Key>,
    slots: Weak<Slots<Http2>>,
}

impl Kind for Http2 {
    type Kept = Connection;
    type Lent = Lent;
    const SHARED: bool = true;

    fn lend(slots: &Arc<Slots<Self>>, key: &Arc<Key>, kept: &mut Vec<Connection>) -> Option<Lent> {
        // What may take no more ends with its last stream.
        kept.retain(|connection| !connection.sender.is_closed() && connection.usage.is_young(&key.bounds));
        let free = kept.iter().find(|connection| connection.usage.streams() < key.bounds.most_streams)?;
        Some(Lent::new(free, key, slots))
    }

    fn is_good(key: &Key, kept: &Connection) -> bool {
        !kept.sender.is_closed() && kept.usage.is_young(&key.bounds) && !kept.usage.is_idle(&key.bounds)
    }
}

impl Usage {
    fn new() -> Usage {
        let now = Instant::now();
        Usage {
            streams: AtomicU32::new(0),
            served: AtomicU32::new(0),
            opened: now,
            idle_since: Mutex::new(now),
        }
    }

    fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    fn is_idle(&self, bounds: &Bounds) -> bool {
        let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams() == 0 && since.elapsed() >= bounds.idle
    }

    /// Whether it may take another request.
    fn is_young(&self, bounds: &Bounds) -> bool {
        bounds.most_requests.is_none_or(|most| self.served.load(Ordering::Relaxed) < most)
            && bounds.lifetime.is_none_or(|lifetime| self.opened.elapsed() < lifetime)
    }
}

impl HttpPool {
    pub(super) async fn send_http2(
        &self,
        hop: &Hop<'_>,
        key: &Arc<Key>,
        mut request: Request<Body>,
    ) -> Result<Answer, SendError> {
        let safe = request.method().is_safe();
        loop {
            let (mut lent, reused) = match self.http2.fetch(key, hop.terms).await? {
                Turn::Ready(lent) => (lent, true),
                // Most requests find a connection, and all would carry the room that opening one takes.
                Turn::Open(leave) => (Box::pin(self.open_http2(hop, key, leave)).await?, false),
            };
            let counted = hop.terms.map(|terms| terms.enter_request()).transpose()?;
            match lent.connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Lease { _request: counted, _connection: Held::Http2(lent) };
                    return Ok(Answer { response, lease });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => {
                        let usage = &lent.connection.usage;
                        self.http2.remove(key, |kept| Arc::ptr_eq(&kept.usage, usage));
                        request = unsent;
                    }
                    unsent => return Err(SendError::of(error.error(), unsent.is_none(), reused && safe)),
                },
            }
        }
    }

    /// Opens a connection, takes a stream of it, and puts it where everybody finds it.
    async fn open_http2(
        &self,
        hop: &Hop<'_>,
        key: &Arc<Key>,
        leave: Leave<Http2>,
    ) -> Result<Lent, SendError> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(LARGEST_HEAD as u32);
        if let Some(keepalive) = key.bounds.http2_keepalive {
            builder
                .keep_alive_interval(keepalive.interval)
                .keep_alive_timeout(keepalive.timeout)
                .keep_alive_while_idle(true);
        }
        let opening = async {
            let wire = self.upstream.connect(hop, Some(Version::Http2.protocol()), None).await?;
            let wire = TokioIo::new(wire.holding(leave.place));
            builder.handshake(wire).await.map_err(SendError::handshake)
        };
        let (sender, connection) = match opening.await {
            Ok(opened) => opened,
            Err(error) => {
                self.http2.fail(key, &error);
                return Err(error);
            }
        };
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("upstream connection ended: {}", reason_of(&error));
            }
        });
        let opened = Connection { sender, usage: Arc::new(Usage::new()) };
        let lent = Lent::new(&opened, key, &self.http2);
        // Those who wait have their turns now; only then, as this ends, another connection may be opened.
        self.http2.keep(key, opened, usize::MAX);
        Ok(lent)
    }
}

impl Lent {
    fn new(connection: &Connection, key: &Arc<Key>, slots: &Arc<Slots<Http2>>) -> Lent {
        connection.usage.streams.fetch_add(1, Ordering::Relaxed);
        connection.usage.served.fetch_add(1, Ordering::Relaxed);
        Lent { connection: connection.clone(), key: key.clone(), slots: Arc::downgrade(slots) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let usage = &self.connection.usage;
        *usage.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        usage.streams.fetch_sub(1, Ordering::Relaxed);
        // Elsewhere nobody waits for a stream: they open another connection.
        if self.key.is_bounded()
            && let Some(slots) = self.slots.upgrade()
        {
            slots.advance(&self.key);
        }
    }
}
