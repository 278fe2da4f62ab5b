//! The picture of the cluster: what resources and statuses are derived from, trimmed to the fields used.

mod affected;
mod attachment;
mod auto_address;
mod canary;
mod certificates;
mod dependents;
mod endpoint_slice;
mod gateway;
mod host;
mod key_sets;
mod keys;
mod mesh_config;
mod mesh_service;
mod namespace;
mod obstacle;
mod pod;
mod route;
mod routing;
mod selector;
mod service;
mod service_entry;
mod settings;
mod table;
mod unenforced;
mod visibility;
mod workload_entry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_api::backendtlspolicies::BackendTlsPolicySpec;

use crate::objects::{
    AuthorizationPolicySpec, Kind, MeshConfig, Object, ObjectKey, PeerAuthenticationSpec, ProxyConfigSpec,
    RateLimitPolicySpec, RequestAuthenticationSpec, ResiliencePolicySpec, TelemetrySpec,
};

use auto_address::AutoAddresses;

pub use affected::{Affected, ResourceKey};
pub(crate) use attachment::{Attachment, Refusal, asked_by};
pub(crate) use canary::{Canary, CanaryRefusal};
pub use certificates::{Certificates, config_maps_of};
pub(crate) use endpoint_slice::EndpointSlice;
pub(crate) use gateway::{ADIT_CONTROLLER, Gateway, GatewayClass, ISTIO_CONTROLLER};
pub use key_sets::{KeySet, KeySource};
pub(crate) use mesh_service::{MeshService, ServiceObject};
pub(crate) use namespace::{Namespace, Node};
pub use obstacle::Obstacle;
pub use pod::Pod;
pub(crate) use route::Route;
pub(crate) use routing::{DestinationRule, VirtualService};
pub(crate) use selector::includes;
pub(crate) use service::{Service, ServicePort, TargetPort};
pub(crate) use service_entry::{InlineEndpoint, ServiceEntry, is_wildcard};
pub use settings::{AddressSource, Settings};
pub use table::Name;
pub(crate) use table::{Facts, Kept, Table};
pub(crate) use workload_entry::{Address, WorkloadEntry};

