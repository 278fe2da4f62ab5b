//! What to do about an object, given what it should be and what it is.

use std::collections::BTreeSet;

use controller_translate::Name;
use controller_translate::expand::Waypoint;
use serde_json::Value;

use super::live::{Live, hash};
use super::part::Key;

/// What was applied, and what the object was then.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Applied {
    desired: u64,
    live: u64,
}

impl Applied {
    pub(super) fn new(desired: &Value, live: &Live) -> Self {
        Applied { desired: hash(&desired.to_string()), live: live.fingerprint }
    }
}

/// Whether an object is to be applied: it should be something else than before, somebody has changed
/// it since, it is not there, or it is not known what was applied.
pub(super) fn is_due(desired: &Value, live: Option<&Live>, applied: Option<&Applied>) -> bool {
    match live {
        None => true,
        // It is made anew once it is gone.
        Some(live) if live.is_going => false,
        Some(live) => applied != Some(&Applied::new(desired, live)),
    }
}

/// Whether an object may be taken for the waypoint's: it is generated for that Gateway, or owned by it.
pub(super) fn is_of(live: &Live, waypoint: &Waypoint) -> bool {
    match &live.gateway {
        Some(gateway) => gateway.as_str() == waypoint.gateway.name.as_ref(),
        None => live.owners.contains(&waypoint.uid),
    }
}

/// Objects that this control plane made and that no Gateway wants. What belongs to a Gateway that is
/// gone, or going, goes by itself.
pub(super) fn unwanted<'a>(
    live: impl Iterator<Item = (&'a Key, &'a Live)>,
    wanted: &BTreeSet<Key>,
    revision: &str,
    stays: impl Fn(&Name) -> bool,
) -> BTreeSet<Key> {
    let revision = if revision.is_empty() { "default" } else { revision };
    let unwanted = live.filter(|(key, live)| {
        let is_ours = live.revision.as_deref() == Some(revision) && !live.is_going;
        let gateway = live.gateway.as_deref().map(|name| Name::new(key.namespace.as_str(), name));
        is_ours && !wanted.contains(*key) && gateway.is_some_and(|gateway| stays(&gateway))
    });
    unwanted.map(|(key, _)| key.clone()).collect()
}
