//! Flow control (RFC 9113 §5.2): how much may be sent, and how much may come.

/// RFC 9113 §6.9.1.
const LARGEST: i64 = (1 << 31) - 1;

/// What the peer lets us send. A change of its settings can make it negative.
#[derive(Debug)]
pub(super) struct SendWindow(i64);

/// A window larger than any may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        SendWindow(size.into())
    }

    pub(super) fn available(&self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// `sent` is never more than what was available.
    pub(super) fn take(&mut self, sent: usize) {
        self.0 -= i64::try_from(sent).unwrap_or(i64::MAX);
    }

    pub(super) fn change(&mut self, by: i64) -> Result<(), Overflow> {
        self.0 += by;
        if self.0 > LARGEST { Err(Overflow) } else { Ok(()) }
    }
}

/// What we let the peer send.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    left: i64,
    /// Taken out, but the peer has not been told.
    owed: u32,
}

/// The peer sent more than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> Self {
        ReceiveWindow { size, left: size.into(), owed: 0 }
    }

    pub(super) fn take(&mut self, bytes: u32) -> Result<(), Exceeded> {
        self.left -= i64::from(bytes);
        if self.left < 0 { Err(Exceeded) } else { Ok(()) }
    }

    /// Makes room again. The peer is told in large steps: the answer says how much, now.
    pub(super) fn release(&mut self, bytes: u32) -> Option<u32> {
        self.owed += bytes;
        if self.owed == 0 || self.owed < self.size / 2 {
            return None;
        }
        let told = std::mem::take(&mut self.owed);
        self.left += i64::from(told);
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_be_negative_and_not_too_large() {
        let mut window = SendWindow::new(10);
        window.take(10);
        window.change(-5).unwrap();
        assert_eq!(window.available(), 0);
        window.change(6).unwrap();
        assert_eq!(window.available(), 1);
        assert_eq!(window.change(LARGEST), Err(Overflow));
    }

    #[test]
    fn the_peer_hears_of_room_once_half_of_it_is_free() {
        let mut window = ReceiveWindow::new(10);
        window.take(10).unwrap();
        assert_eq!(window.release(4), None);
        assert_eq!(window.release(2), Some(6));
        window.take(6).unwrap();
        assert_eq!(window.take(1), Err(Exceeded));
    }
}
