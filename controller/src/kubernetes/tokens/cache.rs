//! Tokens that were found good a moment ago, and those that are being asked about, by their digest:
//! the tokens themselves are not kept.

use std::collections::{HashMap, VecDeque};

use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::Refused;
use crate::admission::Proven;

/// SHA-256 of a token.
pub(super) type Key = [u8; 32];
/// A review on its way; whoever asks about the same token waits for it too.
pub(super) type Running = Shared<BoxFuture<'static, Result<Proven, Refused>>>;

/// Of more, the oldest are forgotten first.
const MOST: usize = 8192;

#[derive(Default)]
pub(super) struct Cache {
    proven: HashMap<Key, (Proven, Instant)>,
    /// Oldest first.
    order: VecDeque<Key>,
    running: HashMap<Key, Running>,
}

/// What is known of a token.
pub(super) enum Found {
    Proven(Proven),
    Running(Running),
}

impl Cache {
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Found> {
        match self.proven.get(key) {
            Some((proven, until)) if now < *until => Some(Found::Proven(proven.clone())),
            _ => self.running.get(key).cloned().map(Found::Running),
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    pub(super) fn start(&mut self, key: Key, running: Running) {
        self.running.insert(key, running);
    }

    /// The review is over; what it proved, and until when that may be believed.
    pub(super) fn finish(&mut self, key: Key, proven: Option<(Proven, Instant)>) {
        self.running.remove(&key);
        let Some(proven) = proven else { return };
        if self.proven.insert(key, proven).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.proven.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn proven() -> Proven {
        Proven { namespace: "a".into(), service_account: "b".into(), pod: None }
    }

    #[test]
    fn an_answer_counts_until_its_end_and_the_oldest_are_forgotten() {
        let mut cache = Cache::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(30);
        let key = |number: usize| {
            let mut key = Key::default();
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        for number in 0..=MOST {
            cache.finish(key(number), Some((proven(), until)));
        }
        assert!(cache.find(&key(0), now).is_none(), "one too many");
        assert!(cache.find(&key(1), now).is_some());
        assert!(cache.find(&key(1), until).is_none());
        cache.finish(key(1), Some((proven(), until + Duration::from_secs(1))));
        assert!(cache.find(&key(1), until).is_some(), "asked again");
        assert_eq!((cache.order.len(), cache.proven.len()), (MOST, MOST));
    }
}
