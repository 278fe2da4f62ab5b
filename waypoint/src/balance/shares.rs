//! How much of the load a group of endpoints gets while some of it are left out, as Envoy shares it: a group
//! takes what it is given until so many are missing that 1.4 times the rest are too few.

/// How much more than its share an endpoint is trusted with, in per cent.
const OVERPROVISIONING: u64 = 140;

/// How many of a group's endpoints there are, and how many take traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strength {
    pub(super) total: u64,
    pub(super) healthy: u64,
}

impl Strength {
    /// How much of its load a group can take, in per cent.
    fn capacity(self) -> u64 {
        (OVERPROVISIONING * self.healthy).checked_div(self.total).unwrap_or(0).min(100)
    }
}

/// The shares of levels, the best first, in per cent: each takes what it can of what is left.
pub(super) fn of_levels(levels: &[Strength]) -> Vec<u64> {
    let capacities: Vec<u64> = levels.iter().map(|level| level.capacity()).collect();
    let sum = capacities.iter().sum::<u64>().min(100);
    let mut left = 100;
    let mut shares: Vec<u64> = capacities
        .iter()
        .map(|capacity| {
            let share = (capacity * 100).checked_div(sum).unwrap_or(0).min(left);
            left -= share;
            share
        })
        .collect();
    // What rounding has lost goes to the best that takes anything.
    if let Some(best) = shares.iter_mut().find(|share| **share > 0) {
        *best += left;
    }
    shares
}

/// The relative shares of groups that were promised some, each as far as it can take it.
pub(super) fn of_groups(groups: &[(Strength, u64)]) -> Vec<u64> {
    groups.iter().map(|(strength, promised)| promised * strength.capacity()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strength(healthy: u64, total: u64) -> Strength {
        Strength { total, healthy }
    }

    #[test]
    fn a_level_spills_what_it_cannot_take() {
        for (levels, expected) in [
            (&[][..], &[][..]),
            (&[strength(4, 4)], &[100]),
            (&[strength(1, 4)], &[100]),
            (&[strength(4, 4), strength(4, 4)], &[100, 0]),
            // The table of Envoy's documentation on priority levels.
            (&[strength(72, 100), strength(100, 100)], &[100, 0]),
            (&[strength(71, 100), strength(100, 100)], &[99, 1]),
            (&[strength(50, 100), strength(50, 100)], &[70, 30]),
            (&[strength(25, 100), strength(100, 100)], &[35, 65]),
            (&[strength(25, 100), strength(25, 100)], &[50, 50]),
            (&[strength(0, 100), strength(100, 100)], &[0, 100]),
            (&[strength(0, 4), strength(1, 4), strength(2, 4)], &[0, 35, 65]),
            (&[strength(1, 100), strength(1, 100), strength(1, 100)], &[34, 33, 33]),
            (&[strength(0, 4), strength(0, 0)], &[0, 0]),
        ] {
            assert_eq!(of_levels(levels), expected, "{levels:?}");
        }
    }

    #[test]
    fn a_group_gets_what_it_was_promised_as_far_as_it_can_take_it() {
        let groups = [(strength(2, 2), 80), (strength(1, 2), 15), (strength(0, 2), 5)];
        assert_eq!(of_groups(&groups), [8000, 1050, 0]);
    }
}
