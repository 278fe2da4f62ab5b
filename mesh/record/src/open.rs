//! The receiving half of a connection: records into payload, in place, and the messages
//! that TLS 1.3 sends among them.

use std::fmt;

use bytes::{Buf, BytesMut};
use rustls::AlertDescription;

use crate::RecordError;
use crate::keys::{Key, Schedule};
use crate::wire::{ALERT, APPLICATION_DATA, HANDSHAKE, HEADER, LARGEST_PAYLOAD, TAG, find_record};

/// How many records without application data may come in a row. Each costs us work and the peer little.
const MOST_WITHOUT_DATA: u8 = 32;
/// The longest message of a handshake, in bytes with its header. Tickets of all makes stay far below; rustls has the same bound.
const LONGEST_MESSAGE: usize = MESSAGE_HEADER + 0xffff;
/// Type and length (RFC 8446 §4).
const MESSAGE_HEADER: usize = 4;

/// `HandshakeType` of §4.
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// What a record was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Application data, in the memory of the record; may be empty.
    Data(BytesMut),
    /// A message that asks nothing of the caller: a session ticket, a part of a message, a KeyUpdate that is not
    /// to be answered.
    Nothing,
    /// The peer has a new key, and asks for one of ours: the caller owes a
    /// [`Sealer::update_key`](crate::Sealer::update_key) before the next record it sends.
    KeyUpdateRequested,
    /// The peer's close_notify: it sends nothing more, but may still read.
    Closed,
}

/// Opens records, in the order in which they arrive.
pub struct Opener {
    key: Key,
    schedule: Schedule,
    /// Messages of the handshake protocol that are not whole yet.
    message: Vec<u8>,
    /// Records without application data since the last one with some.
    without_data: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer said so; whatever follows is to be ignored (§6.1).
    Closed,
    /// An error came first.
    Broken,
}

impl Opener {
    pub(crate) fn new(key: Key, schedule: Schedule) -> Opener {
        Opener { key, schedule, message: Vec::new(), without_data: 0, state: State::Open }
    }

    /// Opens one whole record, as [`find_record`] measured it, in place: the payload is a part of `record`'s memory.
    ///
    /// # Errors
    /// [`RecordError::BadRecord`] and [`RecordError::PeerAlert`], after which all is [`RecordError::Closed`].
    pub fn open(&mut self, record: BytesMut) -> Result<Opened, RecordError> {
        match self.state {
            State::Open => {}
            State::Closed => return Ok(Opened::Closed),
            State::Broken => return Err(RecordError::Closed),
        }
        let opened = self.decrypt(record).and_then(|(kind, content)| self.take(kind, content));
        match opened {
            Ok(Opened::Closed) => self.state = State::Closed,
            Ok(_) => {}
            Err(_) => self.state = State::Broken,
        }
        opened
    }

    /// The inner type and the content of a record (§5.2, §5.4).
    fn decrypt(&mut self, mut record: BytesMut) -> Result<(u8, BytesMut), RecordError> {
        let length = find_record(&record)?;
        let forged =
            RecordError::bad(AlertDescription::BadRecordMac, "a record that is not the peer's next one");
        let Some(&header) = record.first_chunk::<HEADER>().filter(|_| length == Some(record.len())) else {
            return Err(forged);
        };
        record.advance(HEADER);
        let (text, tag) = record.split_last_chunk_mut::<TAG>().ok_or(forged.clone())?;
        if !self.key.open(header, text, tag)? {
            return Err(forged);
        }
        if text.len() > LARGEST_PAYLOAD + 1 {
            return Err(RecordError::bad(
                AlertDescription::RecordOverflow,
                "more than 2^14 bytes in a record",
            ));
        }
        // Zeros behind the inner type are padding.
        let Some(end) = text.iter().rposition(|byte| *byte != 0) else {
            return Err(RecordError::bad(AlertDescription::UnexpectedMessage, "a record of padding alone"));
        };
        let kind = text[end];
        record.truncate(end);
        Ok((kind, record))
    }

    fn take(&mut self, kind: u8, content: BytesMut) -> Result<Opened, RecordError> {
        let unexpected = |what| RecordError::bad(AlertDescription::UnexpectedMessage, what);
        if kind == APPLICATION_DATA && !content.is_empty() {
            self.without_data = 0;
        } else if self.without_data == MOST_WITHOUT_DATA {
            return Err(unexpected("too many records without data in a row"));
        } else {
            self.without_data += 1;
        }
        if kind != HANDSHAKE && !self.message.is_empty() {
            return Err(unexpected("another record among the parts of a message"));
        }
        match kind {
            APPLICATION_DATA => Ok(Opened::Data(content)),
            HANDSHAKE if content.is_empty() => Err(unexpected("an empty part of a message")),
            HANDSHAKE => self.take_messages(&content),
            ALERT => take_alert(&content),
            _ => Err(unexpected("a record of a type that has no place here")),
        }
    }

    /// Messages may share a record or be spread over several (§5.1).
    fn take_messages(&mut self, part: &[u8]) -> Result<Opened, RecordError> {
        let mut held = std::mem::take(&mut self.message);
        held.extend_from_slice(part);
        let mut rest = &held[..];
        let mut opened = Opened::Nothing;
        while let Some(message) = find_message(rest)? {
            let (kind, body) = (message[0], &message[MESSAGE_HEADER..]);
            rest = &rest[message.len()..];
            match kind {
                NEW_SESSION_TICKET => self.schedule.keep_ticket(body)?,
                // What follows has another key, so nothing may follow in this record.
                KEY_UPDATE if rest.is_empty() => opened = self.take_key_update(body)?,
                _ => {
                    let what = "a message that has no place behind the handshake";
                    return Err(RecordError::bad(AlertDescription::UnexpectedMessage, what));
                }
            }
        }
        self.message = rest.to_vec();
        Ok(opened)
    }

    fn take_key_update(&mut self, body: &[u8]) -> Result<Opened, RecordError> {
        let opened = match body {
            [0] => Opened::Nothing,
            [1] => Opened::KeyUpdateRequested,
            [_] => return Err(RecordError::bad(AlertDescription::IllegalParameter, "an unknown KeyUpdate")),
            _ => {
                return Err(RecordError::bad(
                    AlertDescription::DecodeError,
                    "a KeyUpdate of the wrong length",
                ));
            }
        };
        self.key = self.schedule.next_opening()?;
        Ok(opened)
    }
}

/// The first message in what has come, if it is whole.
fn find_message(held: &[u8]) -> Result<Option<&[u8]>, RecordError> {
    let Some(&[_, a, b, c]) = held.first_chunk::<MESSAGE_HEADER>() else { return Ok(None) };
    let length = MESSAGE_HEADER + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
    if length > LONGEST_MESSAGE {
        return Err(RecordError::bad(AlertDescription::DecodeError, "a message longer than any can be"));
    }
    Ok(held.get(..length))
}

/// An alert has a record to itself (§5.1). Its level means nothing any more (§6).
fn take_alert(content: &[u8]) -> Result<Opened, RecordError> {
    let &[_, description] = content else {
        return Err(RecordError::bad(AlertDescription::DecodeError, "an alert of the wrong length"));
    };
    match AlertDescription::from(description) {
        AlertDescription::CloseNotify => Ok(Opened::Closed),
        // Says that no error has happened; close_notify follows (§6.1).
        AlertDescription::UserCanceled => Ok(Opened::Nothing),
        error => Err(RecordError::PeerAlert(error)),
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Opener")
            .field("records", &self.key.records())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
