//! From the names of objects to the names of resources and back.

use mesh_model::{NamespacedHostname, PolicyKey, Uid, WaypointKey};

use super::affected::ResourceKey;
use super::{Cluster, Name};

impl Cluster {
    /// A pod's resource.
    pub fn workload_key(&self, pod: &Name) -> ResourceKey {
        ResourceKey::Workload(Uid(format!("{}//Pod/{pod}", self.settings.cluster_id).into()))
    }

    /// A WorkloadEntry's resource.
    pub fn workload_entry_key(&self, entry: &Name) -> ResourceKey {
        ResourceKey::Workload(Uid(format!("{}{entry}", self.workload_entry_prefix()).into()))
    }

    /// The resource of an endpoint that a ServiceEntry lists, by its address as written.
    pub(crate) fn inline_endpoint_key(&self, entry: &Name, address: &str) -> ResourceKey {
        ResourceKey::Workload(Uid(format!("{}{entry}/{address}", self.inline_endpoint_prefix()).into()))
    }

    fn workload_entry_prefix(&self) -> String {
        format!("{}/networking.istio.io/WorkloadEntry/", self.settings.cluster_id)
    }

    fn inline_endpoint_prefix(&self) -> String {
        format!("{}/networking.istio.io/ServiceEntry/", self.settings.cluster_id)
    }

    /// A service's resource.
    pub fn service_key(&self, service: &Name) -> ResourceKey {
        ResourceKey::Service(self.host_key(service))
    }

    /// The resource of an AuthorizationPolicy.
    pub fn policy_key(&self, policy: &Name) -> ResourceKey {
        ResourceKey::Policy(PolicyKey::new(policy.namespace.clone(), policy.name.clone()))
    }

    /// The resource of what holds for all traffic through a Gateway's waypoint.
    pub fn waypoint_key(&self, gateway: &Name) -> ResourceKey {
        ResourceKey::WaypointConfig(WaypointKey::new(gateway.namespace.clone(), gateway.name.clone()))
    }

    pub(crate) fn host_key(&self, service: &Name) -> NamespacedHostname {
        NamespacedHostname::new(service.namespace.clone(), self.hostname(service))
    }

    pub(crate) fn pod_of(&self, uid: &Uid) -> Option<Name> {
        let rest = uid.0.strip_prefix(self.settings.cluster_id.as_ref())?.strip_prefix("//Pod/")?;
        rest.split_once('/').map(|(namespace, name)| Name::new(namespace, name))
    }

    pub(crate) fn workload_entry_of(&self, uid: &Uid) -> Option<Name> {
        let rest = uid.0.strip_prefix(&self.workload_entry_prefix())?;
        rest.split_once('/').map(|(namespace, name)| Name::new(namespace, name))
    }

    /// The ServiceEntry and the address that a uid names.
    pub(crate) fn inline_endpoint_of<'a>(&self, uid: &'a Uid) -> Option<(Name, &'a str)> {
        let rest = uid.0.strip_prefix(&self.inline_endpoint_prefix())?;
        let (namespace, rest) = rest.split_once('/')?;
        let (name, address) = rest.split_once('/')?;
        Some((Name::new(namespace, name), address))
    }
}