/// Everything that is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub(crate) settings: Settings,
    /// What the mesh's own ConfigMap says.
    pub(crate) mesh: MeshConfig,
    pub(crate) namespaces: BTreeMap<Arc<str>, Namespace>,
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    pub(crate) pods: Table<Pod>,
    pub(crate) services: Table<Service>,
    pub(crate) endpoint_slices: Table<EndpointSlice>,
    pub(crate) workload_entries: Table<WorkloadEntry>,
    pub(crate) service_entries: Table<ServiceEntry>,
    /// The ServiceEntries by their hosts.
    entries_by_host: BTreeMap<Arc<str>, BTreeSet<Name>>,
    auto_addresses: AutoAddresses,
    pub(crate) gateway_classes: BTreeMap<Arc<str>, GatewayClass>,
    pub(crate) gateways: Table<Gateway>,
    pub(crate) http_routes: Table<Route>,
    pub(crate) grpc_routes: Table<Route>,
    pub(crate) tls_routes: Table<Route>,
    pub(crate) tcp_routes: Table<Route>,
    pub(crate) backend_tls_policies: Table<Kept<BackendTlsPolicySpec>>,
    /// What is known of the certificates in ConfigMaps that BackendTLSPolicies name.
    pub(crate) certificates: BTreeMap<Name, Certificates>,
    pub(crate) virtual_services: Table<VirtualService>,
    pub(crate) destination_rules: Table<DestinationRule>,
    pub(crate) authorization_policies: Table<Kept<AuthorizationPolicySpec>>,
    pub(crate) peer_authentications: Table<Kept<PeerAuthenticationSpec>>,
    pub(crate) request_authentications: Table<Kept<RequestAuthenticationSpec>>,
    pub(crate) telemetries: Table<Kept<TelemetrySpec>>,
    pub(crate) rate_limit_policies: Table<Kept<RateLimitPolicySpec>>,
    pub(crate) proxy_configs: Table<Kept<ProxyConfigSpec>>,
    pub(crate) resilience_policies: Table<Kept<ResiliencePolicySpec>>,
    /// What has been fetched of the keys that RequestAuthentications name.
    pub(crate) key_sets: BTreeMap<KeySource, KeySet>,
    /// Objects that have no effect although someone counts on one.
    pub(crate) unenforced: BTreeMap<ObjectKey, Facts>,
    /// What is in the way of waypoints, by Gateway; none where nobody deploys them.
    obstacles: Option<BTreeMap<Name, Obstacle>>,
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
        affected.extend(self.moved());
        affected
    }

    /// Forgets an object and names what has to be derived again.
    pub fn remove(&mut self, key: &ObjectKey) -> Affected {
        let mut affected = self.dependents(key);
        if !self.delete(key) {
            return Affected::default();
        }
        affected.extend(self.dependents(key));
        affected.extend(self.moved());
        affected
    }

    /// What depends on addresses that a change has given to other hosts.
    fn moved(&mut self) -> Affected {
        let mut affected = Affected::default();
        for name in self.auto_addresses.take_moved() {
            affected.extend(self.dependents(&name.key(Kind::ServiceEntry)));
        }
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
            Object::ConfigMap(object) => self.put_config_map(&name, &object),
            Object::Pod(object) => self.pods.put(name, (*object).into()),
            Object::Service(object) => self.services.put(name, (*object).into()),
            Object::EndpointSlice(object) => match EndpointSlice::new(&name, *object) {
                Some(slice) => self.endpoint_slices.put(name, slice),
                None => self.endpoint_slices.remove(&name),
            },
            Object::Gateway(object) => {
                let was_ready = self.gateways.get(&name).is_some_and(|gateway| gateway.was_ready);
                self.gateways.put(name, Gateway::new(*object, was_ready))
            }
            Object::HttpRoute(object) => self.http_routes.put(name, (*object).into()),
            Object::GrpcRoute(object) => self.grpc_routes.put(name, (*object).into()),
            Object::TlsRoute(object) => self.tls_routes.put(name, (*object).into()),
            Object::TcpRoute(object) => self.tcp_routes.put(name, (*object).into()),
            Object::BackendTlsPolicy(object) => {
                let changed = self.backend_tls_policies.put(name, Kept::new(&object.metadata, object.spec));
                self.prune_certificates();
                changed
            }
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
            Object::RequestAuthentication(object) => {
                self.request_authentications.put(name, Kept::new(&object.metadata, object.spec))
            }
            Object::ServiceEntry(object) => self.put_service_entry(name, (*object).into()),
            Object::WorkloadEntry(object) => self.workload_entries.put(name, (*object).into()),
            Object::Telemetry(object) => self.telemetries.put(name, Kept::new(&object.metadata, object.spec)),
            Object::ProxyConfig(it) => self.proxy_configs.put(name, Kept::new(&it.metadata, it.spec)),
            Object::RateLimitPolicy(object) => self.rate_limit_policies.put(name, Kept::of(*object)),
            Object::ResiliencePolicy(object) => self.resilience_policies.put(name, Kept::of(*object)),
            Object::WorkloadGroup(_)
            | Object::Sidecar(_)
            | Object::IstioGateway(_)
            | Object::EnvoyFilter(_)
            | Object::WasmPlugin(_)
            | Object::TrafficExtension(_) => self.put_unenforced(&object),
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
            Kind::ConfigMap => self.remove_config_map(&name),
            Kind::Pod => self.pods.remove(&name),
            Kind::Service => self.services.remove(&name),
            Kind::EndpointSlice => self.endpoint_slices.remove(&name),
            Kind::Gateway => self.gateways.remove(&name),
            Kind::HttpRoute => self.http_routes.remove(&name),
            Kind::GrpcRoute => self.grpc_routes.remove(&name),
            Kind::TlsRoute => self.tls_routes.remove(&name),
            Kind::TcpRoute => self.tcp_routes.remove(&name),
            Kind::BackendTlsPolicy => {
                let was_there = self.backend_tls_policies.remove(&name);
                self.prune_certificates();
                was_there
            }
            Kind::VirtualService => self.virtual_services.remove(&name),
            Kind::DestinationRule => self.destination_rules.remove(&name),
            Kind::AuthorizationPolicy => self.authorization_policies.remove(&name),
            Kind::PeerAuthentication => self.peer_authentications.remove(&name),
            Kind::ServiceEntry => self.remove_service_entry(&name),
            Kind::WorkloadEntry => self.workload_entries.remove(&name),
            Kind::RequestAuthentication => self.request_authentications.remove(&name),
            Kind::Telemetry => self.telemetries.remove(&name),
            Kind::ProxyConfig => self.proxy_configs.remove(&name),
            Kind::RateLimitPolicy => self.rate_limit_policies.remove(&name),
            Kind::ResiliencePolicy => self.resilience_policies.remove(&name),
            Kind::WorkloadGroup
            | Kind::Sidecar
            | Kind::IstioGateway
            | Kind::EnvoyFilter
            | Kind::WasmPlugin
            | Kind::TrafficExtension => self.unenforced.remove(key).is_some(),
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
