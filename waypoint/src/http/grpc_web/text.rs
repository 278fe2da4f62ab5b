//! Base64 as clients of gRPC-web send it: in pieces of any size, and padded wherever one of their messages ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use thiserror::Error;

/// What stands for up to three bytes.
const GROUP: usize = 4;

/// Why a body cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidText {
    #[error("the body is not base64")]
    NotBase64,
    #[error("the body ends within a group of base64")]
    Unfinished,
}

/// What is read of a body, at most a group of it unread.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    begun: [u8; GROUP],
    length: usize,
}

impl Decoder {
    /// What stands in the next piece, as far as its groups are whole.
    pub(crate) fn read(&mut self, mut text: &[u8]) -> Result<Bytes, InvalidText> {
        let mut bytes = Vec::with_capacity((self.length + text.len()) / GROUP * 3);
        if self.length > 0 {
            let (missing, rest) = text.split_at(text.len().min(GROUP - self.length));
            self.begun[self.length..self.length + missing.len()].copy_from_slice(missing);
            self.length += missing.len();
            text = rest;
            if self.length < GROUP {
                return Ok(Bytes::new());
            }
            decode(&self.begun, &mut bytes)?;
            self.length = 0;
        }
        let (whole, begun) = text.split_at(text.len() / GROUP * GROUP);
        self.begun[..begun.len()].copy_from_slice(begun);
        self.length = begun.len();
        decode(whole, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Nothing follows.
    pub(crate) fn end(&self) -> Result<(), InvalidText> {
        if self.length == 0 { Ok(()) } else { Err(InvalidText::Unfinished) }
    }
}

/// Whole groups, of which any may be the last of a message.
fn decode(mut text: &[u8], bytes: &mut Vec<u8>) -> Result<(), InvalidText> {
    while !text.is_empty() {
        let padding = text.iter().position(|byte| *byte == b'=');
        let end = padding.map_or(text.len(), |place| (place / GROUP + 1) * GROUP);
        let (message, rest) = text.split_at(end);
        STANDARD.decode_vec(message, bytes).map_err(|_| InvalidText::NotBase64)?;
        text = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(text: &[u8], size: usize) -> Result<Vec<u8>, InvalidText> {
        let mut decoder = Decoder::default();
        let mut all = Vec::new();
        for piece in text.chunks(size) {
            all.extend_from_slice(&decoder.read(piece)?);
        }
        decoder.end().map(|()| all)
    }

    #[test]
    fn in_whatever_pieces_and_with_padding_in_the_middle() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("AAAAAAJobw==", b"\0\0\0\0\x02ho"),
            ("YQ==YmM=ZGVmYQ==", b"abcdefa"),
            ("YWJjZGVmZ2hpamtsbW5v", b"abcdefghijklmno"),
        ] {
            for size in 1..20 {
                assert_eq!(in_pieces(text.as_bytes(), size).as_deref(), Ok(bytes), "{text} by {size}");
            }
        }
    }

    #[test]
    fn sec_what_is_no_base64_is_an_error() {
        use InvalidText::{NotBase64, Unfinished};
        for (text, error) in [
            ("YWJ", Unfinished),
            ("YWJjZA", Unfinished),
            ("YW=j", NotBase64),
            ("====", NotBase64),
            ("YW J", NotBase64),
            ("YWJj\r\nYW", NotBase64),
            ("YW_-", NotBase64),
            ("YR==", NotBase64),
        ] {
            assert_eq!(in_pieces(text.as_bytes(), text.len()), Err(error), "{text}");
        }
    }
}
