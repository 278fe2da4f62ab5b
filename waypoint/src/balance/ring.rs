//! A hash ring: every member has points on it, and a value belongs to the first point from its hash on.
//! Pure, and the same on every waypoint: points come from the members' addresses alone.

use std::net::SocketAddr;

use xxhash_rust::xxh64::xxh64;

/// More points cost more memory than they even out.
pub(super) const MOST_POINTS: u64 = 1 << 20;

/// The points in order, and whose they are.
#[derive(Debug)]
pub(super) struct Ring {
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// At least `minimum_size` points, shared by weight. They double until they are enough, so a member
    /// that comes or goes mostly leaves the points of the others alone.
    pub(super) fn new(members: &[(SocketAddr, u64)], minimum_size: u64) -> Ring {
        let doublings = doublings(members, minimum_size.clamp(1, MOST_POINTS));
        let mut points = Vec::new();
        for (index, (address, weight)) in (0_u32..).zip(members) {
            let name = address.to_string();
            let count = points_of(*weight, doublings);
            points.extend((0..count).map(|number| (xxh64(name.as_bytes(), number), index)));
        }
        points.sort_unstable();
        Ring { points }
    }

    /// The members in the order in which they take over a hash, each as often as it has points.
    pub(super) fn walk(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let (before, from_here) = self.points.split_at(self.points.partition_point(|(at, _)| *at < hash));
        from_here.iter().chain(before).map(|(_, index)| *index as usize)
    }
}

/// How many points a weight has.
fn points_of(weight: u64, doublings: i32) -> u64 {
    match weight {
        0 => 0,
        _ if doublings >= 0 => weight << doublings,
        _ => (weight >> -doublings).max(1),
    }
}

/// How often weights have to be doubled, or halved, to be just enough points.
fn doublings(members: &[(SocketAddr, u64)], enough: u64) -> i32 {
    let sum = |doublings| members.iter().map(|(_, weight)| points_of(*weight, doublings)).sum::<u64>();
    let mut doublings = 0;
    if sum(0) == 0 {
        return doublings;
    }
    while sum(doublings) < enough {
        doublings += 1;
    }
    // Halving ends where everybody has a single point.
    while sum(doublings - 1) >= enough && sum(doublings - 1) < sum(doublings) {
        doublings -= 1;
    }
    doublings
}

#[cfg(test)]
mod tests;
