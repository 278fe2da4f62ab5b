//! Persistent maps, and maps from a key to a few values in the order they came.

use std::hash::Hash;
use std::sync::Arc;

/// A map that is cheap to copy: copies share what they have in common.
pub(crate) type Map<K, V> = rpds::HashTrieMapSync<K, V>;

/// Values that share a key; mostly one.
pub(crate) type MultiMap<K, V> = Map<K, Vec<Arc<V>>>;

/// Adds a value, or puts it in the place of the one it is a newer version of.
pub(crate) fn put<K, V>(map: &mut MultiMap<K, V>, key: K, value: &Arc<V>, is_older: impl Fn(&V) -> bool)
where
    K: Clone + Eq + Hash,
{
    match map.get_mut(&key) {
        None => map.insert_mut(key, vec![value.clone()]),
        Some(values) => match values.iter_mut().find(|known| is_older(known)) {
            Some(older) => *older = value.clone(),
            None => values.push(value.clone()),
        },
    }
}

/// Removes a value.
pub(crate) fn take<K, V>(map: &mut MultiMap<K, V>, key: &K, is_gone: impl Fn(&V) -> bool)
where
    K: Clone + Eq + Hash,
{
    if let Some(values) = map.get_mut(key) {
        values.retain(|value| !is_gone(value));
        if values.is_empty() {
            map.remove_mut(key);
        }
    }
}

/// The values of a key.
pub(crate) fn values<'m, K, V, Q>(map: &'m MultiMap<K, V>, key: &Q) -> &'m [Arc<V>]
where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    map.get(key).map_or(&[], Vec::as_slice)
}
