//! HTTP connections to endpoints, kept for the next request: HTTP/1 one request
//! at a time, HTTP/2 shared. One pool per worker, so none is ever contended for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_model::{Identity, TunnelProtocol};
use mesh_state::Endpoint;
use tokio::time::Instant;

use super::Upstream;
use super::classify::{failure_of, reason_of};
use crate::http::{Failure, RequestBody};

/// A connection that nobody used for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);
/// HTTP/1 connections kept per endpoint.
const MOST_KEPT: usize = 128;
/// Requests at the same time on one HTTP/2 connection.
const MOST_STREAMS: usize = 100;
/// What a response's head may take.
const LARGEST_HEAD: usize = 64 * 1024;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

type Body = RequestBody<Incoming>;

/// The version of HTTP spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// The connections of one worker.
#[derive(Clone)]
pub(crate) struct HttpPool {
    upstream: Arc<Upstream>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    slots: Mutex<HashMap<Key, Slot>>,
}

/// What connections must have in common to take each other's requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: SocketAddr,
    hbone: bool,
    accepted: Vec<Identity>,
    version: Version,
}

#[derive(Default)]
struct Slot {
    http1: Vec<Kept>,
    http2: Vec<Multiplexed>,
    /// Held while one more HTTP/2 connection is opened, so that a burst opens one and not many.
    opening: Arc<tokio::sync::Mutex<()>>,
}

struct Kept {
    sender: http1::SendRequest<Body>,
    since: Instant,
}

#[derive(Clone)]
struct Multiplexed {
    sender: http2::SendRequest<Body>,
    usage: Arc<Usage>,
}

struct Usage {
    streams: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// A response, and the place in a connection that it holds until its end.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// A request's place in a connection; dropped once the response has been read.
pub(crate) struct Lease(Place);

enum Place {
    /// Taken out of the pool; `None` once it has been given back.
    Http1(Option<(http1::SendRequest<Body>, Key, Weak<Shared>)>),
    Http2(Arc<Usage>),
}

/// A request that brought no response.
#[derive(Debug)]
pub(crate) struct SendError {
    pub(crate) failure: Failure,
    pub(crate) reason: String,
}

impl HttpPool {
    /// An empty pool. Call on the worker's runtime: it closes what is idle there.
    pub(crate) fn new(upstream: Arc<Upstream>) -> HttpPool {
        let shared = Arc::new(Shared::default());
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        HttpPool { upstream, shared }
    }

    /// Sends a request to an endpoint and waits for the head of the response.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        version: Version,
        request: Request<Body>,
    ) -> Result<Answer, SendError> {
        let key = Key {
            address: endpoint.address,
            hbone: endpoint.tunnel == TunnelProtocol::Hbone,
            accepted: endpoint.accepted.clone(),
            version,
        };
        match version {
            Version::Http1 => self.send_http1(endpoint, key, request).await,
            Version::Http2 => self.send_http2(endpoint, key, request).await,
        }
    }

    async fn send_http1(
        &self,
        endpoint: &Endpoint,
        key: Key,
        mut request: Request<Body>,
    ) -> Result<Answer, SendError> {
        let safe = request.method().is_safe();
        loop {
            let kept = self.shared.take_http1(&key);
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open_http1(endpoint).await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Lease(Place::Http1(Some((sender, key, Arc::downgrade(&self.shared)))));
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

    async fn send_http2(
        &self,
        endpoint: &Endpoint,
        key: Key,
        mut request: Request<Body>,
    ) -> Result<Answer, SendError> {
        let safe = request.method().is_safe();
        loop {
            let (mut connection, reused) = match self.shared.find_http2(&key) {
                Some(connection) => (connection, true),
                None => self.open_http2(endpoint, &key).await?,
            };
            let lease = Lease::http2(&connection.usage);
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(Answer { response, lease }),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => {
                        self.shared.remove_http2(&key, &connection.usage);
                        request = unsent;
                    }
                    unsent => return Err(SendError::of(error.error(), unsent.is_none(), reused && safe)),
                },
            }
        }
    }

