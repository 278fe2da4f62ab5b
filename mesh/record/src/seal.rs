//! The sending half of a connection: payload into records, in place.

use std::fmt;

use rustls::AlertDescription;

use crate::RecordError;
use crate::keys::{Key, Schedule};
use crate::wire::{ALERT, APPLICATION_DATA, HANDSHAKE, HEADER, LARGEST_PAYLOAD, TAG, TRAILER, header};

/// The most records under one key. RFC 8446 §5.5 allows AES-GCM 2^24.5 full ones, ChaCha20-Poly1305 more than
/// anyone sends; one number is enough. The few bytes of a KeyUpdate or an alert come on top.
const RECORDS_PER_KEY: u64 = 1 << 24;

/// A KeyUpdate that asks nothing of the peer: type, length, update_not_requested (§4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// `AlertLevel` of §6.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// Seals records, in the order in which they must be sent.
pub struct Sealer {
    key: Key,
    schedule: Schedule,
    limit: u64,
    closed: bool,
}

impl Sealer {
    pub(crate) fn new(key: Key, schedule: Schedule) -> Sealer {
        Sealer { key, schedule, limit: RECORDS_PER_KEY, closed: false }
    }

    /// Seals one record of application data in place: `record` is [`HEADER`] spare bytes, 1 to [`LARGEST_PAYLOAD`]
    /// bytes of payload, [`TRAILER`] spare bytes.
    ///
    /// # Errors
    /// [`RecordError::WrongLength`] and [`RecordError::Worn`] leave `record` as it was; after
    /// [`close`](Self::close), [`alert`](Self::alert) or a failure all is [`RecordError::Closed`].
    pub fn seal(&mut self, record: &mut [u8]) -> Result<(), RecordError> {
        let smallest = HEADER + 1 + TRAILER;
        let largest = HEADER + LARGEST_PAYLOAD + TRAILER;
        if !(smallest..=largest).contains(&record.len()) {
            return Err(RecordError::WrongLength(record.len()));
        }
        if self.closed {
            return Err(RecordError::Closed);
        }
        if self.key.records() >= self.limit {
            return Err(RecordError::Worn);
        }
        let kind = record.len() - TRAILER;
        record[kind] = APPLICATION_DATA;
        self.seal_inner(record)
    }

    /// True from half of what one key may seal (§5.5): time for [`update_key`](Self::update_key).
    pub fn is_worn(&self) -> bool {
        self.key.records() >= self.limit / 2
    }

    /// Appends a KeyUpdate under the old key, and moves on to the next one (§4.6.3, §7.2). Also the answer to
    /// [`Opened::KeyUpdateRequested`](crate::Opened::KeyUpdateRequested); one answers all requests that came before it.
    ///
    /// # Errors
    /// [`RecordError::Closed`], or [`RecordError::Cryptography`], which closes.
    pub fn update_key(&mut self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        if self.closed {
            return Err(RecordError::Closed);
        }
        // Without both the update and the next key the peer would be lost.
        self.closed = true;
        let next = self.schedule.next_sealing()?;
        self.append(HANDSHAKE, &KEY_UPDATE, out)?;
        self.key = next;
        self.closed = false;
        Ok(())
    }

    /// Appends close_notify: nothing more will be sent. What the peer sends may still be read.
    ///
    /// # Errors
    /// [`RecordError::Closed`] if it has been closed already.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.say_last(WARNING, AlertDescription::CloseNotify, out)
    }

    /// Appends a fatal alert, that of [`RecordError::alert_owed`] most often. Nothing is sealed after it.
    ///
    /// # Errors
    /// [`RecordError::Closed`] if it has been closed already.
    pub fn alert(&mut self, description: AlertDescription, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.say_last(FATAL, description, out)
    }

    fn say_last(&mut self, level: u8, what: AlertDescription, out: &mut Vec<u8>) -> Result<(), RecordError> {
        if self.closed {
            return Err(RecordError::Closed);
        }
        self.closed = true;
        self.append(ALERT, &[level, what.into()], out)
    }

    fn append(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let mut record = [&[0; HEADER], content, &[kind], &[0; TAG]].concat();
        self.seal_inner(&mut record)?;
        out.extend_from_slice(&record);
        Ok(())
    }

    /// Seals what stands between header and tag, the inner type and any padding already in it.
    pub(crate) fn seal_inner(&mut self, record: &mut [u8]) -> Result<(), RecordError> {
        let sealed = self.try_seal_inner(record);
        // A number without its record would make the peer refuse the next one.
        self.closed |= sealed.is_err();
        sealed
    }

    fn try_seal_inner(&mut self, record: &mut [u8]) -> Result<(), RecordError> {
        let length = record.len();
        let wrong = RecordError::WrongLength(length);
        let (head, rest) = record.split_first_chunk_mut::<HEADER>().ok_or(wrong.clone())?;
        let encrypted = rest.len();
        let (text, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(wrong)?;
        *head = header(encrypted);
        *tag = self.key.seal(*head, text)?;
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sealer")
            .field("records", &self.key.records())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
