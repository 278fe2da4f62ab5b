//! Resources as functions of the cluster.

mod app_protocol;
mod authorization;
mod http_route;
mod load_balancing;
mod peer_authentication;
mod precedence;
mod problem;
mod service;
mod service_config;
mod virtual_service;
mod workload;

use std::collections::BTreeSet;

use mesh_model::{Policy, Service, ServiceConfig, Workload};

use crate::cluster::{Cluster, ResourceKey};

pub(crate) use authorization::convert;
pub(crate) use http_route::{leads_to as http_route_leads_to, translate as translate_http_route};
pub(crate) use peer_authentication::keys as peer_authentication_keys;
pub(crate) use problem::{Problem, Reason, find_pattern_error};
pub(crate) use service_config::{
    attached_ports, namespaces_in_force, parent_service, routes_in_force, winning_virtual_service,
};
pub(crate) use virtual_service::translate as translate_virtual_service;

/// A resource to publish.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Resource {
    Workload(Box<Workload>),
    Service(Box<Service>),
    Policy(Box<Policy>),
    ServiceConfig(Box<ServiceConfig>),
}

/// The resource of that name; `None` if there is none (any more).
pub fn derive(cluster: &Cluster, key: &ResourceKey) -> Option<Resource> {
    match key {
        ResourceKey::Workload(uid) => workload::derive(cluster, uid).map(|it| Resource::Workload(it.into())),
        ResourceKey::Service(key) => service::derive(cluster, key).map(|it| Resource::Service(it.into())),
        ResourceKey::Policy(key) => authorization::derive(cluster, key)
            .or_else(|| peer_authentication::derive(cluster, key))
            .map(|it| Resource::Policy(it.into())),
        ResourceKey::ServiceConfig(key) => {
            service_config::derive(cluster, key).map(|it| Resource::ServiceConfig(it.into()))
        }
    }
}

/// The names of all resources there may be: what a full derivation asks for.
pub fn keys(cluster: &Cluster) -> BTreeSet<ResourceKey> {
    let pods = cluster.pods.iter().map(|(name, _)| cluster.workload_key(name));
    let services = cluster.services.iter();
    let services =
        services.flat_map(|(name, _)| [cluster.service_key(name), cluster.service_config_key(name)]);
    let policies = cluster.authorization_policies.iter().map(|(name, _)| cluster.policy_key(name));
    let converted = peer_authentication::keys(cluster).map(ResourceKey::Policy);
    pods.chain(services).chain(policies).chain(converted).collect()
}
