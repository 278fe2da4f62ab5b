//! How a protected record looks on the wire (RFC 8446 §5.2): its sizes, its header, and where it ends.

use rustls::AlertDescription;

use crate::RecordError;

/// Bytes before the payload of a record: outer type, version, length.
pub const HEADER: usize = 5;
/// Bytes of the AEAD's tag, the same in every suite of TLS 1.3.
pub(crate) const TAG: usize = 16;
/// Bytes behind the payload of a record that [`Sealer`](crate::Sealer) makes: the inner type and the tag.
pub const TRAILER: usize = 1 + TAG;
/// The most payload that a record may carry, in bytes (§5.1).
pub const LARGEST_PAYLOAD: usize = 1 << 14;
/// The longest record a peer may send, in bytes: its encrypted part is 2^14 + 256 at most (§5.2).
pub const LARGEST_RECORD: usize = HEADER + LARGEST_PAYLOAD + 256;

/// `ContentType` of §5.1, which after a handshake stands in the encrypted part.
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

/// How long the first record in `received` is, in bytes with its header; None while its header has not come.
///
/// # Errors
/// [`RecordError::BadRecord`] for a type or a length that no record has once the handshake is over. That
/// is any type but application data: change_cipher_spec may come before the peer's Finished only (§5), and
/// what is not encrypted is nobody's word.
pub fn find_record(received: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some(&[kind, _, _, high, low]) = received.first_chunk::<HEADER>() else { return Ok(None) };
    if kind != APPLICATION_DATA {
        return Err(RecordError::bad(AlertDescription::UnexpectedMessage, "a record that is not encrypted"));
    }
    let length = HEADER + usize::from(u16::from_be_bytes([high, low]));
    if length > LARGEST_RECORD {
        return Err(RecordError::bad(
            AlertDescription::RecordOverflow,
            "a record longer than 2^14 + 256 bytes",
        ));
    }
    if length < HEADER + TAG {
        return Err(RecordError::bad(AlertDescription::BadRecordMac, "a record too short for its tag"));
    }
    Ok(Some(length))
}

/// The header of a record with that many bytes behind it, `LARGEST_PAYLOAD + TRAILER` at most.
pub(crate) fn header(encrypted: usize) -> [u8; HEADER] {
    // The version is the one of TLS 1.2 for ever (§5.1).
    [APPLICATION_DATA, 3, 3, (encrypted >> 8) as u8, encrypted as u8]
}
