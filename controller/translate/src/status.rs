//! Statuses as functions of the cluster.

mod condition;
mod gateway;
mod http_route;
mod policy;
mod routing;
mod service;
mod stamp;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Cluster, Name};
use crate::objects::{Kind, ObjectKey};

pub use condition::Condition;
pub use gateway::{GatewayStatus, ListenerStatus, StatusAddress};
pub use http_route::{HttpRouteStatus, ParentRef, ParentStatus};

/// What is to be written about an object, under its `status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// Of a Gateway.
    Gateway(GatewayStatus),
    /// Of an HTTPRoute.
    HttpRoute(HttpRouteStatus),
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
        Kind::HttpRoute => http_route::derive(cluster, &name).map(Status::HttpRoute),
        Kind::GatewayClass => gateway::derive_class(cluster, &name.name).map(conditions),
        Kind::Service => service::derive(cluster, &name).map(conditions),
        Kind::VirtualService => routing::derive_virtual_service(cluster, &name).map(conditions),
        Kind::DestinationRule => routing::derive_destination_rule(cluster, &name).map(conditions),
        Kind::AuthorizationPolicy => policy::derive_authorization(cluster, &name).map(conditions),
        Kind::PeerAuthentication => policy::derive_peer_authentication(cluster, &name).map(conditions),
        Kind::Namespace | Kind::ServiceAccount | Kind::Node | Kind::Pod | Kind::Deployment => None,
    }
}

fn conditions(conditions: Vec<Condition>) -> Status {
    Status::Conditions { conditions }
}

/// The objects that may have a status.
pub fn keys(cluster: &Cluster) -> BTreeSet<ObjectKey> {
    let of = |kind| move |name: &Name| ObjectKey::new(kind, name.namespace.clone(), name.name.clone());
    let mut keys = BTreeSet::new();
    keys.extend(cluster.gateways.iter().map(|(name, _)| of(Kind::Gateway)(name)));
    keys.extend(
        cluster.gateway_classes.keys().map(|name| ObjectKey::new(Kind::GatewayClass, "", name.clone())),
    );
    keys.extend(cluster.services.iter().map(|(name, _)| of(Kind::Service)(name)));
    keys.extend(cluster.http_routes.iter().map(|(name, _)| of(Kind::HttpRoute)(name)));
    keys.extend(cluster.virtual_services.iter().map(|(name, _)| of(Kind::VirtualService)(name)));
    keys.extend(cluster.destination_rules.iter().map(|(name, _)| of(Kind::DestinationRule)(name)));
    keys.extend(cluster.authorization_policies.iter().map(|(name, _)| of(Kind::AuthorizationPolicy)(name)));
    keys.extend(cluster.peer_authentications.iter().map(|(name, _)| of(Kind::PeerAuthentication)(name)));
    keys
}
