//! Bytes that wait to be sent. With a record layer of our own they are sealed
//! where they stand: a record's header, the frames of whichever streams have
//! something to say, room for its tag. Payload is read from its socket straight
//! to its place. Without one, the carrier encrypts, and the same places hold no
//! room for records.

use std::io::{self, IoSliceMut};
use std::task::{Poll, ready};

use mesh_frames::HEAD;
use mesh_record::{AlertDescription, HEADER, LARGEST_PAYLOAD, RecordError, Sealer, TRAILER};

use super::spare;

/// Payload waits for its turn while more than this is to be sent.
const FULL: usize = 4 * (HEADER + LARGEST_PAYLOAD + TRAILER);
/// A frame that begins with less room than this is not worth its head: the record is closed.
const LEAST: usize = 1024;
/// Records one vectored read fills, at most.
const AT_ONCE: usize = FULL.div_ceil(HEADER + LARGEST_PAYLOAD + TRAILER);

pub(super) struct Outgoing {
    sealer: Option<Sealer>,
    /// Its length is the room it has; what counts ends at `end`.
    buffer: Vec<u8>,
    /// Up to here the carrier has taken it.
    sent: usize,
    /// Up to here it can be sent.
    ready: usize,
    /// Behind `ready` stands the record that is being written, if this is beyond.
    end: usize,
    /// The end was announced, or sealing failed: nothing more goes in.
    closed: bool,
    failed: Option<RecordError>,
}

impl Outgoing {
    pub(super) fn new(sealer: Option<Sealer>) -> Self {
        Outgoing { sealer, buffer: Vec::new(), sent: 0, ready: 0, end: 0, closed: false, failed: None }
    }

    /// Everything that waits, the unfinished record included.
    pub(super) fn pending(&self) -> usize {
        self.end - self.sent
    }

    /// Whether payload may be added.
    pub(super) fn has_room(&self) -> bool {
        self.pending() < FULL
    }

    /// Adds frames other than DATA with a payload. What peers can make us
    /// say is bounded where it is read.
    pub(super) fn append(&mut self, mut frames: &[u8]) {
        while !frames.is_empty() && !self.closed {
            let room = self.open(1);
            let (part, rest) = frames.split_at(frames.len().min(room));
            self.buffer[self.end..self.end + part.len()].copy_from_slice(part);
            self.end += part.len();
            if part.len() == room {
                self.close_record();
            }
            frames = rest;
        }
    }

