//! Draws by weight: an even number becomes an index, so that the same number draws the same.

/// Indices to be drawn in proportion to their weights.
#[derive(Debug)]
pub(super) enum Draw {
    /// So many, all alike.
    Even(u64),
    /// The sums of the weights up to each.
    Weighted(Vec<u64>),
}

impl Draw {
    pub(super) fn new(weights: &[u64]) -> Draw {
        match weights.split_first() {
            Some((first, others)) if *first > 0 && others.iter().all(|weight| weight == first) => {
                Draw::Even(weights.len() as u64)
            }
            _ => {
                let mut sum = 0_u64;
                let sums = weights.iter().map(|weight| {
                    sum = sum.saturating_add(*weight);
                    sum
                });
                Draw::Weighted(sums.collect())
            }
        }
    }

    /// The index that a number from all of `u64` stands for; none if nothing has any weight.
    pub(super) fn at(&self, number: u64) -> Option<usize> {
        match self {
            Draw::Even(count) => Some(ticket(number, *count)? as usize),
            Draw::Weighted(sums) => {
                let ticket = ticket(number, *sums.last()?)?;
                Some(sums.partition_point(|sum| *sum <= ticket))
            }
        }
    }

    /// Two indices; different ones where all are alike and there are two.
    pub(super) fn two(&self, numbers: (u64, u64)) -> Option<(usize, usize)> {
        let first = self.at(numbers.0)?;
        let second = match self {
            Draw::Even(count) => {
                let other = ticket(numbers.1, count - 1).map_or(first, |other| other as usize);
                if other >= first && *count > 1 { other + 1 } else { other }
            }
            Draw::Weighted(_) => self.at(numbers.1)?,
        };
        Some((first, second))
    }
}

/// One of `0..count`: where the number is between 0 and the largest.
fn ticket(number: u64, count: u64) -> Option<u64> {
    // Less than `count`, because the number is less than 2^64.
    (count > 0).then(|| ((u128::from(number) * u128::from(count)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each index is drawn by numbers that are spread evenly.
    fn counts(weights: &[u64]) -> Vec<u32> {
        let draw = Draw::new(weights);
        let mut counts = vec![0; weights.len()];
        for step in 0..1000 {
            if let Some(index) = draw.at(u64::MAX / 1000 * step) {
                counts[index] += 1;
            }
        }
        counts
    }

    #[test]
    fn lb_12_shares_are_those_of_the_weights() {
        for (weights, expected) in [
            (&[][..], &[][..]),
            (&[0, 0], &[0, 0]),
            (&[7], &[1000]),
            (&[1, 1, 1, 1], &[250, 250, 250, 250]),
            (&[0, 3, 0, 1, 0], &[0, 750, 0, 250, 0]),
        ] {
            let counts = counts(weights);
            let near = counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) <= 1);
            assert!(near && counts.len() == expected.len(), "{weights:?}: {counts:?}");
        }
    }

    #[test]
    fn two_of_several_that_are_alike_are_different_ones() {
        let draw = Draw::new(&[1, 1, 1]);
        let mut seen = std::collections::BTreeSet::new();
        for a in 0..30 {
            for b in 0..30 {
                let (first, second) = draw.two((u64::MAX / 30 * a, u64::MAX / 30 * b)).unwrap();
                assert_ne!(first, second);
                seen.insert((first, second));
            }
        }
        assert_eq!(seen.len(), 6, "every pair comes up: {seen:?}");
        assert_eq!(Draw::new(&[5]).two((1, 2)), Some((0, 0)));
        assert_eq!(Draw::new(&[]).two((1, 2)), None);
    }
}
