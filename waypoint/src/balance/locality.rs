//! Which endpoints go first for where they are, as seen from the waypoint: levels that take over from each
//! other, or groups that have a share each (Istio's LocalityLoadBalancerSetting).

use std::cmp::Reverse;
use std::sync::Arc;

use mesh_model::{Locality, LocalityPreference, Workload};

/// What places count for, for one waypoint.
#[derive(Debug)]
pub(super) enum Preference<'p> {
    /// As the service's own preferences say.
    OfService,
    /// Nothing.
    Anywhere,
    /// Shares by place, the most exact first.
    Shares(Vec<(&'p str, u32)>),
    /// Labels in common, the most significant first.
    Labels(&'p [Arc<str>]),
    /// The closer the better; the region that takes over from the waypoint's own, if one is named.
    Closeness(Option<&'p str>),
}

impl<'p> Preference<'p> {
    pub(super) fn of(policy: Option<&'p LocalityPreference>, me: &Workload) -> Preference<'p> {
        let Some(policy) = policy else { return Preference::OfService };
        if !policy.distribute.is_empty() {
            let mut entries = policy.distribute.iter();
            let Some((_, to)) = entries.find(|(from, _)| includes(from, &me.locality)) else {
                return Preference::Anywhere;
            };
            let mut shares: Vec<(&str, u32)> = to.iter().map(|(place, share)| (&**place, *share)).collect();
            shares.sort_by_key(|(place, _)| Reverse(exactness(place)));
            return Preference::Shares(shares);
        }
        if !policy.failover_priority.is_empty() {
            return Preference::Labels(&policy.failover_priority);
        }
        let mut mapped = policy.failover.iter();
        Preference::Closeness(mapped.find(|(from, _)| *from == me.locality.region).map(|(_, to)| &**to))
    }

    /// The group an endpoint is in, the best of levels being 0; none if it gets nothing. `met` is how many of
    /// the service's own preferences it meets, if it may be used at all.
    pub(super) fn group_of(&self, me: &Workload, endpoint: &Workload, met: Option<usize>) -> Option<usize> {
        match self {
            Preference::OfService => Some(usize::MAX - met?),
            Preference::Anywhere => Some(0),
            Preference::Shares(shares) => {
                shares.iter().position(|(place, _)| includes(place, &endpoint.locality))
            }
            Preference::Labels(labels) => {
                Some(labels.len() - labels.iter().take_while(|label| has(label, me, endpoint)).count())
            }
            Preference::Closeness(takes_over) => Some(distance(me, endpoint, *takes_over)),
        }
    }

    /// What a group was promised, if groups have shares.
    pub(super) fn share_of(&self, group: usize) -> Option<u64> {
        match self {
            Preference::Shares(shares) => Some(u64::from(shares.get(group).map_or(0, |(_, share)| *share))),
            _ => None,
        }
    }
}

/// 0 for the same subzone, up to 3 for another region; 4 for a region that does not take over.
fn distance(me: &Workload, endpoint: &Workload, takes_over: Option<&str>) -> usize {
    let (mine, its) = (&me.locality, &endpoint.locality);
    let same = [mine.region == its.region, mine.zone == its.zone, mine.subzone == its.subzone];
    let far = 3 - same.iter().take_while(|same| **same).count();
    if far == 3 && takes_over.is_some_and(|region| *region != *its.region) { 4 } else { far }
}

/// Whether a place as policies write it, `region/zone/subzone`, includes another.
fn includes(place: &str, locality: &Locality) -> bool {
    let mut parts = place.splitn(3, '/');
    [&locality.region, &locality.zone, &locality.subzone].into_iter().enumerate().all(|(index, own)| {
        match parts.next().unwrap_or("") {
            "*" => true,
            // Only what follows may be left out.
            "" if index > 0 => true,
            part => part == &**own,
        }
    })
}

/// How many parts of a place are given.
fn exactness(place: &str) -> usize {
    place.split('/').filter(|part| !matches!(*part, "*" | "")).count()
}

/// Whether an endpoint's label is the waypoint's, or the value that is written with it.
fn has(label: &str, me: &Workload, endpoint: &Workload) -> bool {
    match label.split_once('=') {
        Some((name, value)) => find_label(endpoint, name) == Some(value),
        None => find_label(endpoint, label) == find_label(me, label),
    }
}

/// A label, or what Istio makes a label of.
fn find_label<'w>(workload: &'w Workload, name: &str) -> Option<&'w str> {
    let known = match name {
        "topology.kubernetes.io/region" => &workload.locality.region,
        "topology.kubernetes.io/zone" => &workload.locality.zone,
        "topology.istio.io/subzone" => &workload.locality.subzone,
        "topology.istio.io/cluster" => &workload.cluster_id,
        "topology.istio.io/network" => &workload.network,
        "kubernetes.io/hostname" => &workload.node,
        name => return workload.labels.get(name).map(|value| &**value),
    };
    Some(known)
}

#[cfg(test)]
mod tests;
