//! What a change is said to affect is everything it affects: deriving only that, again and again, ends where
//! deriving everything does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/variety.rs"]
mod variety;

use std::collections::BTreeMap;
use std::fmt::Debug;

use controller_translate::cluster::AddressSource;
use controller_translate::{
    Affected, Cluster, ObjectKey, Resource, ResourceKey, Settings, Status, resources, status,
};
use proptest::prelude::*;
use variety::{Choice, object};

/// What a source that follows `Affected` would have published.
#[derive(Default)]
struct Published {
    resources: BTreeMap<ResourceKey, Resource>,
    statuses: BTreeMap<ObjectKey, Status>,
}

impl Published {
    fn follow(&mut self, cluster: &Cluster, affected: Affected) {
        for key in affected.resources {
            match resources::derive(cluster, &key) {
                Some(resource) => self.resources.insert(key, resource),
                None => self.resources.remove(&key),
            };
        }
        for key in affected.statuses {
            match status::derive(cluster, &key) {
                Some(status) => self.statuses.insert(key, status),
                None => self.statuses.remove(&key),
            };
        }
    }

    fn check(&self, cluster: &Cluster, after: &str) {
        let keys = resources::keys(cluster).into_iter();
        let all = keys.filter_map(|key| Some((key.clone(), resources::derive(cluster, &key)?)));
        compare(&self.resources, &all.collect(), after);
        let keys = status::keys(cluster).into_iter();
        let all = keys.filter_map(|key| Some((key.clone(), status::derive(cluster, &key)?)));
        compare(&self.statuses, &all.collect(), after);
    }
}

/// Names the first difference only; the whole of both would fill screens.
fn compare<K: Ord + Debug, T: PartialEq + Debug>(
    followed: &BTreeMap<K, T>,
    all: &BTreeMap<K, T>,
    after: &str,
) {
    for key in followed.keys().chain(all.keys()) {
        assert_eq!(followed.get(key), all.get(key), "{key:?} after {after}");
    }
}

fn play(changes: &[(u64, bool)], auto_addresses: AddressSource) {
    let mut cluster = Cluster::new(Settings { auto_addresses, ..Settings::default() });
    let mut published = Published::default();
    for (seed, remove) in changes {
        let object = object(&mut Choice(*seed));
        let key = object.key();
        let (affected, after) = match remove {
            true => (cluster.remove(&key), format!("removing {key}")),
            false => {
                let text = serde_json::to_string(&object).unwrap();
                (cluster.apply(object), format!("applying {text}"))
            }
        };
        published.follow(&cluster, affected);
        published.check(&cluster, &after);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn following_what_is_affected_equals_deriving_everything(
        changes in prop::collection::vec((any::<u64>(), prop::bool::weighted(0.2)), 1..80)
    ) {
        play(&changes, AddressSource::Drawn);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_where_addresses_come_from_statuses(
        changes in prop::collection::vec((any::<u64>(), prop::bool::weighted(0.2)), 1..80)
    ) {
        play(&changes, AddressSource::Status);
    }
}
