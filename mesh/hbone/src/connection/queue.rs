//! What arrived on a stream and was not read yet. Its memory grows with its bytes
//! and not with the number of frames they came in, nor with what else was in a read.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// What is smaller is copied, so that it does not keep a whole read's memory.
const WORTH_SHARING: usize = 4 * 1024;
/// How much of such small pieces is put together.
const GATHERED: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    chunks: VecDeque<Bytes>,
    /// Small pieces behind the chunks.
    small: BytesMut,
}

impl Queue {
    pub(super) fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if data.len() < WORTH_SHARING {
            self.small.extend_from_slice(&data);
            if self.small.len() >= GATHERED {
                self.close_small();
            }
        } else {
            self.close_small();
            self.chunks.push_back(data);
        }
    }

    /// Puts back what was taken and not read.
    pub(super) fn unread(&mut self, rest: Bytes) {
        if !rest.is_empty() {
            self.chunks.push_front(rest);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Some(chunk);
        }
        (!self.small.is_empty()).then(|| std::mem::take(&mut self.small).freeze())
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.small).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_whatever_the_sizes() {
        let mut queue = Queue::default();
        let mut expected = Vec::new();
        for n in 0..200u8 {
            let size = if n % 7 == 0 { WORTH_SHARING } else { usize::from(n) };
            queue.push(vec![n; size].into());
            expected.extend(vec![n; size]);
        }
        let first = queue.pop().unwrap();
        queue.unread(first);
        let mut all = Vec::new();
        while let Some(chunk) = queue.pop() {
            all.extend(chunk);
        }
        assert_eq!(all, expected);
    }

    #[test]
    fn tiny_pieces_are_put_together() {
        let mut queue = Queue::default();
        for _ in 0..100_000 {
            queue.push(Bytes::from_static(b"x"));
        }
        assert!(queue.chunks.len() <= 100_000 / GATHERED + 1);
    }
}
