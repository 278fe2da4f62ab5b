//! Buffers that nobody needs at the moment, kept by the thread: an idle connection owns none.

use std::cell::RefCell;

use bytes::BytesMut;

/// What one read takes: more falls out of the cache, much less is all system calls.
pub(super) const READ: usize = 64 * 1024;
/// More than this many at once are rare, and not worth keeping.
const KEPT: usize = 4;
/// A buffer that had to grow beyond this has done its work.
const LARGEST: usize = 256 * 1024;

thread_local! {
    static READING: RefCell<BytesMut> = RefCell::default();
    static WRITING: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

/// An empty buffer with room for a read, if what was read before is gone; else it makes room.
pub(super) fn take_reading() -> BytesMut {
    READING.with_borrow_mut(std::mem::take)
}

/// Keeps it for the next read; it has to be empty.
pub(super) fn keep_reading(buffer: BytesMut) {
    READING.with_borrow_mut(|kept| {
        if kept.capacity() < buffer.capacity() {
            *kept = buffer;
        }
    });
}

/// A buffer whose length is what it has room for; what stands in it means nothing.
pub(super) fn take_writing() -> Vec<u8> {
    WRITING.with_borrow_mut(|kept| kept.pop().unwrap_or_default())
}

pub(super) fn keep_writing(buffer: Vec<u8>) {
    WRITING.with_borrow_mut(|kept| {
        if kept.len() < KEPT && !buffer.is_empty() && buffer.len() <= LARGEST {
            kept.push(buffer);
        }
    });
}
