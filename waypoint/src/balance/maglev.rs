//! Maglev's table (Eisenbud et al., NSDI 2016), with weights as Envoy has them: every member in turn takes
//! the next free slot of an order of its own. Pure, and the same on every waypoint.

use std::net::SocketAddr;

use xxhash_rust::xxh64::xxh64;

use super::ring::MOST_POINTS;

/// Whose each slot is.
#[derive(Debug)]
pub(super) struct Maglev {
    slots: Vec<u32>,
}

/// A member while slots are taken.
struct Taker {
    index: u32,
    weight: u64,
    /// The next slot it would like.
    slot: u64,
    skip: u64,
    /// What its weight has to have come to before its next turn.
    due: u128,
}

impl Maglev {
    /// About `table_size` slots: the next prime, and no fewer than members.
    pub(super) fn new(members: &[(SocketAddr, u64)], table_size: u64) -> Maglev {
        let size = next_prime(table_size.clamp(2, MOST_POINTS).max(members.len() as u64));
        let mut takers: Vec<Taker> = (0_u32..)
            .zip(members)
            .filter(|(_, (_, weight))| *weight > 0)
            .map(|(index, (address, weight))| Taker::new(index, *address, *weight, size))
            .collect();
        let Some(heaviest) = takers.iter().map(|taker| taker.weight).max() else {
            return Maglev { slots: Vec::new() };
        };
        let mut slots = vec![None; size as usize];
        let mut left = slots.len();
        let mut round: u128 = 1;
        while left > 0 {
            for taker in &mut takers {
                if left > 0 && taker.has_a_turn(round, heaviest) {
                    taker.take(&mut slots);
                    left -= 1;
                }
            }
            round += 1;
        }
        Maglev { slots: slots.into_iter().flatten().collect() }
    }

    /// The members from a hash's slot on.
    pub(super) fn walk(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let start = hash.checked_rem(self.slots.len() as u64).unwrap_or(0) as usize;
        let (before, from_here) = self.slots.split_at(start);
        from_here.iter().chain(before).map(|index| *index as usize)
    }
}

impl Taker {
    fn new(index: u32, address: SocketAddr, weight: u64, size: u64) -> Taker {
        let name = address.to_string();
        let slot = xxh64(name.as_bytes(), 0) % size;
        let skip = xxh64(name.as_bytes(), 1) % (size - 1) + 1;
        Taker { index, weight, slot, skip, due: 0 }
    }

    /// The heaviest have one every round, the others as often as their weight says.
    fn has_a_turn(&mut self, round: u128, heaviest: u64) -> bool {
        let due = round * u128::from(self.weight) >= self.due;
        if due {
            self.due += u128::from(heaviest);
        }
        due
    }

    /// Takes its next free slot. There has to be one: as the size is prime, it comes by all of them.
    fn take(&mut self, slots: &mut [Option<u32>]) {
        let size = slots.len() as u64;
        loop {
            let wanted = &mut slots[self.slot as usize];
            self.slot = (self.slot + self.skip) % size;
            if wanted.is_none() {
                *wanted = Some(self.index);
                return;
            }
        }
    }
}

fn next_prime(from: u64) -> u64 {
    let is_prime = |number: &u64| (2..).take_while(|d| d * d <= *number).all(|d| !number.is_multiple_of(d));
    // There is always one before twice the number.
    (from..from * 2).find(is_prime).unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 8080))
    }

    fn even(count: u16) -> Vec<(SocketAddr, u64)> {
        (0..count).map(|number| (address(number), 1)).collect()
    }

    fn slots_of(maglev: &Maglev, index: u32) -> usize {
        maglev.slots.iter().filter(|slot| **slot == index).count()
    }

    #[test]
    fn sizes_are_primes() {
        for (asked, expected) in [(2, 2), (4, 5), (65_537, 65_537), (65_536, 65_537), (251, 251)] {
            assert_eq!(next_prime(asked), expected);
        }
        assert_eq!(Maglev::new(&even(10), 0).slots.len(), 11, "no fewer than members");
        assert!(Maglev::new(&[], 251).slots.is_empty());
        assert!(Maglev::new(&[(address(1), 0)], 251).slots.is_empty());
        assert_eq!(Maglev::new(&[], 251).walk(7).next(), None);
    }

    #[test]
    fn lb_21_a_member_that_goes_leaves_most_of_the_others_where_they_are() {
        let all = even(20);
        let (before, after) = (Maglev::new(&all, 65_537), Maglev::new(&all[..19], 65_537));
        let moved = |(a, b): &(&u32, &u32)| a != b && **a != 19;
        let moved = before.slots.iter().zip(&after.slots).filter(moved).count();
        // Envoy's documentation speaks of about as much again as the share itself, 1 in 20.
        assert!(moved * 20 < before.slots.len(), "{moved} of {}", before.slots.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn shares_are_those_of_the_weights(weights in prop::collection::vec(0_u64..8, 1..20)) {
            let members: Vec<_> = (0..).zip(&weights).map(|(n, weight)| (address(n), *weight)).collect();
            let maglev = Maglev::new(&members, 1009);
            let total: u64 = weights.iter().sum();
            for (index, weight) in (0..).zip(&weights) {
                let expected = (weight * 1009).checked_div(total).unwrap_or(0);
                let found = slots_of(&maglev, index) as u64;
                // Everybody may be a turn ahead when the table is full.
                prop_assert!(found.abs_diff(expected) <= weights.len() as u64 + 1, "{found} for {expected}");
            }
        }
    }
}
