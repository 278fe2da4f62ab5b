//! HTTP connections to endpoints, kept for the next request: HTTP/1 one request
//! at a time, HTTP/2 shared. One pool per worker, so none is ever contended for.

mod http1;
mod http2;
mod key;
mod keys;
mod slots;

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

use super::limits::{Counted, Overflow};
use super::{Hop, OpenError, Upstream};
use crate::http::{ClientBody, Failure, RequestBody};
use crate::upstream::classify::{failure_of, reason_of};
use keys::Keys;
use slots::Slots;

/// How often connections that nobody uses, or that are too old, are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// What a response's head may take.
const LARGEST_HEAD: usize = 64 * 1024;

type Body = RequestBody<ClientBody>;

/// The version of HTTP spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    Http1,
    Http2,
}

impl Version {
    /// What TLS calls it (ALPN).
    pub(crate) fn protocol(self) -> &'static [u8] {
        match self {
            Version::Http1 => b"http/1.1",
            Version::Http2 => b"h2",
        }
    }
}

/// The connections of one worker.
#[derive(Clone)]
pub(crate) struct HttpPool {
    upstream: Arc<Upstream>,
    http1: Arc<Slots<http1::Http1>>,
    http2: Arc<Slots<http2::Http2>>,
    keys: Arc<Keys>,
}

/// A response, and the place in a connection that it holds until its end.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// A request's place in a connection and in the service's limits; dropped once the response has been read.
pub(crate) struct Lease {
    /// First, so that whoever waits for the connection is not one too many.
    _request: Option<Counted>,
    _connection: Held,
}

enum Held {
    Http1(#[expect(dead_code, reason = "dropped, it gives the connection back")] http1::Lent),
    Http2(#[expect(dead_code, reason = "dropped, it makes room for another stream")] http2::Lent),
}

/// A request that brought no response.
#[derive(Clone, Debug)]
pub(crate) struct SendError {
    pub(crate) failure: Failure,
    pub(crate) reason: String,
}

impl HttpPool {
    /// An empty pool. Call on the worker's runtime: it closes what is idle there.
    pub(crate) fn new(upstream: Arc<Upstream>) -> HttpPool {
        let (http1, http2) = (Arc::<Slots<_>>::default(), Arc::<Slots<_>>::default());
        let keys = Arc::<Keys>::default();
        tokio::spawn(sweep(Arc::downgrade(&http1), Arc::downgrade(&http2), Arc::downgrade(&keys)));
        HttpPool { upstream, http1, http2, keys }
    }

    /// Sends a request to an endpoint and waits for the head of the response.
    pub(crate) async fn send(
        &self,
        hop: &Hop<'_>,
        version: Version,
        request: Request<Body>,
    ) -> Result<Answer, SendError> {
        let key = self.keys.find(hop, version);
        match version {
            Version::Http1 => self.send_http1(hop, &key, request).await,
            Version::Http2 => self.send_http2(hop, &key, request).await,
        }
    }
}

impl SendError {
    fn of(error: &hyper::Error, sent: bool, kept: bool) -> SendError {
        let failure = if sent { failure_of(error, kept) } else { Failure::Connect };
        SendError { failure, reason: reason_of(error) }
    }

    fn handshake(error: hyper::Error) -> SendError {
        SendError { failure: Failure::Connect, reason: reason_of(&error) }
    }
}

impl From<OpenError> for SendError {
    fn from(error: OpenError) -> SendError {
        let failure = match &error {
            OpenError::Tls(_) => Failure::Tls,
            OpenError::Connect(_) | OpenError::Timeout(..) | OpenError::ClientAddress(..) => Failure::Connect,
        };
        SendError { failure, reason: error.to_string() }
    }
}

impl From<Overflow> for SendError {
    fn from(overflow: Overflow) -> SendError {
        SendError { failure: Failure::Overflow, reason: overflow.to_string() }
    }
}

async fn sweep(http1: Weak<Slots<http1::Http1>>, http2: Weak<Slots<http2::Http2>>, keys: Weak<Keys>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let (Some(http1), Some(http2)) = (http1.upgrade(), http2.upgrade()) else { return };
        http1.sweep();
        http2.sweep();
        keys.upgrade().iter().for_each(|keys| keys.sweep());
    }
}
