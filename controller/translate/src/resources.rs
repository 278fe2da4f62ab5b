//! Resources as functions of the cluster.

mod app_protocol;
mod authorization;
mod authorization_service;
mod backend_tls;
mod cors;
mod http_route;
mod layer;
mod load_balancing;
mod outranked;
mod peer_authentication;
mod precedence;
mod problem;
mod provider_service;
mod rate_limit;
mod request_policy;
mod resilience;
mod route_rules;
mod security;
mod service;
mod service_config;
mod stream_route;
mod stream_rules;
mod targets;
mod telemetry;
mod token_rule;
mod traffic;
mod virtual_service;
mod workload;

use std::collections::BTreeSet;

use mesh_model::{NamespacedHostname, Policy, Service, ServiceConfig, WaypointConfig, Workload};

use crate::cluster::{Cluster, ResourceKey};

pub(crate) use authorization::convert;
pub(crate) use authorization_service::find_provider_problem;
pub(crate) use backend_tls::{
    BackendTls, deciding as deciding_backend_tls, target as backend_tls_target,
    translate as translate_backend_tls,
};
pub(crate) use http_route::{
    leads_to as http_route_leads_to, leads_to_host as http_route_leads_to_host,
    translate as translate_http_route,
};
pub(crate) use layer::Layer;
pub(crate) use outranked::outranking;
pub(crate) use peer_authentication::keys as peer_authentication_keys;
pub(crate) use problem::{Problem, Reason, find_pattern_error};
pub(crate) use provider_service::provider_host;
pub(crate) use rate_limit::{
    Conversion, LimitTarget, convert as convert_rate_limits, counting_hosts, target as rate_limit_target,
};
pub(crate) use request_policy::convert as convert_for_waypoints;
pub(crate) use resilience::{
    convert_check as convert_health_check, convert_hedging, deciding as deciding_resilience_policy,
    target as resilience_target,
};
pub(crate) use service_config::{
    attached_ports, namespaces_in_force, parent_service, ports_left, winning_virtual_service,
};
pub(crate) use stream_route::translate as translate_stream_route;
pub(crate) use stream_rules::{Lost, find_lost};
pub(crate) use targets::{Target, target};
pub(crate) use telemetry::{find_problems as find_telemetry_problems, trace_provider_hosts};
pub use token_rule::{MOST_KEYS, check_key_set};
pub(crate) use token_rule::{find_problems as find_token_problems, key_sources};
pub(crate) use traffic::find_problems as find_traffic_problems;
pub(crate) use virtual_service::{
    delegate_name, find_stream_problems, ports_named as stream_ports_named,
    translate as translate_virtual_service,
};

/// A resource to publish.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say it
pub enum Resource {
    Workload(Box<Workload>),
    Service(Box<Service>),
    Policy(Box<Policy>),
    ServiceConfig(Box<ServiceConfig>),
    WaypointConfig(Box<WaypointConfig>),
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
        ResourceKey::WaypointConfig(key) => {
            security::derive_waypoint(cluster, key).map(|it| Resource::WaypointConfig(it.into()))
        }
    }
}

/// The names of all resources there may be: what a full derivation asks for.
pub fn keys(cluster: &Cluster) -> BTreeSet<ResourceKey> {
    let pods = cluster.pods.iter().map(|(name, _)| cluster.workload_key(name));
    let services = cluster.services.iter().map(|(name, _)| cluster.host_key(name));
    let hosts = cluster.service_entries.iter().flat_map(|(name, entry)| {
        entry.hosts.iter().map(|host| NamespacedHostname::new(name.namespace.clone(), host.clone()))
    });
    let services = services
        .chain(hosts)
        .flat_map(|key| [ResourceKey::Service(key.clone()), ResourceKey::ServiceConfig(key)]);
    let entries = cluster.workload_entries.iter().map(|(name, _)| cluster.workload_entry_key(name));
    let inline = cluster.service_entries.iter().flat_map(|(name, entry)| {
        let addresses = entry.endpoints.iter().map(|it| &it.workload.written);
        addresses.map(|address| cluster.inline_endpoint_key(name, address))
    });
    let slices = cluster.endpoint_slices.iter();
    let endpoints = slices.flat_map(|(name, slice)| cluster.workloads_of_slice(name, slice));
    let policies = cluster.authorization_policies.iter().map(|(name, _)| cluster.policy_key(name));
    let waypoints = cluster.gateways.iter().map(|(name, _)| cluster.waypoint_key(name));
    let converted = peer_authentication::keys(cluster).map(ResourceKey::Policy);
    pods.chain(endpoints)
        .chain(entries)
        .chain(inline)
        .chain(services)
        .chain(policies)
        .chain(waypoints)
        .chain(converted)
        .collect()
}
