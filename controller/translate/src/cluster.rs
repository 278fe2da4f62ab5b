//! The picture of the cluster: what resources and statuses are derived from, trimmed to the fields used.

mod affected;
mod attachment;
mod dependents;
mod gateway;
mod host;
mod keys;
mod namespace;
mod pod;
mod routing;
mod selector;
mod service;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api::experimental::httproutes::HttpRouteSpec;

use crate::objects::{AuthorizationPolicySpec, Kind, Object, ObjectKey, PeerAuthenticationSpec};

pub use affected::{Affected, ResourceKey};
pub(crate) use attachment::{Attachment, Refusal};
pub(crate) use gateway::{ADIT_CONTROLLER, Gateway, GatewayClass, ISTIO_CONTROLLER};
pub(crate) use namespace::{Namespace, Node};
pub use pod::Pod;
pub(crate) use routing::{DestinationRule, VirtualService};
pub(crate) use selector::includes;
pub(crate) use service::{Service, ServicePort, TargetPort};
pub use table::Name;
pub(crate) use table::{Facts, Kept, Table};

/// What holds for the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's id.
    pub cluster_id: Arc<str>,
    /// The cluster's network.
    pub network: Arc<str>,
    /// The trust domain of every identity.
    pub trust_domain: Arc<str>,
    /// What service names end in.
    pub domain: Arc<str>,
    /// Where policies for the whole mesh live.
    pub root_namespace: Arc<str>,
    /// The revision of this control plane; Gateways of others are left alone (WP-15).
    pub revision: Arc<str>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cluster_id: "Kubernetes".into(),
            network: "".into(),
            trust_domain: "cluster.local".into(),
            domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            revision: "default".into(),
        }
    }
}

/// Everything that is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) namespaces: BTreeMap<Arc<str>, Namespace>,
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    pub(crate) pods: Table<Pod>,
    pub(crate) services: Table<Service>,
    pub(crate) gateway_classes: BTreeMap<Arc<str>, GatewayClass>,
    pub(crate) gateways: Table<Gateway>,
    pub(crate) http_routes: Table<Kept<HttpRouteSpec>>,
    pub(crate) virtual_services: Table<VirtualService>,
    pub(crate) destination_rules: Table<DestinationRule>,
    pub(crate) authorization_policies: Table<Kept<AuthorizationPolicySpec>>,
    pub(crate) peer_authentications: Table<Kept<PeerAuthenticationSpec>>,
}

impl Cluster {
    /// An empty cluster.
    pub fn new(settings: Settings) -> Self {
        Cluster { settings, ..Cluster::default() }
    }

    /// What holds for the whole mesh.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes in a new or changed object and names what has to be derived again.
    pub fn apply(&mut self, object: Object) -> Affected {
        let key = object.key();
        let mut affected = self.dependents(&key);
        if !self.insert(key.clone(), object) {
            return Affected::default();
        }
        // What depended on the object as it was, and what depends on it as it is. A Gateway that gets
        // ready by this is settled last, since its dependents are only named while it is not.
        affected.extend(self.dependents(&key));
        self.settle_gateway(&key);
        affected
    }

    /// Forgets an object and names what has to be derived again.
    pub fn remove(&mut self, key: &ObjectKey) -> Affected {
        let mut affected = self.dependents(key);
        if !self.delete(key) {
            return Affected::default();
        }
        affected.extend(self.dependents(key));
        affected
    }

    /// Returns whether anything changed.
    fn insert(&mut self, key: ObjectKey, object: Object) -> bool {
        let name = Name { namespace: key.namespace, name: key.name };
        match object {
            Object::Namespace(object) => table::put(&mut self.namespaces, name.name, (*object).into()),
            Object::Node(object) => table::put(&mut self.nodes, name.name, (*object).into()),
            Object::GatewayClass(object) => {
                table::put(&mut self.gateway_classes, name.name, (*object).into())
            }
            Object::Pod(object) => self.pods.put(name, (*object).into()),
            Object::Service(object) => self.services.put(name, (*object).into()),
            Object::Gateway(object) => {
                let was_ready = self.gateways.get(&name).is_some_and(|gateway| gateway.was_ready);
                self.gateways.put(name, Gateway::new(*object, was_ready))
            }
            Object::HttpRoute(object) => self.http_routes.put(name, Kept::new(&object.metadata, object.spec)),
            Object::VirtualService(object) => {
                let value = VirtualService::new(&self.settings, &name, *object);
                self.virtual_services.put(name, value)
            }
            Object::DestinationRule(object) => {
                let value = DestinationRule::new(&self.settings, &name, *object);
                self.destination_rules.put(name, value)
            }
            Object::AuthorizationPolicy(object) => {
                self.authorization_policies.put(name, Kept::new(&object.metadata, object.spec))
            }
            Object::PeerAuthentication(object) => {
                self.peer_authentications.put(name, Kept::new(&object.metadata, object.spec))
            }
            // Nothing is derived from these: a Deployment's pods are objects of their own.
            Object::ServiceAccount(_) | Object::Deployment(_) => false,
        }
    }

    /// Returns whether it was there.
    fn delete(&mut self, key: &ObjectKey) -> bool {
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        match key.kind {
            Kind::Namespace => self.namespaces.remove(&name.name).is_some(),
            Kind::Node => self.nodes.remove(&name.name).is_some(),
            Kind::GatewayClass => self.gateway_classes.remove(&name.name).is_some(),
            Kind::Pod => self.pods.remove(&name),
            Kind::Service => self.services.remove(&name),
            Kind::Gateway => self.gateways.remove(&name),
            Kind::HttpRoute => self.http_routes.remove(&name),
            Kind::VirtualService => self.virtual_services.remove(&name),
            Kind::DestinationRule => self.destination_rules.remove(&name),
            Kind::AuthorizationPolicy => self.authorization_policies.remove(&name),
            Kind::PeerAuthentication => self.peer_authentications.remove(&name),
            Kind::ServiceAccount | Kind::Deployment => false,
        }
    }

    /// A pod, by name.
    pub fn find_pod(&self, name: &Name) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// The pods that run on a node.
    pub fn pods_on_node<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a Name, &'a Pod)> {
        self.pods.iter().filter(move |(_, pod)| pod.node.as_ref() == node)
    }
}