    /// Adds one DATA frame of what `read` puts into the place it is given, at most
    /// `most` bytes. Nothing is added for 0 bytes. Tells how many there were, and
    /// whether the place was full.
    pub(super) fn fill(
        &mut self,
        stream: u32,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<(usize, bool)>> {
        let room = self.open(HEAD + LEAST.min(most)) - HEAD;
        let begin = self.end + HEAD;
        let place = room.min(most);
        // An unfinished record without anything in it is none.
        let result = read(&mut self.buffer[begin..begin + place]);
        let count = match ready!(self.unless_nothing(result))? {
            0 => return Poll::Ready(Ok((0, false))),
            count => count,
        };
        self.buffer[self.end..begin].copy_from_slice(&mesh_frames::data_head(stream, count, false));
        self.end = begin + count;
        if room - count < HEAD + LEAST {
            self.close_record();
        }
        Poll::Ready(Ok((count, count == place)))
    }

    /// The same for several frames in records of their own, by one vectored read: as many as are
    /// missing until it is full. There has to be [room](Self::has_room).
    pub(super) fn fill_records(
        &mut self,
        stream: u32,
        most: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<(usize, bool)> {
        self.close_record();
        let (before, after) = self.margins();
        let payload = LARGEST_PAYLOAD - HEAD;
        let stride = before + LARGEST_PAYLOAD + after;
        let missing = FULL.saturating_sub(self.pending()).div_ceil(stride).clamp(1, AT_ONCE);
        let count = most.div_ceil(payload).min(missing);
        let base = self.ready;
        self.make_room(base + count * stride);
        let mut places: [IoSliceMut<'_>; AT_ONCE] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut left = most;
        let records = self.buffer[base..base + count * stride].chunks_exact_mut(stride);
        for (place, record) in places.iter_mut().zip(records) {
            let size = payload.min(left);
            left -= size;
            *place = IoSliceMut::new(&mut record[before + HEAD..before + HEAD + size]);
        }
        let result = read(&mut places[..count]);
        if self.pending() == 0 && !matches!(result, Ok(1..)) {
            self.taken(0);
        }
        let mut got = result?;
        let total = got;
        while got > 0 {
            let part = got.min(payload);
            let head = self.ready + before;
            self.buffer[head..head + HEAD].copy_from_slice(&mesh_frames::data_head(stream, part, false));
            self.end = head + HEAD + part;
            got -= part;
            if part == payload {
                self.seal();
            }
        }
        self.renew_worn_key();
        Ok((total, total == most.min(count * payload)))
    }

    /// Why the bytes cannot be sealed, if they cannot.
    pub(super) fn failure(&self) -> Option<&RecordError> {
        self.failed.as_ref()
    }

    /// What can be sent now. Finishes the record that is being written.
    pub(super) fn sendable(&mut self) -> &[u8] {
        self.close_record();
        &self.buffer[self.sent..self.ready]
    }

    /// The carrier has taken so much.
    pub(super) fn taken(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.end {
            (self.sent, self.ready, self.end) = (0, 0, 0);
            spare::keep_writing(std::mem::take(&mut self.buffer));
        } else if self.sent > FULL {
            // Else the buffer would only grow while the peer is slow.
            self.buffer.copy_within(self.sent..self.end, 0);
            (self.ready, self.end) = (self.ready - self.sent, self.end - self.sent);
            self.sent = 0;
        }
    }

    /// The peer asked for new keys, or ours are worn.
    pub(super) fn update_key(&mut self) {
        self.out_of_band(Sealer::update_key);
    }

    /// Says that nothing more comes.
    pub(super) fn close(&mut self) {
        self.out_of_band(Sealer::close);
        self.closed = true;
    }

    /// Says why nothing more comes.
    pub(super) fn alert(&mut self, alert: AlertDescription) {
        self.out_of_band(|sealer, out| sealer.alert(alert, out));
        self.closed = true;
    }

    /// A record that carries no frames.
    fn out_of_band(&mut self, write: impl FnOnce(&mut Sealer, &mut Vec<u8>) -> Result<(), RecordError>) {
        self.seal();
        let Some(sealer) = self.sealer.as_mut().filter(|_| !self.closed) else { return };
        let mut record = Vec::new();
        match write(sealer, &mut record) {
            Ok(()) => {
                self.make_room(self.end + record.len());
                self.buffer[self.end..self.end + record.len()].copy_from_slice(&record);
                self.end += record.len();
                self.ready = self.end;
            }
            Err(error) => self.give_up(error),
        }
    }

    /// Bytes in front of a record's payload and behind it.
    fn margins(&self) -> (usize, usize) {
        if self.sealer.is_some() { (HEADER, TRAILER) } else { (0, 0) }
    }

    /// Begins a record unless one is being written that has this much room; tells its room.
    fn open(&mut self, least: usize) -> usize {
        let (before, after) = self.margins();
        if self.end > self.ready {
            let room = self.ready + before + LARGEST_PAYLOAD - self.end;
            if room >= least {
                return room;
            }
            self.close_record();
        }
        self.make_room(self.ready + before + LARGEST_PAYLOAD + after);
        self.end = self.ready + before;
        LARGEST_PAYLOAD
    }

    /// Nothing was read: a record that was begun for it is none.
    fn unless_nothing(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let nothing = !matches!(result, Poll::Ready(Ok(1..)));
        if nothing && self.end == self.ready + self.margins().0 {
            self.end = self.ready;
            if self.pending() == 0 {
                self.taken(0);
            }
        }
        result
    }

    /// Finishes the record that is being written.
    fn close_record(&mut self) {
        self.seal();
        self.renew_worn_key();
    }

    fn seal(&mut self) {
        if self.end == self.ready {
            return;
        }
        if let Some(sealer) = &mut self.sealer {
            self.end += TRAILER;
            if let Err(error) = sealer.seal(&mut self.buffer[self.ready..self.end]) {
                return self.give_up(error);
            }
        }
        self.ready = self.end;
    }

    /// Not while records wait to be sealed behind this one: the new key would be announced in their place.
    fn renew_worn_key(&mut self) {
        if self.sealer.as_ref().is_some_and(Sealer::is_worn) {
            self.update_key();
        }
    }

    /// Not sealed is not sent.
    fn give_up(&mut self, error: RecordError) {
        self.end = self.ready;
        self.closed = true;
        self.failed = Some(error);
    }

    fn make_room(&mut self, needed: usize) {
        if self.buffer.is_empty() {
            self.buffer = spare::take_writing();
        }
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
    }
}

#[cfg(test)]
mod tests;
