//! Who gets which address, whatever the order of events.

use proptest::prelude::*;

use super::*;

fn name(name: &str) -> Name {
    Name::new("x", name)
}

fn asked(entry: &str, created: i64, noted: Option<&str>) -> Bid {
    let noted = noted.map(|text| text.parse().unwrap());
    Bid::asked(&name(entry), Some(created), &"a.example".into(), Family::V4, noted)
}

fn written(entry: &str, address: &str) -> Bid {
    Bid::written(&name(entry), Some(9), address.parse().unwrap())
}

fn placed(bids: &[Bid]) -> AutoAddresses {
    let mut addresses = AutoAddresses::default();
    bids.iter().for_each(|bid| addresses.place(vec![bid.clone()]));
    addresses
}

#[test]
fn dns_24_addresses_are_of_the_ranges_and_the_same_in_every_release() {
    let host: Arc<str> = "api.example.com".into();
    let bid = |family| Bid::asked(&name("e"), None, &host, family, None);
    let addresses = placed(&[bid(Family::V4), bid(Family::V6)]);
    let got = Family::ALL.map(|family| addresses.find(&bid(family)).unwrap());
    assert_eq!(got.map(|it| it.to_string()), ["240.240.222.246", "2001:2::6e42:29ee"]);
    assert!(Family::ALL.into_iter().zip(got).all(|(family, address)| family.includes(address)));
    for number in [0, 65_533, 65_534, u64::MAX] {
        let drawn = Family::V4.draw(number).to_string();
        assert!(drawn != "240.240.0.0" && drawn != "240.240.255.255", "{drawn}");
    }
}

#[test]
fn dns_24_an_address_in_a_status_is_kept_by_the_older() {
    let (young, old) = (asked("a", 2, Some("240.240.0.7")), asked("b", 1, Some("240.240.0.7")));
    let mut addresses = placed(std::slice::from_ref(&young));
    assert_eq!(addresses.find(&young).unwrap().to_string(), "240.240.0.7");
    addresses.take_moved();
    addresses.place(vec![old.clone()]);
    assert_eq!(addresses.find(&old).unwrap().to_string(), "240.240.0.7");
    assert_ne!(addresses.find(&young), addresses.find(&old));
    assert_eq!(addresses.take_moved(), BTreeSet::from([name("a"), name("b")]));
    addresses.withdraw(vec![old.clone()]);
    assert_eq!(addresses.find(&young).unwrap().to_string(), "240.240.0.7", "it is free again");
    assert_eq!(addresses.find(&old), None);
}

#[test]
fn dns_24_a_new_object_takes_no_address_that_a_status_has() {
    let old = asked("old", 1, None);
    let drawn = placed(std::slice::from_ref(&old)).find(&old).unwrap().to_string();
    let young = asked("young", 2, Some(&drawn));
    let addresses = placed(&[young.clone(), old.clone()]);
    assert_eq!(addresses.find(&young).unwrap().to_string(), drawn);
    assert_ne!(addresses.find(&old), addresses.find(&young));
}

#[test]
fn dns_24_addresses_of_users_always_win() {
    let bid = asked("a", 1, Some("240.240.0.7"));
    let users = [written("u", "240.240.0.7"), written("v", "240.240.0.7")];
    let mut addresses = placed(&[bid.clone(), users[0].clone(), users[1].clone()]);
    assert_ne!(addresses.find(&bid).unwrap().to_string(), "240.240.0.7");
    addresses.withdraw(vec![users[0].clone()]);
    assert_ne!(addresses.find(&bid).unwrap().to_string(), "240.240.0.7", "the other still has it");
    addresses.withdraw(vec![users[1].clone()]);
    assert_eq!(addresses.find(&bid).unwrap().to_string(), "240.240.0.7");
}

/// Few addresses and many who want them.
fn bid(seed: u64) -> Bid {
    let noted = (!seed.is_multiple_of(3)).then(|| format!("240.240.0.{}", seed / 3 % 4));
    let entry = format!("e{}", seed % 12);
    match seed % 7 {
        0 => written(&entry, &format!("240.240.0.{}", seed / 7 % 4)),
        _ => asked(&entry, i64::try_from(seed / 12 % 3).unwrap(), noted.as_deref()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dns_24_the_outcome_depends_on_the_objects_alone(
        changes in prop::collection::vec((0_u64..1000, any::<bool>()), 1..60)
    ) {
        let mut addresses = AutoAddresses::default();
        let mut there: BTreeMap<Name, Bid> = BTreeMap::new();
        for (seed, remove) in changes {
            let bid = bid(seed);
            if let Some(before) = there.remove(&bid.entry) {
                addresses.withdraw(vec![before]);
            }
            if !remove {
                addresses.place(vec![bid.clone()]);
                there.insert(bid.entry.clone(), bid);
            }
            let bids: Vec<Bid> = there.values().rev().cloned().collect();
            let afresh = placed(&bids);
            let mut taken = BTreeSet::new();
            for bid in bids {
                let got = addresses.find(&bid);
                prop_assert_eq!(got, afresh.find(&bid));
                prop_assert!(bid.right == Right::Written || taken.insert(got.unwrap()), "one address, two hosts");
            }
        }
    }
}
