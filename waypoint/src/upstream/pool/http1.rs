//! HTTP/1: a connection is one request's until its response has been read.

use std::sync::{Arc, Weak};

use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::key::{Bounds, Key};
use super::slots::{Kind, Leave, Slots, Turn};
use super::{Answer, Body, Held, HttpPool, LARGEST_HEAD, Lease, SendError, Version};
use crate::upstream::Hop;
use crate::upstream::classify::reason_of;

/// Connections kept per endpoint.
const MOST_KEPT: usize = 128;

/// Connections of HTTP/1.
pub(super) enum Http1 {}

struct Connection {
    sender: http1::SendRequest<Body>,
    opened: Instant,
    served: u32,
}

pub(super) struct Kept {
    connection: Connection,
    since: Instant,
}

/// A connection out of the pool; dropped, it goes back once it can take the next request.
pub(super) struct Lent {
    /// Gone once it is used, for what is broken off in the middle is of no use to others.
    connection: Option<Connection>,
    key: Arc<Key>,
    slots: Weak<Slots<Http1>>,
}

impl Kind for Http1 {
    type Kept = Kept;
    type Lent = Lent;
    const SHARED: bool = false;

    fn lend(slots: &Arc<Slots<Self>>, key: &Arc<Key>, kept: &mut Vec<Kept>) -> Option<Lent> {
        // The latest first: it is the least likely to have been closed.
        while let Some(latest) = kept.pop() {
            if Http1::is_good(key, &latest) {
                return Some(Lent::new(latest.connection, key, Arc::downgrade(slots)));
            }
        }
        None
    }

    fn is_good(key: &Key, kept: &Kept) -> bool {
        kept.connection.sender.is_ready()
            && kept.since.elapsed() < key.bounds.idle
            && kept.connection.is_young(&key.bounds)
    }
}

impl Connection {
    /// Whether it may take another request.
    fn is_young(&self, bounds: &Bounds) -> bool {
        bounds.most_requests.is_none_or(|most| self.served < most)
            && bounds.lifetime.is_none_or(|lifetime| self.opened.elapsed() < lifetime)
    }
}

impl HttpPool {
    pub(super) async fn send_http1(
        &self,
        hop: &Hop<'_>,
        key: &Arc<Key>,
        mut request: Request<Body>,
    ) -> Result<Answer, SendError> {
        let safe = request.method().is_safe();
        loop {
            let (mut lent, reused) = match self.http1.fetch(key, hop.terms).await? {
                Turn::Ready(lent) => (lent, true),
                // Most requests find a connection, and all would carry the room that opening one takes.
                Turn::Open(leave) => (Box::pin(self.open_http1(hop, key, leave)).await?, false),
            };
            let counted = hop.terms.map(|terms| terms.enter_request()).transpose()?;
            // Never: it has just come.
            let Some(mut connection) = lent.connection.take() else { continue };
            connection.served = connection.served.saturating_add(1);
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    lent.connection = Some(connection);
                    let lease = Lease { _request: counted, _connection: Held::Http1(lent) };
                    return Ok(Answer { response, lease });
                }
                Err(mut error) => match error.take_message() {
                    // Closed before the request was sent: no endpoint has seen it.
                    Some(unsent) if reused => request = unsent,
                    unsent => return Err(SendError::of(error.error(), unsent.is_none(), reused && safe)),
                },
            }
        }
    }

    async fn open_http1(
        &self,
        hop: &Hop<'_>,
        key: &Arc<Key>,
        leave: Leave<Http1>,
    ) -> Result<Lent, SendError> {
        let wire = match self.upstream.connect(hop, Some(Version::Http1.protocol()), None).await {
            Ok(wire) => wire.holding(leave.place),
            Err(error) => {
                let error = SendError::from(error);
                self.http1.fail(key, &error);
                return Err(error);
            }
        };
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(SendError::handshake)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("upstream connection ended: {}", reason_of(&error));
            }
        });
        let connection = Connection { sender, opened: Instant::now(), served: 0 };
        Ok(Lent::new(connection, key, Arc::downgrade(&self.http1)))
    }
}

impl Lent {
    fn new(connection: Connection, key: &Arc<Key>, slots: Weak<Slots<Http1>>) -> Lent {
        Lent { connection: Some(connection), key: key.clone(), slots }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|held| held.is_young(&self.key.bounds)) {
            give_back(connection, self.key.clone(), self.slots.clone());
        }
    }
}

/// Keeps a connection once it can take the next request, which is soon after a
/// response has been read in full and never otherwise.
fn give_back(mut connection: Connection, key: Arc<Key>, slots: Weak<Slots<Http1>>) {
    let keep = move |connection| {
        if let Some(slots) = slots.upgrade() {
            slots.keep(&key, Kept { connection, since: Instant::now() }, MOST_KEPT);
        }
    };
    if connection.sender.is_ready() {
        return keep(connection);
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        if connection.sender.ready().await.is_ok() {
            keep(connection);
        }
    });
}
