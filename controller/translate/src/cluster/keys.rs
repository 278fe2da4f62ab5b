//! From the names of objects to the names of resources and back.

use mesh_model::{NamespacedHostname, PolicyKey, Uid};

use super::affected::ResourceKey;
use super::{Cluster, Name};

impl Cluster {
    /// A pod's resource.
    pub fn workload_key(&self, pod: &Name) -> ResourceKey {
        ResourceKey::Workload(Uid(format!("{}//Pod/{pod}", self.settings.cluster_id).into()))
    }

    /// A service's resource.
    pub fn service_key(&self, service: &Name) -> ResourceKey {
        ResourceKey::Service(self.host_key(service))
    }

    /// The resource of a service for its waypoint.
    pub fn service_config_key(&self, service: &Name) -> ResourceKey {
        ResourceKey::ServiceConfig(self.host_key(service))
    }

    /// The resource of an AuthorizationPolicy.
    pub fn policy_key(&self, policy: &Name) -> ResourceKey {
        ResourceKey::Policy(PolicyKey::new(policy.namespace.clone(), policy.name.clone()))
    }

    pub(crate) fn host_key(&self, service: &Name) -> NamespacedHostname {
        NamespacedHostname::new(service.namespace.clone(), self.hostname(service))
    }

    pub(crate) fn pod_of(&self, uid: &Uid) -> Option<Name> {
        let rest = uid.0.strip_prefix(self.settings.cluster_id.as_ref())?.strip_prefix("//Pod/")?;
        rest.split_once('/').map(|(namespace, name)| Name::new(namespace, name))
    }
}
