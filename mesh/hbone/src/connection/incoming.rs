//! Bytes that arrive: read in one piece, opened where they stand, handed on
//! without a copy. Between reads a connection owns only what is unfinished.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use mesh_record::{Opened, Opener, RecordError, find_record};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::spare;

pub(super) struct Incoming {
    opener: Option<Opener>,
    buffer: BytesMut,
    /// The peer has announced that nothing more comes.
    closed: bool,
}

/// What one look at the arrived bytes gives.
pub(super) enum Piece {
    /// Decrypted.
    Bytes(Bytes),
    /// The peer wants us to change our keys.
    KeyUpdateRequested,
}

impl Incoming {
    /// `received` came behind the handshake.
    pub(super) fn new(opener: Option<Opener>, received: BytesMut) -> Self {
        Incoming { opener, buffer: received, closed: false }
    }

    /// One read. `Ok(None)` at the end, else whether there may be more right away.
    pub(super) fn poll_read<C: AsyncRead + Unpin>(
        &mut self,
        carrier: &mut C,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<bool>>> {
        if self.buffer.is_empty() {
            self.buffer = spare::take_reading();
        }
        self.buffer.reserve(spare::READ);
        let room = self.buffer.capacity() - self.buffer.len();
        let result = pin!(carrier.read_buf(&mut self.buffer)).poll(cx);
        if self.buffer.is_empty() {
            spare::keep_reading(std::mem::take(&mut self.buffer));
        }
        Poll::Ready(Ok(match ready!(result)? {
            0 => None,
            taken => Some(taken == room),
        }))
    }

    /// Whether nothing of an unfinished record is held.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether the end of the bytes is one the peer wanted, and nobody else.
    pub(super) fn is_announced_end(&self) -> bool {
        self.closed || self.opener.is_none()
    }

    /// The next piece of what was read; nothing once more has to be read.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, RecordError> {
        let Some(opener) = &mut self.opener else {
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let bytes = self.buffer.split().freeze();
            self.keep();
            return Ok(Some(Piece::Bytes(bytes)));
        };
        while !self.closed {
            let Some(length) = find_record(&self.buffer)?.filter(|length| *length <= self.buffer.len())
            else {
                break;
            };
            match opener.open(self.buffer.split_to(length))? {
                Opened::Data(data) if data.is_empty() => {}
                Opened::Data(data) => return Ok(Some(Piece::Bytes(data.freeze()))),
                Opened::Nothing => {}
                Opened::KeyUpdateRequested => return Ok(Some(Piece::KeyUpdateRequested)),
                Opened::Closed => self.closed = true,
            }
        }
        self.keep();
        Ok(None)
    }

    fn keep(&mut self) {
        if self.buffer.is_empty() {
            spare::keep_reading(std::mem::take(&mut self.buffer));
        }
    }
}
