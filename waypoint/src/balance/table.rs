//! The way to choose among endpoints that come into question alike, made ready once per change of them.

use std::net::SocketAddr;

use mesh_model::{Choice, HashAlgorithm};

use super::cycle::Cycle;
use super::draw::Draw;
use super::maglev::Maglev;
use super::ring::Ring;

/// A way to choose, with what it needs to know of the endpoints.
#[derive(Debug)]
pub(super) enum Table {
    LeastRequest(Draw),
    Random(Draw),
    RoundRobin(Cycle),
    Ring(Ring),
    Maglev(Maglev),
}

impl Table {
    pub(super) fn new(choice: &Choice, members: &[(SocketAddr, u64)]) -> Table {
        let weights = || members.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
        match choice {
            Choice::LeastRequest => Table::LeastRequest(Draw::new(&weights())),
            Choice::Random => Table::Random(Draw::new(&weights())),
            Choice::RoundRobin => Table::RoundRobin(Cycle::new(&weights(), rand::random())),
            Choice::ConsistentHash(hash) => match hash.algorithm {
                HashAlgorithm::Ring { minimum_size } => Table::Ring(Ring::new(members, minimum_size)),
                HashAlgorithm::Maglev { table_size } => Table::Maglev(Maglev::new(members, table_size)),
            },
        }
    }

    /// An index; none if nobody has any weight. `load` is how many requests are on their way to it.
    pub(super) fn pick(&self, hash: Option<u64>, load: impl Fn(usize) -> u32) -> Option<usize> {
        let hash = || hash.unwrap_or_else(rand::random);
        match self {
            Table::LeastRequest(draw) => {
                let (first, second) = draw.two((rand::random(), rand::random()))?;
                Some(if load(second) < load(first) { second } else { first })
            }
            Table::Random(draw) => draw.at(rand::random()),
            Table::RoundRobin(cycle) => cycle.next(),
            Table::Ring(ring) => ring.walk(hash()).next(),
            Table::Maglev(maglev) => maglev.walk(hash()).next(),
        }
    }

    /// The indices in the order in which they take over what has this hash; none where hashes do not count.
    pub(super) fn walk(&self, hash: u64) -> Option<Box<dyn Iterator<Item = usize> + '_>> {
        match self {
            Table::Ring(ring) => Some(Box::new(ring.walk(hash))),
            Table::Maglev(maglev) => Some(Box::new(maglev.walk(hash))),
            Table::LeastRequest(_) | Table::Random(_) | Table::RoundRobin(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::{ConsistentHash, HashKey};

    use super::*;

    fn members(weights: &[u64]) -> Vec<(SocketAddr, u64)> {
        (1..).zip(weights).map(|(n, weight)| (SocketAddr::from(([10, 0, 0, n], 80)), *weight)).collect()
    }

    fn hashed(algorithm: HashAlgorithm) -> Choice {
        Choice::ConsistentHash(ConsistentHash { key: HashKey::SourceIp, algorithm })
    }

    fn counts(table: &Table, hash: Option<u64>, loads: [u32; 3]) -> [u32; 3] {
        let mut counts = [0; 3];
        for _ in 0..600 {
            counts[table.pick(hash, |index| loads[index]).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn lb_21_without_load_every_choice_spreads() {
        let hashes =
            [HashAlgorithm::Ring { minimum_size: 1024 }, HashAlgorithm::Maglev { table_size: 65_537 }];
        let others = [Choice::LeastRequest, Choice::Random, Choice::RoundRobin];
        for choice in others.into_iter().chain(hashes.map(hashed)) {
            let table = Table::new(&choice, &members(&[1, 1, 1]));
            let counts = counts(&table, None, [0; 3]);
            // About 11 standard deviations around a third, and twice that for the unevenness of the ring.
            assert!(counts.iter().all(|count| (80..=320).contains(count)), "{choice:?}: {counts:?}");
            assert_eq!(Table::new(&choice, &[]).pick(Some(1), |_| 0), None, "{choice:?}");
        }
    }

    #[test]
    fn lb_21_a_hash_always_leads_to_the_same_member() {
        for algorithm in [HashAlgorithm::Ring { minimum_size: 64 }, HashAlgorithm::Maglev { table_size: 31 }]
        {
            let table = Table::new(&hashed(algorithm), &members(&[1, 1, 1]));
            let counts = counts(&table, Some(0x1234_5678_9abc_def0), [0; 3]);
            assert!(counts.contains(&600), "{counts:?}");
        }
    }

    #[test]
    fn least_request_prefers_who_has_less_to_do() {
        let table = Table::new(&Choice::LeastRequest, &members(&[1, 1, 1]));
        let counts = counts(&table, None, [0, 9, 5]);
        // The busiest of three is never the better one of two; the idlest is in two of three pairs.
        assert!(counts[1] == 0 && counts[0] > counts[2], "{counts:?}");
    }

    #[test]
    fn round_robin_goes_around() {
        let table = Table::new(&Choice::RoundRobin, &members(&[1, 1, 1]));
        assert_eq!(counts(&table, None, [0, 9, 5]), [200; 3]);
    }
}
