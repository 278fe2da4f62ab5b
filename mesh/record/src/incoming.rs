//! What has arrived during a handshake, shown to rustls record by record: it must not get to
//! see, and open, what comes right behind the handshake.

use std::io;

use bytes::{Buf, BytesMut};
use rustls::InvalidMessage;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::HEADER;

/// How much is read at a time, in bytes. A flight with a short chain of certificates fits.
const READ: usize = 4096;
/// The most that is held, in bytes: a message of a handshake is no longer, and rustls takes whole ones.
const MOST: usize = 0xffff;

/// Bytes received: records that rustls may see, then others.
#[derive(Default)]
pub(crate) struct Incoming {
    bytes: BytesMut,
    /// Where the whole records end that rustls may see.
    whole: usize,
    /// What it may see: the same, or all if the next record is not there in full. It opens
    /// none of it then, but refuses a header that is none.
    shown: usize,
}

impl Incoming {
    /// What rustls may see.
    pub(crate) fn shown(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.shown]
    }

    /// Shows one record more, or the part of it that is there. False if that is nothing new.
    pub(crate) fn show_more(&mut self) -> bool {
        let before = self.shown;
        let rest = &self.bytes[self.whole..];
        let record = rest
            .first_chunk::<HEADER>()
            .map(|&[_, _, _, high, low]| HEADER + usize::from(u16::from_be_bytes([high, low])));
        match record.filter(|length| *length <= rest.len()) {
            Some(length) => {
                self.whole += length;
                self.shown = self.whole;
            }
            None => self.shown = self.bytes.len(),
        }
        self.shown > before
    }

    /// Drops what rustls is done with.
    pub(crate) fn discard(&mut self, count: usize) {
        self.bytes.advance(count);
        self.whole = self.whole.saturating_sub(count);
        self.shown = self.shown.saturating_sub(count);
    }

    /// Waits for more.
    pub(crate) async fn fetch(&mut self, io: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        if self.bytes.len() >= MOST {
            let error = rustls::Error::from(InvalidMessage::HandshakePayloadTooLarge);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        self.bytes.reserve(READ);
        if io.read_buf(&mut self.bytes).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer left during the TLS handshake",
            ));
        }
        Ok(())
    }

    /// What rustls has not used.
    pub(crate) fn into_rest(self) -> BytesMut {
        self.bytes
    }
}
