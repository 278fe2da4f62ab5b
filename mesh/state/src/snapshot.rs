//! What is known at one moment: lookups that never wait and never change.

use std::sync::Arc;

use mesh_model::{
    NamespacedHostname, NetworkAddress, Policy, PolicyKey, PortMap, Service, ServiceConfig, Uid,
    WaypointConfig, WaypointKey, Workload,
};

use crate::balance;
use crate::endpoints::Endpoints;
use crate::former::Former;
use crate::multimap::Map;
use crate::policies::Policies;
use crate::services::Services;
use crate::workloads::Workloads;

/// An immutable state of the mesh. Copies share their contents.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(crate) workloads: Workloads,
    pub(crate) services: Services,
    pub(crate) endpoints: Endpoints,
    pub(crate) policies: Policies,
    pub(crate) configs: Map<NamespacedHostname, Arc<ServiceConfig>>,
    pub(crate) waypoint_configs: Map<WaypointKey, Arc<WaypointConfig>>,
    pub(crate) left_by_workloads: Former<Uid>,
    pub(crate) left_by_services: Former<NamespacedHostname>,
}

impl Snapshot {
    pub(crate) fn preferring(namespace: Arc<str>) -> Self {
        Snapshot { services: Services::preferring(namespace), ..Snapshot::default() }
    }

    /// The workload that has this address to itself.
    pub fn find_workload(&self, address: &NetworkAddress) -> Option<Arc<Workload>> {
        self.workloads.at(address).cloned()
    }

    /// The workload of this uid.
    pub fn find_workload_by_uid(&self, uid: &Uid) -> Option<Arc<Workload>> {
        self.workloads.find(uid).cloned()
    }

    /// The service a client of this namespace means by an address (or whoever, if none is given).
    pub fn find_service<'c>(
        &self,
        address: &NetworkAddress,
        client_namespace: impl Into<Option<&'c str>>,
    ) -> Option<Arc<Service>> {
        self.services.at(address, client_namespace.into()).cloned()
    }

    /// The service a client of this namespace means by a host name (or whoever, if none is given).
    pub fn find_service_by_host<'c>(
        &self,
        hostname: &str,
        client_namespace: impl Into<Option<&'c str>>,
    ) -> Option<Arc<Service>> {
        self.services.called(hostname, client_namespace.into()).cloned()
    }

    /// The service of this name.
    pub fn find_service_by_key(&self, key: &NamespacedHostname) -> Option<Arc<Service>> {
        self.services.find(key).cloned()
    }

    /// A service this workload takes traffic for on this port of its own (TEL-19).
    pub fn find_service_behind(&self, workload: &Workload, target_port: u16) -> Option<Arc<Service>> {
        let leads_there = |service: &&Arc<Service>| {
            let mut ports = service.ports.iter().map(|port| port.service_port);
            ports.any(|port| balance::target_port(service, workload, port) == Some(target_port))
        };
        workload.services.keys().filter_map(|key| self.services.find(key)).find(leads_there).cloned()
    }

    /// The workloads behind a service and their target ports, whatever their health.
    pub fn endpoints<'s>(
        &'s self,
        service: &'s NamespacedHostname,
    ) -> impl Iterator<Item = (&'s Arc<Workload>, &'s PortMap)> {
        let endpoints = self.endpoints.of(service).iter();
        endpoints.filter_map(move |workload| Some((workload, workload.services.get(service)?)))
    }

    /// The workloads behind a service as one value; while none of them changes, it is the same one.
    pub fn endpoint_list(&self, service: &NamespacedHostname) -> Option<&Arc<Vec<Arc<Workload>>>> {
        self.endpoints.list(service)
    }

    /// The policies that apply to a workload's inbound traffic.
    pub fn policies_for<'s>(&'s self, workload: &'s Workload) -> impl Iterator<Item = &'s Policy> {
        self.policies.of(workload)
    }

    /// The policy of this name.
    pub fn find_policy(&self, key: &PolicyKey) -> Option<Arc<Policy>> {
        self.policies.find(key).cloned()
    }

    /// What shapes the requests to a service.
    pub fn service_config(&self, service: &NamespacedHostname) -> Option<Arc<ServiceConfig>> {
        self.configs.get(service).cloned()
    }

    /// What holds for everything that goes through a waypoint; none if that has never been told.
    pub fn waypoint_config(&self, waypoint: &WaypointKey) -> Option<Arc<WaypointConfig>> {
        self.waypoint_configs.get(waypoint).cloned()
    }

    /// All workloads, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.all()
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.all()
    }

    /// All policies, in no order.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.all()
    }

    /// All service configurations, in no order.
    pub fn service_configs(&self) -> impl Iterator<Item = &Arc<ServiceConfig>> {
        self.configs.values()
    }

    /// All configurations of waypoints, in no order.
    pub fn waypoint_configs(&self) -> impl Iterator<Item = &Arc<WaypointConfig>> {
        self.waypoint_configs.values()
    }
}

#[cfg(test)]
mod tests;
