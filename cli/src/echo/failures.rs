//! How often a key has been failed already: "fail the first N requests of this key".

use std::collections::{HashMap, VecDeque};

/// Keys remembered; the oldest is forgotten first.
const MAX_KEYS: usize = 1024;

/// The failures given so far, by key.
#[derive(Debug, Default)]
pub(super) struct Failures {
    given: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Failures {
    /// Whether this request of `key` is among the first `wanted`, which it then counts towards.
    pub(super) fn take(&mut self, key: &str, wanted: u32) -> bool {
        if let Some(given) = self.given.get_mut(key) {
            let fail = *given < wanted;
            *given += u32::from(fail);
            return fail;
        }
        if wanted == 0 {
            return false;
        }
        if self.order.len() == MAX_KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.given.remove(&oldest);
        }
        self.order.push_back(key.to_owned());
        self.given.insert(key.to_owned(), 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_requests_of_each_key_fail() {
        let mut failures = Failures::default();
        assert_eq!([(); 4].map(|()| failures.take("a", 2)), [true, true, false, false]);
        assert_eq!([(); 2].map(|()| failures.take("b", 1)), [true, false]);
        assert!(!failures.take("c", 0));
    }

    #[test]
    fn the_oldest_key_is_forgotten_at_the_limit() {
        let mut failures = Failures::default();
        for n in 0..=MAX_KEYS {
            assert!(failures.take(&n.to_string(), 1));
        }
        assert_eq!(failures.given.len(), MAX_KEYS);
        assert!(!failures.take(&MAX_KEYS.to_string(), 1), "the newest is remembered");
        assert!(failures.take("0", 1), "the oldest is not");
    }
}
