//! The ring against a slow reference, and what happens when members come and go.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 8080))
}

/// Different addresses, each with a weight.
fn members() -> impl Strategy<Value = Vec<(SocketAddr, u64)>> {
    let weight = prop_oneof![8 => Just(1_u64), 2 => 0_u64..200, 1 => 1_u64..u64::from(u32::MAX)];
    prop::collection::btree_map(0_u16..300, weight, 1..12)
        .prop_map(|members| members.into_iter().map(|(number, weight)| (address(number), weight)).collect())
}

fn owner(ring: &Ring, members: &[(SocketAddr, u64)], hash: u64) -> Option<SocketAddr> {
    ring.walk(hash).next().map(|index| members[index].0)
}

/// The same by definition: the closest of all points, going up and around.
fn reference(members: &[(SocketAddr, u64)], minimum_size: u64, hash: u64) -> Option<SocketAddr> {
    let total = |doublings| members.iter().map(|(_, weight)| points_of(*weight, doublings)).sum::<u64>();
    let doublings = (-40..=40).find(|doublings| total(*doublings) >= minimum_size)?;
    let points = members.iter().flat_map(|(address, weight)| {
        (0..points_of(*weight, doublings)).map(|n| (xxh64(address.to_string().as_bytes(), n), *address))
    });
    points.min_by_key(|(at, _)| at.wrapping_sub(hash)).map(|(_, address)| address)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lb_21_a_value_belongs_to_the_next_point(
        members in members(),
        minimum_size in 1_u64..600,
        hashes in prop::collection::vec(any::<u64>(), 20),
    ) {
        let ring = Ring::new(&members, minimum_size);
        for hash in hashes {
            prop_assert_eq!(owner(&ring, &members, hash), reference(&members, minimum_size, hash));
        }
    }

    #[test]
    fn lb_21_a_member_that_goes_takes_only_its_own_share_along(
        members in members(),
        gone in any::<prop::sample::Index>(),
        hashes in prop::collection::vec(any::<u64>(), 100),
    ) {
        let mut left = members.clone();
        let (gone, _) = left.remove(gone.index(members.len()));
        // Where the ring has to double, others get more points as well.
        prop_assume!(doublings(&members, 512) == doublings(&left, 512));
        let (before, after) = (Ring::new(&members, 512), Ring::new(&left, 512));
        for hash in hashes {
            let owner_before = owner(&before, &members, hash);
            if owner_before != Some(gone) {
                prop_assert_eq!(owner_before, owner(&after, &left, hash));
            }
        }
    }

    #[test]
    fn a_walk_meets_everybody_once_per_point(members in members(), hash in any::<u64>()) {
        let ring = Ring::new(&members, 100);
        let mut met: BTreeMap<usize, u64> = BTreeMap::new();
        ring.walk(hash).for_each(|index| *met.entry(index).or_default() += 1);
        let doublings = doublings(&members, 100);
        for (index, (_, weight)) in members.iter().enumerate() {
            prop_assert_eq!(met.get(&index).copied().unwrap_or(0), points_of(*weight, doublings));
        }
    }
}

#[test]
fn sizes_are_kept_within_bounds() {
    let even = |count| (0..count).map(|number| (address(number), 1)).collect::<Vec<_>>();
    for (members, minimum_size, expected) in [
        (vec![], 1024, 0),
        (vec![(address(1), 0)], 1024, 0),
        (even(1), 1024, 1024),
        (even(3), 1024, 1536),
        (even(300), 0, 300),
        (vec![(address(1), 1 << 31), (address(2), 1)], 1024, 1025),
    ] {
        assert_eq!(Ring::new(&members, minimum_size).points.len(), expected, "{minimum_size}");
    }
    assert!(Ring::new(&even(3), u64::MAX).points.len() as u64 <= 2 * MOST_POINTS);
}
