//! What depends on an object. Asked before and after a change, the answers together are what the change
//! affects: never too little, and sometimes more, which costs only a derivation with an equal result.

mod mesh_config;
mod policies;
mod rate_limits;
mod resilience;
mod services;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};

use super::affected::{Affected, ResourceKey};
use super::gateway::Gateway;
use super::table::Name;
use super::{Cluster, asked_by};
use crate::objects::{Kind, ObjectKey};
use crate::resources::{parent_service, peer_authentication_keys};
use services::config_key;

impl Cluster {
    pub(super) fn dependents(&self, key: &ObjectKey) -> Affected {
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        let mut dependents = Dependents { cluster: self, affected: Affected::default() };
        match key.kind {
            Kind::Namespace => dependents.of_namespace(&key.name),
            Kind::Node => dependents.of_node(&key.name),
            Kind::ConfigMap => dependents.of_config_map(&name),
            Kind::Pod => {
                dependents.affected.resources.insert(self.workload_key(&name));
                dependents.of_readiness(key);
            }
            Kind::Service => {
                dependents.of_service_object(key);
                dependents.of_readiness(key);
            }
            Kind::ServiceEntry => dependents.of_service_entry(key, &name),
            Kind::WorkloadEntry => dependents.of_workload_entry(&name),
            Kind::EndpointSlice => dependents.of_endpoint_slice(&name),
            Kind::GatewayClass => dependents.of_gateway_class(&name),
            Kind::Gateway => dependents.of_gateway(&name),
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute => {
                dependents.of_route(key.kind, &name)
            }
            Kind::BackendTlsPolicy => dependents.of_backend_tls_policy(&name),
            Kind::VirtualService => dependents.of_virtual_service(&name),
            Kind::DestinationRule => dependents.of_destination_rule(&name),
            Kind::AuthorizationPolicy => dependents.of_authorization_policy(&name),
            Kind::PeerAuthentication => dependents.of_peer_authentication(&name),
            Kind::RequestAuthentication => dependents.of_request_authentication(&name),
            Kind::Telemetry => dependents.of_telemetry(&name),
            Kind::ProxyConfig => dependents.of_proxy_config(&name),
            Kind::RateLimitPolicy => dependents.of_rate_limit_policy(&name),
            Kind::ResiliencePolicy => dependents.of_resilience_policy(&name),
            Kind::WorkloadGroup
            | Kind::Sidecar
            | Kind::IstioGateway
            | Kind::EnvoyFilter
            | Kind::WasmPlugin
            | Kind::TrafficExtension => dependents.add_status(key.kind, &name),
            Kind::ServiceAccount | Kind::Deployment => {}
        }
        dependents.affected
    }
}

struct Dependents<'a> {
    cluster: &'a Cluster,
    affected: Affected,
}

