//! Pauses between streams: 10 ms doubling to 15 s (UP-11).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tonic::Code;

pub(super) struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Backoff { next: first, first, longest }
    }

    /// The pause after a failure; the next one is twice as long.
    pub(super) fn grow(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        spread(pause)
    }

    /// After a clean end: none, unless the stream never answered, which would spin.
    pub(super) fn after_end(&mut self, answered: bool) -> Duration {
        if answered {
            self.next = self.first;
            return Duration::ZERO;
        }
        self.grow()
    }

    /// After a status: starts over where the stream worked and the connection
    /// was merely lost, or where it worked for long.
    pub(super) fn after_status(&mut self, code: Code, answered: bool, lived: Duration) -> Duration {
        let lost =
            matches!(code, Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable);
        if answered && (lost || lived >= self.longest) {
            self.next = self.first;
        }
        self.grow()
    }
}

/// Takes off up to a quarter, so that a node's worth of clients does not return in step.
fn spread(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(1.0 - (random % 1000) as f64 / 4000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(15);

    fn near(pause: Duration, expected: Duration) -> bool {
        pause <= expected && pause >= expected.mul_f64(0.74)
    }

    #[test]
    fn up_11_pauses_double_from_10_ms_to_15_s() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let mut expected = FIRST;
        for _ in 0..20 {
            let pause = backoff.grow();
            assert!(near(pause, expected), "{pause:?} is not near {expected:?}");
            expected = (expected * 2).min(LONGEST);
        }
        assert_eq!(expected, LONGEST);
    }

    #[test]
    fn up_11_pauses_start_over_after_a_stream_that_worked() {
        let grown = || {
            let mut backoff = Backoff::new(FIRST, LONGEST);
            for _ in 0..5 {
                backoff.grow();
            }
            backoff
        };
        let long = FIRST * 32;
        for code in [Code::Unknown, Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable] {
            assert!(near(grown().after_status(code, true, FIRST), FIRST), "{code:?}");
            assert!(near(grown().after_status(code, false, FIRST), long), "{code:?} without an answer");
        }
        assert!(near(grown().after_status(Code::PermissionDenied, true, FIRST), long));
        assert!(near(grown().after_status(Code::Internal, true, LONGEST), FIRST), "it worked for long");
        assert_eq!(grown().after_end(true), Duration::ZERO);
        assert!(near(grown().after_end(false), long));
    }
}
