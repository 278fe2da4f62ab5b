//! Statuses as functions of the cluster.

mod backend_tls_policy;
mod condition;
mod gateway;
mod own_waypoint;
mod policy;
mod proxy_config;
mod rate_limit_policy;
mod resilience_policy;
mod route;
mod routing;
mod service;
mod service_entry;
mod stamp;
mod stream_route;
mod telemetry;
mod unenforced;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Cluster, Name};
use crate::objects::{Kind, ObjectKey};

pub use backend_tls_policy::{AncestorStatus, PolicyStatus};
pub use condition::Condition;
pub use gateway::{GatewayStatus, ListenerStatus, StatusAddress};
pub use route::{ParentRef, ParentStatus, RouteStatus};
pub use service_entry::{HostAddress, ServiceEntryStatus};

/// What is to be written about an object, under its `status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// Of a Gateway.
    Gateway(GatewayStatus),
    /// Of a route of the Gateway API.
    Route(RouteStatus),
    /// Of a policy of the Gateway API.
    Policy(PolicyStatus),
    /// Of a ServiceEntry.
    ServiceEntry(ServiceEntryStatus),
    /// Of any other kind: conditions and nothing else.
    #[serde(rename_all = "camelCase")]
    Conditions {
        /// What holds of it.
        conditions: Vec<Condition>,
    },
}

impl Status {
    /// What to write at the time `now` (RFC 3339, seconds): conditions that have not changed since
    /// `previous` was written keep the time at which they last did.
    pub fn stamp(&self, previous: Option<&Value>, now: &str) -> Value {
        stamp::stamp(self, previous, now)
    }
}

/// The status of that object; `None` if nothing is to be written (any more).
pub fn derive(cluster: &Cluster, key: &ObjectKey) -> Option<Status> {
    let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
    match key.kind {
        Kind::Gateway => gateway::derive(cluster, &name).map(Status::Gateway),
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute => {
            route::derive(cluster, key.kind, &name).map(Status::Route)
        }
        Kind::BackendTlsPolicy => backend_tls_policy::derive(cluster, &name).map(Status::Policy),
        Kind::RateLimitPolicy => rate_limit_policy::derive(cluster, &name).map(Status::Policy),
        Kind::ResiliencePolicy => resilience_policy::derive(cluster, &name).map(Status::Policy),
        Kind::GatewayClass => gateway::derive_class(cluster, &name.name).map(conditions),
        Kind::ServiceEntry => service_entry::derive(cluster, &name).map(Status::ServiceEntry),
        Kind::WorkloadEntry => service_entry::derive_workload_entry(cluster, &name).map(conditions),
        Kind::Service => service::derive(cluster, &name).map(conditions),
        Kind::VirtualService => routing::derive_virtual_service(cluster, &name).map(conditions),
        Kind::DestinationRule => routing::derive_destination_rule(cluster, &name).map(conditions),
        Kind::AuthorizationPolicy => policy::derive_authorization(cluster, &name).map(conditions),
        Kind::PeerAuthentication => policy::derive_peer_authentication(cluster, &name).map(conditions),
        Kind::RequestAuthentication => policy::derive_request_authentication(cluster, &name).map(conditions),
        Kind::Namespace
        | Kind::ServiceAccount
        | Kind::Node
        | Kind::ConfigMap
        | Kind::Pod
        | Kind::Deployment
        | Kind::EndpointSlice => None,
        Kind::ProxyConfig => proxy_config::derive(cluster, &name).map(conditions),
        Kind::Telemetry => telemetry::derive(cluster, &name).map(conditions),
        Kind::WorkloadGroup
        | Kind::Sidecar
        | Kind::IstioGateway
        | Kind::EnvoyFilter
        | Kind::WasmPlugin
        | Kind::TrafficExtension => unenforced::derive(cluster, key).map(conditions),
    }
}

fn conditions(conditions: Vec<Condition>) -> Status {
    Status::Conditions { conditions }
}

/// The objects that may have a status.
pub fn keys(cluster: &Cluster) -> BTreeSet<ObjectKey> {
    let of = |kind| move |name: &Name| name.key(kind);
    let mut keys = BTreeSet::new();
    keys.extend(cluster.gateways.iter().map(|(name, _)| of(Kind::Gateway)(name)));
    keys.extend(
        cluster.gateway_classes.keys().map(|name| ObjectKey::new(Kind::GatewayClass, "", name.clone())),
    );
    keys.extend(cluster.services.iter().map(|(name, _)| of(Kind::Service)(name)));
    keys.extend(cluster.service_entries.iter().map(|(name, _)| of(Kind::ServiceEntry)(name)));
    keys.extend(cluster.workload_entries.iter().map(|(name, _)| of(Kind::WorkloadEntry)(name)));
    keys.extend(cluster.routes().map(|(name, route)| of(route.kind)(name)));
    keys.extend(cluster.backend_tls_policies.iter().map(|(name, _)| of(Kind::BackendTlsPolicy)(name)));
    keys.extend(cluster.virtual_services.iter().map(|(name, _)| of(Kind::VirtualService)(name)));
    keys.extend(cluster.destination_rules.iter().map(|(name, _)| of(Kind::DestinationRule)(name)));
    keys.extend(cluster.authorization_policies.iter().map(|(name, _)| of(Kind::AuthorizationPolicy)(name)));
    keys.extend(cluster.peer_authentications.iter().map(|(name, _)| of(Kind::PeerAuthentication)(name)));
    let authentications = cluster.request_authentications.iter();
    keys.extend(authentications.map(|(name, _)| of(Kind::RequestAuthentication)(name)));
    keys.extend(cluster.telemetries.iter().map(|(name, _)| of(Kind::Telemetry)(name)));
    keys.extend(cluster.proxy_configs.iter().map(|(name, _)| of(Kind::ProxyConfig)(name)));
    keys.extend(cluster.rate_limit_policies.iter().map(|(name, _)| of(Kind::RateLimitPolicy)(name)));
    keys.extend(cluster.resilience_policies.iter().map(|(name, _)| of(Kind::ResiliencePolicy)(name)));
    keys.extend(cluster.unenforced.keys().cloned());
    keys
}