impl Dependents<'_> {
    fn add(&mut self, resource: ResourceKey) {
        self.affected.resources.insert(resource);
    }

    fn add_status(&mut self, kind: Kind, name: &Name) {
        self.affected.statuses.insert(name.key(kind));
    }

    /// Labels of a namespace decide about waypoints and load balancing in it.
    fn of_namespace(&mut self, namespace: &str) {
        let cluster = self.cluster;
        self.add_statuses_of_own_kinds();
        self.add_workloads(namespace, |_| true);
        for (name, _) in cluster.services.in_namespace(namespace) {
            self.add_service(&cluster.hostname(name));
        }
        for (_, entry) in cluster.service_entries.in_namespace(namespace) {
            entry.hosts.iter().for_each(|host| self.add_service(host));
        }
    }

    /// It can hide others beside it.
    fn of_proxy_config(&mut self, name: &Name) {
        self.add_status(Kind::ProxyConfig, name);
        for (other, _) in self.cluster.proxy_configs.in_namespace(&name.namespace) {
            self.add_status(Kind::ProxyConfig, other);
        }
    }

    fn of_node(&mut self, node: &str) {
        for (name, _) in self.cluster.pods_on_node(node) {
            self.add(self.cluster.workload_key(name));
        }
        for (name, slice) in self.cluster.endpoint_slices.iter() {
            if slice.endpoints.iter().any(|it| it.node.as_ref() == node) {
                self.of_endpoint_slice(name);
            }
        }
    }

    fn of_endpoint_slice(&mut self, name: &Name) {
        let Some(slice) = self.cluster.endpoint_slices.get(name) else { return };
        self.affected.resources.extend(self.cluster.workloads_of_slice(name, slice));
    }

    /// A Service or a ServiceEntry. What else has its host names is concerned too: who decides about them may
    /// be another now, in other namespaces as well.
    fn of_service_object(&mut self, key: &ObjectKey) {
        self.add_object(key);
        for hostname in self.cluster.hostnames_of(key) {
            self.add_service(&hostname);
            for object in self.cluster.objects_of_hostname(&hostname) {
                self.add_endpoints(&object);
            }
        }
    }

    fn of_service_entry(&mut self, key: &ObjectKey, name: &Name) {
        self.of_service_object(key);
        let Some(entry) = self.cluster.service_entries.get(name) else { return };
        for endpoint in &entry.endpoints {
            self.add(self.cluster.inline_endpoint_key(name, &endpoint.workload.written));
        }
    }

    fn of_workload_entry(&mut self, name: &Name) {
        self.add_status(Kind::WorkloadEntry, name);
        self.add(self.cluster.workload_entry_key(name));
    }

    fn of_gateway_class(&mut self, class: &Name) {
        self.add_status(Kind::GatewayClass, class);
        let wanted = |gateway: &Gateway| gateway.spec.gateway_class_name == class.name.as_ref();
        for (name, _) in self.cluster.gateways.iter().filter(|(_, gateway)| wanted(gateway)) {
            self.of_gateway(name);
        }
        self.add_policies_for_class(class);
        self.add_statuses_of_own_kinds();
    }

    fn of_gateway(&mut self, gateway: &Name) {
        let cluster = self.cluster;
        self.add_status(Kind::Gateway, gateway);
        self.add(cluster.waypoint_key(gateway));
        // Those that ask for a waypoint themselves may ask in a circle that this one closes.
        for (name, other) in cluster.gateways.iter() {
            if asked_by(&name.namespace, &other.facts).is_some() {
                self.add_status(Kind::Gateway, name);
            }
        }
        self.add_policies_for(gateway);
        self.add_statuses_of_own_kinds();
        for (at, route) in cluster.routes() {
            let mut parents = route.spec.parent_refs.iter().flatten();
            // A waypoint named as a parent is refused; what else it names does not matter.
            if parents.any(|parent| parent.name == gateway.name.as_ref()) {
                self.add_status(route.kind, at);
            }
        }
        let asks =
            |name: &Name, facts| cluster.waypoint_asked_for(&name.namespace, facts).as_ref() == Some(gateway);
        let as_service = |name: &Name, facts| {
            asks(name, facts) || cluster.canary_asked_for(&name.namespace, facts).as_ref() == Some(gateway)
        };
        for (name, _) in cluster.services.iter().filter(|(name, it)| as_service(name, &it.facts)) {
            self.add_service(&cluster.hostname(name));
        }
        for (name, entry) in cluster.service_entries.iter() {
            if as_service(name, &entry.facts) {
                entry.hosts.iter().for_each(|host| self.add_service(host));
            }
            for endpoint in entry.endpoints.iter().filter(|it| asks(name, &it.workload.facts)) {
                self.add(cluster.inline_endpoint_key(name, &endpoint.workload.written));
            }
        }
        for (name, _) in cluster.workload_entries.iter().filter(|(name, it)| asks(name, &it.facts)) {
            self.of_workload_entry(name);
        }
        for (name, pod) in cluster.pods.iter() {
            if asks(name, &pod.facts) || pod.gateway(name).as_ref() == Some(gateway) {
                self.add(cluster.workload_key(name));
            }
        }
    }

    /// A Gateway whose readiness this object decides about; once ready it stays so, and then only
    /// its status changes.
    fn of_readiness(&mut self, key: &ObjectKey) {
        let Some(name) = self.cluster.gateway_behind(key) else { return };
        match self.cluster.gateways.get(&name) {
            Some(gateway) if gateway.was_ready => self.add_status(Kind::Gateway, &name),
            Some(_) => self.of_gateway(&name),
            None => {}
        }
    }

    fn of_route(&mut self, kind: Kind, name: &Name) {
        self.add_status(kind, name);
        self.add_statuses_of_own_kinds();
        let Some(route) = self.cluster.find_route(kind, name) else { return };
        for parent in route.spec.parent_refs.iter().flatten().filter_map(|it| parent_service(name, it)) {
            for hostname in self.cluster.hostnames_of(&parent) {
                self.add_routing(&hostname);
            }
        }
    }

    fn of_virtual_service(&mut self, name: &Name) {
        self.add_status(Kind::VirtualService, name);
        self.add_statuses_of_own_kinds();
        let cluster = self.cluster;
        let own = cluster.virtual_services.get(name);
        let objects = own.into_iter().chain(cluster.delegators(name).map(|(_, it)| it));
        for hostname in objects.flat_map(|it| &it.hosts).flat_map(|host| host.hostnames(cluster)) {
            self.add_routing(&hostname);
        }
        for (at, _) in cluster.delegators(name) {
            self.add_status(Kind::VirtualService, at);
        }
        for delegate in own.into_iter().flat_map(|it| it.delegates(name)) {
            self.add_status(Kind::VirtualService, &delegate);
        }
    }

    fn of_destination_rule(&mut self, name: &Name) {
        self.add_status(Kind::DestinationRule, name);
        let Some(rule) = self.cluster.destination_rules.get(name) else { return };
        for hostname in rule.host.hostnames(self.cluster) {
            for object in self.cluster.objects_of_hostname(&hostname) {
                self.add(config_key(&object.namespace, &hostname));
                self.add_endpoints(&object);
            }
            self.add_routes_to(&hostname);
            self.add_destination_rules(&hostname);
        }
    }

    /// Modes are inherited, so everything below is concerned.
    fn of_peer_authentication(&mut self, name: &Name) {
        self.add_status(Kind::PeerAuthentication, name);
        let root = &self.cluster.settings.root_namespace;
        let concerned =
            |namespace| name.namespace == *root || namespace == name.namespace || namespace == *root;
        for key in peer_authentication_keys(self.cluster).filter(|key| concerned(key.namespace.clone())) {
            self.add(ResourceKey::Policy(key));
        }
        self.add_workloads_under(&name.namespace, |_| true);
    }

    /// The workloads a policy of this namespace can be about: its own, or all in the root namespace.
    fn add_workloads_under(&mut self, namespace: &str, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        let cluster = self.cluster;
        if namespace != cluster.settings.root_namespace.as_ref() {
            return self.add_workloads(namespace, wanted);
        }
        let pods = cluster.pods.iter().map(|(name, _)| &name.namespace);
        let entries = cluster.workload_entries.iter().map(|(name, _)| &name.namespace);
        let inline = cluster.service_entries.iter().map(|(name, _)| &name.namespace);
        for namespace in pods.chain(entries).chain(inline).collect::<BTreeSet<_>>() {
            self.add_workloads(namespace, &wanted);
        }
    }

    fn add_workloads(&mut self, namespace: &str, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        let cluster = self.cluster;
        self.add_selected(namespace, &wanted);
        for (name, entry) in cluster.service_entries.in_namespace(namespace) {
            for endpoint in entry.endpoints.iter().filter(|it| wanted(&it.workload.facts.labels)) {
                self.add(cluster.inline_endpoint_key(name, &endpoint.workload.written));
            }
        }
    }

    /// The workloads that a selector of a service can find.
    fn add_selected(&mut self, namespace: &str, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        let cluster = self.cluster;
        let pods = cluster.pods.in_namespace(namespace);
        for (name, _) in pods.filter(|(_, pod)| wanted(&pod.facts.labels)) {
            self.add(cluster.workload_key(name));
        }
        let entries = cluster.workload_entries.in_namespace(namespace);
        for (name, _) in entries.filter(|(_, entry)| wanted(&entry.facts.labels)) {
            self.of_workload_entry(name);
        }
    }
}
