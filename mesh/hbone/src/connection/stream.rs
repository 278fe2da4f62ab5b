//! A stream as those hold it who read and write it. Dropped before both directions
//! have ended, it is reset: what was cut off must not look complete.

use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use mesh_frames::{Reason, encode_status};
use tokio::io::ReadBuf;

use super::{Connection, Role, State};
use crate::error::Broken;

/// What the far end said to a request for a tunnel.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

/// What a [fill](StreamRef::poll_fill) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Nothing was there to be read: the source has ended.
    Nothing,
    /// So many bytes, and the source may have more at once.
    Full(usize),
    /// So many bytes; there was room for more.
    Part(usize),
}

/// One of the streams of a connection.
pub(crate) struct StreamRef {
    connection: Arc<Connection>,
    id: u32,
}

impl StreamRef {
    pub(super) fn new(connection: &Arc<Connection>, id: u32) -> Self {
        StreamRef { connection: Arc::clone(connection), id }
    }

    /// Waits for the answer to the request that opened it.
    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Answer, Broken>> {
        let mut state = self.connection.lock();
        let State { streams, broken, .. } = &mut *state;
        let Some(stream) = streams.find(self.id) else { return Poll::Ready(Err(Broken::Closed)) };
        if let Some((status, headers)) = stream.answer.take() {
            return Poll::Ready(Ok(Answer { status, headers }));
        }
        if let Some(why) = stream.broken.as_ref().or(broken.as_ref()) {
            return Poll::Ready(Err(why.clone()));
        }
        wait(&mut stream.reader, cx)
    }

    /// Answers the request that opened it.
    pub(crate) fn answer<'a>(
        &self,
        status: u16,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        end: bool,
    ) -> Result<(), Broken> {
        let mut block = Vec::new();
        encode_status(&mut block, status);
        for (name, value) in headers {
            mesh_frames::encode_field(&mut block, name.as_bytes(), value);
        }
        let mut state = self.connection.lock();
        let State { streams, broken, outgoing, .. } = &mut *state;
        let Some(stream) = streams.find(self.id) else { return Err(Broken::Closed) };
        if let Some(why) = stream.broken.as_ref().or(broken.as_ref()) {
            return Err(why.clone());
        }
        stream.local_ended = end;
        let mut frame = Vec::with_capacity(block.len() + mesh_frames::HEAD);
        mesh_frames::headers(&mut frame, self.id, &block, end);
        outgoing.append(&frame);
        state.wake_driver();
        Ok(())
    }

    /// The next bytes as they came, `None` at the end. They count against the
    /// window until they are [released](Self::release).
    pub(crate) fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.connection.lock().poll_chunk(self.id, cx)
    }

    /// Lets the far end send this much more.
    pub(crate) fn release(&self, taken: usize) {
        self.connection.lock().release_taken(self.id, taken);
    }

    /// Reads as much of the next bytes as there is place for, and lets the far end
    /// send as much again. Nothing at the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        place: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Broken>> {
        let mut state = self.connection.lock();
        let Some(chunk) = ready!(state.poll_chunk(self.id, cx)) else { return Poll::Ready(Ok(())) };
        let mut chunk = chunk?;
        let taken = chunk.len().min(place.remaining());
        place.put_slice(&chunk[..taken]);
        chunk.advance(taken);
        if let Some(stream) = state.streams.find(self.id) {
            stream.received.unread(chunk);
        }
        state.release_taken(self.id, taken);
        Poll::Ready(Ok(()))
    }

    /// Sends what `read` puts into the place it is given, once there is room. Wakes
    /// up too when the far end wants no more.
    pub(crate) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<Filled, FillError>> {
        let mut state = self.connection.lock();
        let room = match ready!(state.poll_room(self.id, cx)) {
            Ok(room) => room,
            Err(why) => return Poll::Ready(Err(FillError::Stream(why))),
        };
        let (count, full) = match ready!(state.outgoing.fill(self.id, room, |place| read(cx, place))) {
            Ok(filled) => filled,
            Err(error) => return Poll::Ready(Err(FillError::Source(error))),
        };
        Poll::Ready(Ok(state.filled(self.id, count, full)))
    }

    /// The same with several records of its own for one vectored read, which may find nothing to read.
    pub(crate) fn poll_fill_records(
        &self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> Poll<Result<Filled, FillError>> {
        let mut state = self.connection.lock();
        let room = match ready!(state.poll_room(self.id, cx)) {
            Ok(room) => room,
            Err(why) => return Poll::Ready(Err(FillError::Stream(why))),
        };
        let (count, full) = match state.outgoing.fill_records(self.id, room, read) {
            Ok(filled) => filled,
            Err(error) => return Poll::Ready(Err(FillError::Source(error))),
        };
        Poll::Ready(Ok(state.filled(self.id, count, full)))
    }

    /// Tells the far end that nothing more comes.
    pub(crate) fn end(&self) -> Result<(), Broken> {
        let mut state = self.connection.lock();
        let State { streams, broken, outgoing, .. } = &mut *state;
        let Some(stream) = streams.find(self.id) else { return Err(Broken::Closed) };
        if stream.local_ended {
            return Ok(());
        }
        if let Some(why) = stream.broken.as_ref().or(broken.as_ref()) {
            return Err(why.clone());
        }
        stream.local_ended = true;
        outgoing.append(&mesh_frames::data_head(self.id, 0, true));
        state.wake_driver();
        Ok(())
    }

    /// Ends it at once: the far end sees a reset, not an end.
    pub(crate) fn abort(&self) {
        let mut state = self.connection.lock();
        let Some(stream) = state.streams.find(self.id) else { return };
        if stream.broken.is_none() {
            stream.break_off(Broken::Closed);
            state.reset(self.id, Reason::CANCEL);
        }
    }

    /// The far end has said all it had to say and wants no more: no failure (RFC 9113 §8.1).
    pub(crate) fn is_satisfied(&self) -> bool {
        let mut state = self.connection.lock();
        let stream = state.streams.find(self.id);
        stream.is_some_and(|stream| matches!(stream.broken, Some(Broken::Reset(Reason::NO_ERROR))))
    }

    /// Refuses it as not looked at: the peer may ask again elsewhere.
    pub(crate) fn refuse_unseen(&self) {
        self.break_with(Reason::REFUSED_STREAM);
    }

    fn break_with(&self, reason: Reason) {
        let mut state = self.connection.lock();
        if let Some(stream) = state.streams.find(self.id) {
            stream.break_off(Broken::Closed);
            state.reset(self.id, reason);
        }
    }
}

