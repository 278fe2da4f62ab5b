//! What a service's checks are made of. The values themselves say whether it is still the same.

use std::sync::Arc;

use mesh_model::{NamespacedHostname, Service, ServiceConfig, Uid, Workload};
use mesh_state::Snapshot;

/// All of it, as of one moment.
#[derive(Debug)]
pub(super) struct Basis {
    pub(super) me: Arc<Workload>,
    pub(super) service: Arc<Service>,
    pub(super) config: Option<Arc<ServiceConfig>>,
    endpoints: Option<Arc<Vec<Arc<Workload>>>>,
}

impl Basis {
    /// That of a service now; none if the service or this waypoint is not known.
    pub(super) fn find(snapshot: &Snapshot, me: &Uid, service: &NamespacedHostname) -> Option<Basis> {
        Some(Basis {
            me: snapshot.find_workload_by_uid(me)?,
            service: snapshot.find_service_by_key(service)?,
            config: snapshot.service_config(service),
            endpoints: snapshot.endpoint_list(service).cloned(),
        })
    }

    pub(super) fn is(&self, other: &Basis) -> bool {
        Arc::ptr_eq(&self.me, &other.me)
            && Arc::ptr_eq(&self.service, &other.service)
            && are_same(self.config.as_ref(), other.config.as_ref())
            && are_same(self.endpoints.as_ref(), other.endpoints.as_ref())
    }
}

fn are_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}