    async fn open_http1(&self, endpoint: &Endpoint) -> Result<http1::SendRequest<Body>, SendError> {
        let wire = self.upstream.connect(endpoint, None).await.map_err(SendError::connect)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(SendError::connect)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!("upstream connection ended: {}", reason_of(&error));
            }
        });
        Ok(sender)
    }

    /// A connection with room, and whether others use it too.
    async fn open_http2(&self, endpoint: &Endpoint, key: &Key) -> Result<(Multiplexed, bool), SendError> {
        let opening = self.shared.lock().entry(key.clone()).or_default().opening.clone();
        let _opening = opening.lock().await;
        if let Some(opened_meanwhile) = self.shared.find_http2(key) {
            return Ok((opened_meanwhile, true));
        }
        let wire = self.upstream.connect(endpoint, None).await.map_err(SendError::connect)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(LARGEST_HEAD as u32)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(SendError::connect)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("upstream connection ended: {}", reason_of(&error));
            }
        });
        let usage = Usage { streams: AtomicUsize::new(0), idle_since: Mutex::new(Instant::now()) };
        let opened = Multiplexed { sender, usage: Arc::new(usage) };
        self.shared.lock().entry(key.clone()).or_default().http2.push(opened.clone());
        Ok((opened, false))
    }
}

impl SendError {
    fn connect(error: impl std::fmt::Display) -> SendError {
        SendError { failure: Failure::Connect, reason: error.to_string() }
    }

    fn of(error: &hyper::Error, sent: bool, kept: bool) -> SendError {
        let failure = if sent { failure_of(error, kept) } else { Failure::Connect };
        SendError { failure, reason: reason_of(error) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        // Every change under the lock leaves the map whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_http1(&self, key: &Key) -> Option<http1::SendRequest<Body>> {
        let mut slots = self.lock();
        let slot = slots.get_mut(key)?;
        // The latest first: it is the least likely to have been closed.
        while let Some(kept) = slot.http1.pop() {
            if kept.sender.is_ready() {
                return Some(kept.sender);
            }
        }
        None
    }

    fn keep_http1(&self, key: Key, sender: http1::SendRequest<Body>) {
        let mut slots = self.lock();
        let kept = &mut slots.entry(key).or_default().http1;
        if kept.len() < MOST_KEPT {
            kept.push(Kept { sender, since: Instant::now() });
        }
    }

    fn find_http2(&self, key: &Key) -> Option<Multiplexed> {
        let mut slots = self.lock();
        let connections = &mut slots.get_mut(key)?.http2;
        connections.retain(|connection| !connection.sender.is_closed());
        connections.iter().find(|connection| connection.usage.streams() < MOST_STREAMS).cloned()
    }

    fn remove_http2(&self, key: &Key, usage: &Arc<Usage>) {
        if let Some(slot) = self.lock().get_mut(key) {
            slot.http2.retain(|connection| !Arc::ptr_eq(&connection.usage, usage));
        }
    }

    fn sweep(&self) {
        self.lock().retain(|_, slot| {
            slot.http1.retain(|kept| kept.sender.is_ready() && kept.since.elapsed() < IDLE_TIMEOUT);
            slot.http2.retain(|connection| !connection.sender.is_closed() && !connection.usage.is_idle());
            !slot.http1.is_empty() || !slot.http2.is_empty() || Arc::strong_count(&slot.opening) > 1
        });
    }
}

impl Usage {
    fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams() == 0 && since.elapsed() >= IDLE_TIMEOUT
    }
}

impl Lease {
    fn http2(usage: &Arc<Usage>) -> Lease {
        usage.streams.fetch_add(1, Ordering::Relaxed);
        Lease(Place::Http2(usage.clone()))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match &mut self.0 {
            Place::Http1(held) => {
                if let Some((sender, key, shared)) = held.take() {
                    give_back(sender, key, shared);
                }
            }
            Place::Http2(usage) => {
                *usage.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                usage.streams.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Keeps a connection once it can take the next request, which is soon after a
/// response has been read in full and never otherwise.
fn give_back(mut sender: http1::SendRequest<Body>, key: Key, shared: Weak<Shared>) {
    if sender.is_ready() {
        if let Some(shared) = shared.upgrade() {
            shared.keep_http1(key, sender);
        }
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        if sender.ready().await.is_ok()
            && let Some(shared) = shared.upgrade()
        {
            shared.keep_http1(key, sender);
        }
    });
}

async fn sweep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        match shared.upgrade() {
            Some(shared) => shared.sweep(),
            None => return,
        }
    }
}
