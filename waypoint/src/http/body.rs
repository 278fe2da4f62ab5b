//! Bodies of requests on their way to a backend: sent as they come, and kept up
//! to a limit, so that another attempt or a copy can have them too.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::sync::oneshot;

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is kept of a body. Requests with more in them are neither tried again nor copied.
pub(crate) const MOST_KEPT: usize = 64 * 1024;

/// The body of one request to a backend.
#[derive(Debug)]
pub(crate) enum RequestBody<B> {
    Empty,
    Whole(Full<Bytes>),
    Shared(Attempt<B>),
}

/// A body that came with a request; each attempt opens it anew.
#[derive(Debug)]
pub(crate) struct BodySource<B> {
    shared: Option<Arc<Shared<B>>>,
}

impl<B> Clone for BodySource<B> {
    fn clone(&self) -> Self {
        BodySource { shared: self.shared.clone() }
    }
}

/// What a body begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) bytes: Bytes,
    /// It is all of it.
    pub(crate) complete: bool,
}

#[derive(Debug)]
struct Shared<B> {
    state: Mutex<State<B>>,
    received: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State<B> {
    body: B,
    /// Tells the latest attempt from those that were given up.
    attempt: u32,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// What may be kept.
    most_kept: usize,
    trailers: Option<HeaderMap>,
    phase: Phase,
    /// Who wants all of it.
    waiting: Vec<oneshot::Sender<Bytes>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// More may come; all that came is kept.
    Reading,
    /// More may come; what came is gone.
    Overflown,
    /// All came and is kept.
    Kept,
    /// Nothing comes any more, and not all is kept.
    Lost,
}

/// One attempt's view: what was kept, then what still comes.
#[derive(Debug)]
pub(crate) struct Attempt<B> {
    shared: Arc<Shared<B>>,
    attempt: u32,
    next: usize,
    /// It has had all there is.
    ended: bool,
}

impl<B: Body<Data = Bytes> + Unpin> BodySource<B> {
    /// `received` counts the bytes that came from the client.
    pub(crate) fn new(body: B, received: Arc<AtomicU64>) -> Self {
        if body.is_end_stream() {
            return BodySource { shared: None };
        }
        let state = State {
            body,
            attempt: 0,
            kept: Vec::new(),
            kept_bytes: 0,
            most_kept: MOST_KEPT,
            trailers: None,
            phase: Phase::Reading,
            waiting: Vec::new(),
        };
        BodySource { shared: Some(Arc::new(Shared { state: Mutex::new(state), received })) }
    }

    /// The body from its start, for the next attempt; the one before gets no more of it.
    pub(crate) fn open(&self) -> RequestBody<B> {
        let Some(shared) = &self.shared else { return RequestBody::Empty };
        let mut state = shared.lock();
        state.attempt += 1;
        let attempt = state.attempt;
        drop(state);
        RequestBody::Shared(Attempt { shared: shared.clone(), attempt, next: 0, ended: false })
    }

    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.is_none()
    }

    /// Whether another attempt would have all of it (RES-14).
    pub(crate) fn can_be_opened_again(&self) -> bool {
        let Some(shared) = &self.shared else { return true };
        matches!(shared.lock().phase, Phase::Reading | Phase::Kept)
    }

    /// What comes until there is more than `limit`, or all of it. Each attempt still has it from its start.
    pub(crate) async fn beginning(&self, limit: usize) -> Result<Beginning, BoxError>
    where
        B::Error: Into<BoxError>,
    {
        let mut bytes = BytesMut::new();
        let (Some(shared), RequestBody::Shared(mut attempt)) = (&self.shared, self.open()) else {
            return Ok(Beginning { bytes: bytes.freeze(), complete: true });
        };
        shared.lock().most_kept = usize::MAX;
        let complete = loop {
            let frame = std::future::poll_fn(|cx| attempt.poll(cx)).await.transpose();
            let data = match frame {
                Ok(None) => break true,
                Ok(Some(frame)) => frame.into_data().unwrap_or_default(),
                Err(error) => return Err(error),
            };
            bytes.extend_from_slice(&data);
            if bytes.len() > limit {
                bytes.truncate(limit);
                break false;
            }
        };
        let mut state = shared.lock();
        state.most_kept = MOST_KEPT.max(state.kept_bytes);
        Ok(Beginning { bytes: bytes.freeze(), complete })
    }

