//! What became of tokens, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server says it is good.
    Verified,
    /// The API server said so a moment ago.
    Cached,
    /// Its time is over.
    Expired,
    /// It is for somebody else.
    Audience,
    /// Its pod or account is gone.
    Revoked,
    /// It is no token of a service account.
    Invalid,
    /// The API server did not answer.
    Unavailable,
}

const OUTCOMES: [(Outcome, &str); 7] = [
    (Outcome::Verified, "verified"),
    (Outcome::Cached, "cached"),
    (Outcome::Expired, "expired"),
    (Outcome::Audience, "audience"),
    (Outcome::Revoked, "revoked"),
    (Outcome::Invalid, "invalid"),
    (Outcome::Unavailable, "unavailable"),
];

/// How many tokens came to what.
#[derive(Debug, Default)]
pub struct TokenStatistics([AtomicU64; OUTCOMES.len()]);

impl TokenStatistics {
    pub(super) fn count(&self, outcome: Outcome) {
        // `OUTCOMES` is in the order of the variants; a test holds it to that.
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many came to this.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }

    /// All of them, by the label that a metric has for them.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().map(|(outcome, name)| (name, self.get(outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place() {
        for (index, (outcome, _)) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
    }
}
