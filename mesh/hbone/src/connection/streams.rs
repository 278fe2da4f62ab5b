//! The streams of a connection: which numbers they have, which of them wait for room.

use std::collections::HashMap;
use std::task::Waker;

use http::HeaderMap;
use mesh_frames::Reason;

use super::Role;
use super::queue::Queue;
use super::window::{ReceiveWindow, SendWindow};
use crate::error::Broken;

/// RFC 9113 §5.1.1.
const LARGEST: u32 = (1 << 31) - 1;

/// One stream that somebody here holds.
pub(super) struct Stream {
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    pub(super) received: Queue,
    /// Bytes that arrived and for which no room was made yet.
    pub(super) unreleased: u32,
    /// A client's: what the far end answered.
    pub(super) answer: Option<(u16, HeaderMap)>,
    /// Whether the head of what the peer sends has come: the request, or the answer.
    pub(super) begun: bool,
    pub(super) remote_ended: bool,
    pub(super) local_ended: bool,
    /// Ended at once, by either side, and why.
    pub(super) broken: Option<Broken>,
    /// Who waits for something to read.
    pub(super) reader: Option<Waker>,
    /// Who waits for room to write, or to hear that none is wanted.
    pub(super) writer: Option<Waker>,
}

impl Stream {
    pub(super) fn new(send: u32, receive: u32, begun: bool) -> Self {
        Stream {
            send: SendWindow::new(send),
            receive: ReceiveWindow::new(receive),
            received: Queue::default(),
            unreleased: 0,
            answer: None,
            begun,
            remote_ended: false,
            local_ended: false,
            broken: None,
            reader: None,
            writer: None,
        }
    }

    /// Whether both ends count it as closed.
    pub(super) fn is_closed(&self) -> bool {
        self.broken.is_some() || (self.remote_ended && self.local_ended)
    }

    pub(super) fn break_off(&mut self, why: Broken) {
        if self.broken.is_none() {
            self.broken = Some(why);
            self.wake();
        }
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }
}

/// All of them by number, and those that wait for what they share.
pub(super) struct Streams {
    held: HashMap<u32, Stream>,
    /// The highest number so far of those the peer opens.
    pub(super) last_remote: u32,
    /// The next number of those we open.
    next_local: u32,
    /// Writers that wait for the connection's window or for room, in order.
    blocked: Vec<u32>,
}

impl Streams {
    pub(super) fn new(role: Role) -> Self {
        let next_local = if role == Role::Client { 1 } else { 2 };
        Streams { held: HashMap::new(), last_remote: 0, next_local, blocked: Vec::new() }
    }

    pub(super) fn find(&mut self, id: u32) -> Option<&mut Stream> {
        self.held.get_mut(&id)
    }

    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        self.held.insert(id, stream);
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        self.held.remove(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The number of a new stream of ours; none once all are used.
    pub(super) fn number(&mut self) -> Option<u32> {
        let id = self.next_local;
        self.next_local = id.checked_add(2).filter(|_| id <= LARGEST)?;
        Some(id)
    }

    /// Whether a stream of this number never was.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        if self.is_local(id) { id >= self.next_local } else { id > self.last_remote }
    }

    /// Whether we open streams of such numbers.
    pub(super) fn is_local(&self, id: u32) -> bool {
        id % 2 == self.next_local % 2
    }

    /// Streams the peer counts as open.
    pub(super) fn open(&self) -> usize {
        self.held.values().filter(|stream| !stream.is_closed()).count()
    }

    /// A writer waits for what all streams share.
    pub(super) fn block(&mut self, id: u32) {
        if !self.blocked.contains(&id) {
            self.blocked.push(id);
        }
    }

    /// There is room again.
    pub(super) fn unblock(&mut self) {
        for id in self.blocked.drain(..) {
            if let Some(stream) = self.held.get_mut(&id) {
                stream.wake_writer();
            }
        }
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.held.values_mut()
    }

    /// The peer has not looked at what we opened after `last`.
    pub(super) fn refuse_after(&mut self, last: u32, reason: Reason) {
        let local = self.next_local % 2;
        for (id, stream) in &mut self.held {
            if *id > last && id % 2 == local {
                stream.break_off(Broken::GoAway(reason));
            }
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.held.values_mut().for_each(Stream::wake);
    }
}