    /// All of it, once it has come; nothing if that never is, or is more than is kept.
    /// Who waits for it does not keep the body alive.
    pub(crate) fn whole(&self) -> oneshot::Receiver<Bytes> {
        let (sender, receiver) = oneshot::channel();
        match &self.shared {
            // Fails only when the receiver is gone.
            None => drop(sender.send(Bytes::new())),
            Some(shared) => {
                let mut state = shared.lock();
                state.waiting.push(sender);
                state.tell_waiting();
            }
        }
        receiver
    }
}

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // A panic below a body leaves at worst a body that ends early, which its reader notices.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> State<B> {
    fn leave(&mut self, to: Phase) {
        if self.phase == Phase::Reading || (self.phase == Phase::Overflown && to == Phase::Lost) {
            self.phase = to;
        }
        if self.phase != Phase::Kept {
            self.kept = Vec::new();
            self.trailers = None;
        }
        self.tell_waiting();
    }

    fn tell_waiting(&mut self) {
        match self.phase {
            Phase::Reading => {}
            // Dropped, they learn that it is not to be had.
            Phase::Overflown | Phase::Lost => self.waiting.clear(),
            Phase::Kept if self.waiting.is_empty() => {}
            Phase::Kept => {
                let mut whole = BytesMut::with_capacity(self.kept_bytes);
                self.kept.iter().for_each(|part| whole.extend_from_slice(part));
                let whole = whole.freeze();
                for waiting in self.waiting.drain(..) {
                    // Who stopped waiting does not miss it.
                    let _ = waiting.send(whole.clone());
                }
            }
        }
    }

    fn end(&mut self) {
        self.leave(if self.phase == Phase::Reading { Phase::Kept } else { Phase::Lost });
    }

    fn keep(&mut self, data: &Bytes) {
        if self.phase == Phase::Reading {
            self.kept_bytes += data.len();
            match self.kept_bytes <= self.most_kept {
                true => self.kept.push(data.clone()),
                false => self.leave(Phase::Overflown),
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Attempt<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.shared.lock();
        if state.attempt != self.attempt {
            return Poll::Ready(Some(Err("another attempt has taken over".into())));
        }
        if let Some(data) = state.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        match state.phase {
            Phase::Reading | Phase::Overflown => {}
            Phase::Kept if self.ended => return Poll::Ready(None),
            Phase::Kept => {
                self.ended = true;
                return Poll::Ready(state.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            Phase::Lost if self.ended => return Poll::Ready(None),
            Phase::Lost => return Poll::Ready(Some(Err("the body is gone".into()))),
        }
        let frame = std::task::ready!(Pin::new(&mut state.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.shared.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                    state.keep(data);
                    self.next = state.kept.len();
                    // Whoever knows the length asks for no more than that.
                    if state.body.is_end_stream() {
                        self.ended = state.phase == Phase::Overflown;
                        state.end();
                    }
                } else {
                    // Nothing follows trailers, and nobody asks for it.
                    state.trailers = frame.trailers_ref().cloned();
                    self.ended = true;
                    state.end();
                }
            }
            Some(Err(_)) => state.leave(Phase::Lost),
            None => {
                self.ended = true;
                state.end();
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Whole(full) => Pin::new(full).poll_frame(cx).map_err(Into::into),
            RequestBody::Shared(attempt) => attempt.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Whole(full) => full.is_end_stream(),
            RequestBody::Shared(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Whole(full) => full.size_hint(),
            RequestBody::Shared(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests;