/// Why nothing was sent.
pub(crate) enum FillError {
    /// Where it was to be read from.
    Source(io::Error),
    /// Where it was to go.
    Stream(Broken),
}

impl Drop for StreamRef {
    fn drop(&mut self) {
        let mut state = self.connection.lock();
        let Some(stream) = state.streams.remove(self.id) else { return };
        state.release(stream.unreleased);
        if !stream.is_closed() && state.broken.is_none() {
            // A server that has answered in full wants no more of the question (RFC 9113 §8.1).
            let answered = state.role == Role::Server && stream.local_ended;
            let reason = if answered { Reason::NO_ERROR } else { Reason::CANCEL };
            state.reset(self.id, reason);
        }
        // The connection may have waited for its last stream.
        state.wake_driver();
    }
}

/// Remembers who waits.
pub(super) fn wait<T>(place: &mut Option<std::task::Waker>, cx: &Context<'_>) -> Poll<T> {
    if !place.as_ref().is_some_and(|held| held.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
    Poll::Pending
}

impl State {
    fn poll_chunk(&mut self, id: u32, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let State { streams, broken, .. } = self;
        let Some(stream) = streams.find(id) else { return Poll::Ready(Some(Err(Broken::Closed))) };
        if let Some(chunk) = stream.received.pop() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        if stream.remote_ended {
            return Poll::Ready(None);
        }
        match stream.broken.as_ref().or(broken.as_ref()) {
            // After a complete answer, this says that no more is wanted (RFC 9113 §8.1).
            Some(Broken::Reset(Reason::NO_ERROR)) => Poll::Ready(None),
            Some(why) => Poll::Ready(Some(Err(why.clone()))),
            None => wait(&mut stream.reader, cx),
        }
    }

    fn release_taken(&mut self, id: u32, taken: usize) {
        let Some(stream) = self.streams.find(id) else { return };
        // Chunks are parts of frames, whose lengths have 24 bits.
        let taken = u32::try_from(taken).unwrap_or(u32::MAX).min(stream.unreleased);
        stream.unreleased -= taken;
        let told = stream.receive.release(taken).filter(|_| !stream.remote_ended && stream.broken.is_none());
        self.allow(id, told);
        self.release(taken);
    }

    /// How much a stream may send now, at least one byte; else its writer waits.
    fn poll_room(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<usize, Broken>> {
        let room = self.find_room(id);
        let State { streams, broken, .. } = self;
        let Some(stream) = streams.find(id) else { return Poll::Ready(Err(Broken::Closed)) };
        if let Some(why) = stream.broken.as_ref().or(broken.as_ref()) {
            return Poll::Ready(Err(why.clone()));
        }
        if stream.local_ended {
            return Poll::Ready(Err(Broken::Ended));
        }
        // Also while there is room: who reads elsewhere for it hears of a reset.
        let _: Poll<()> = wait(&mut stream.writer, cx);
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        if stream.send.available() > 0 {
            streams.block(id);
        }
        Poll::Pending
    }

    /// How much a stream may send now.
    fn find_room(&mut self, id: u32) -> usize {
        if !self.outgoing.has_room() {
            return 0;
        }
        let shared = self.send.available();
        match self.streams.find(id) {
            Some(stream) if !stream.is_closed() => stream.send.available().min(shared),
            _ => 0,
        }
    }

    /// What was read is on its way.
    fn filled(&mut self, id: u32, count: usize, full: bool) -> Filled {
        if count == 0 {
            return Filled::Nothing;
        }
        self.send.take(count);
        if let Some(stream) = self.streams.find(id) {
            stream.send.take(count);
        }
        self.wake_driver();
        if full { Filled::Full(count) } else { Filled::Part(count) }
    }

    /// Ends a stream at once, in the eyes of the peer.
    pub(super) fn reset(&mut self, id: u32, reason: Reason) {
        let mut frame = Vec::with_capacity(mesh_frames::HEAD + 4);
        mesh_frames::reset(&mut frame, id, reason);
        self.outgoing.append(&frame);
        self.wake_driver();
    }

    /// Makes room in the connection's window.
    pub(super) fn release(&mut self, bytes: u32) {
        let told = self.receive.release(bytes);
        self.allow(0, told);
    }

    /// Tells the peer of room it has.
    pub(super) fn allow(&mut self, id: u32, bytes: Option<u32>) {
        if let Some(bytes) = bytes {
            let mut frame = Vec::with_capacity(mesh_frames::HEAD + 4);
            mesh_frames::window_update(&mut frame, id, bytes);
            self.outgoing.append(&frame);
            self.wake_driver();
        }
    }
}
