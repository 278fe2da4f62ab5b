//! One end of a connection whose other end has said everything it is going to say.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the other end says arrives in pieces this long at most, so that frames are cut in two.
const PIECE: usize = 41;

/// Gives what is to be read, then the end; keeps what is written.
#[derive(Debug)]
pub struct Wire {
    unread: Vec<u8>,
    place: usize,
    written: Written,
}

/// What has been written so far.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Wire {
    /// A connection from which `said` arrives.
    pub fn saying(said: &[u8]) -> (Wire, Written) {
        let written = Written::default();
        (Wire { unread: said.to_vec(), place: 0, written: written.clone() }, written)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.unread[self.place..];
        let taken = rest.len().min(buffer.remaining()).min(PIECE);
        buffer.put_slice(&rest[..taken]);
        self.place += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
