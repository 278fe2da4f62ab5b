//! What a change to an object affects.

use std::collections::BTreeSet;
use std::fmt;

use mesh_model::{NamespacedHostname, PolicyKey, Uid, WaypointKey};

use crate::objects::ObjectKey;

/// The name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKey {
    /// A pod.
    Workload(Uid),
    /// A service.
    Service(NamespacedHostname),
    /// An L4 policy.
    Policy(PolicyKey),
    /// What a waypoint needs of a service.
    ServiceConfig(NamespacedHostname),
    /// What holds for all traffic through a waypoint.
    WaypointConfig(WaypointKey),
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceKey::Workload(uid) => write!(f, "workload {uid}"),
            ResourceKey::Service(key) => write!(f, "service {key}"),
            ResourceKey::Policy(key) => write!(f, "policy {key}"),
            ResourceKey::ServiceConfig(key) => write!(f, "service config {key}"),
            ResourceKey::WaypointConfig(key) => write!(f, "waypoint config {key}"),
        }
    }
}

/// What may have changed and has to be derived again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The resources.
    pub resources: BTreeSet<ResourceKey>,
    /// The objects whose statuses have to be written again.
    pub statuses: BTreeSet<ObjectKey>,
}

impl Affected {
    /// Takes in what another change affects.
    pub fn extend(&mut self, other: Affected) {
        self.resources.extend(other.resources);
        self.statuses.extend(other.statuses);
    }
}
