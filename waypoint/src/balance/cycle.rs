//! Round robin by weight: one round is laid out once, and a counter goes around it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest round. Weights that would need a longer one are rounded.
const LONGEST: u64 = 1 << 16;

/// One round, in which everybody's turns are as far apart as they can be.
#[derive(Debug)]
pub(super) struct Cycle {
    turns: Vec<u32>,
    next: AtomicUsize,
}

impl Cycle {
    /// `start` says where the first round begins, so that not all waypoints begin with the same endpoint.
    pub(super) fn new(weights: &[u64], start: u64) -> Cycle {
        let mut turns: Vec<(f64, u32)> = Vec::new();
        for (index, count) in (0_u32..).zip(counts(weights)) {
            let place = |turn: u64| (turn as f64 + 0.5) / count as f64;
            turns.extend((0..count).map(|turn| (place(turn), index)));
        }
        turns.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let start = if turns.is_empty() { 0 } else { start as usize % turns.len() };
        Cycle { turns: turns.into_iter().map(|(_, index)| index).collect(), next: AtomicUsize::new(start) }
    }

    /// Whose turn it is; none if nobody has any.
    pub(super) fn next(&self) -> Option<usize> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let index = self.turns.get(turn.checked_rem(self.turns.len())?)?;
        Some(*index as usize)
    }
}

/// How many turns each has in a round.
fn counts(weights: &[u64]) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let sum: u128 = weights.iter().map(|weight| u128::from(weight / divisor)).sum();
    let rounded = |weight: &u64| {
        let weight = weight / divisor;
        match sum > u128::from(LONGEST) && weight > 0 {
            // At most LONGEST, so it fits.
            true => ((u128::from(weight) * u128::from(LONGEST) / sum) as u64).max(1),
            false => weight,
        }
    };
    weights.iter().map(rounded).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(weights: &[u64], start: u64) -> Vec<usize> {
        let cycle = Cycle::new(weights, start);
        std::iter::from_fn(|| cycle.next()).take(8).collect()
    }

    #[test]
    fn turns_go_around_and_are_spread_by_weight() {
        for (weights, start, expected) in [
            (&[][..], 5, &[][..]),
            (&[0], 0, &[]),
            (&[1, 1, 1], 0, &[0, 1, 2, 0, 1, 2, 0, 1]),
            (&[5, 5, 5], 1, &[1, 2, 0, 1, 2, 0, 1, 2]),
            (&[3, 1], 0, &[0, 0, 1, 0, 0, 0, 1, 0]),
            (&[2, 0, 2], 0, &[0, 2, 0, 2, 0, 2, 0, 2]),
        ] {
            assert_eq!(round(weights, start), expected, "{weights:?} from {start}");
        }
    }

    #[test]
    fn rounds_stay_short_and_leave_nobody_out() {
        let huge = counts(&[u64::MAX / 2, u64::MAX / 3, 1]);
        assert!(huge.iter().sum::<u64>() <= LONGEST + 1 && huge[2] == 1, "{huge:?}");
    }
}
