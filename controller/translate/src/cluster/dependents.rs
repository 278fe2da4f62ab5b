//! What depends on an object. Asked before and after a change, the answers together are what the change
//! affects: never too little, and sometimes more, which costs only a derivation with an equal result.

use std::collections::BTreeMap;

use super::affected::{Affected, ResourceKey};
use super::gateway::Gateway;
use super::table::Name;
use super::{Cluster, includes};
use crate::objects::{Kind, ObjectKey};
use crate::resources::{parent_service, peer_authentication_keys};

impl Cluster {
    pub(super) fn dependents(&self, key: &ObjectKey) -> Affected {
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        let mut dependents = Dependents { cluster: self, affected: Affected::default() };
        match key.kind {
            Kind::Namespace => dependents.of_namespace(&key.name),
            Kind::Node => dependents.of_node(&key.name),
            Kind::Pod => {
                dependents.affected.resources.insert(self.workload_key(&name));
                dependents.of_readiness(key);
            }
            Kind::Service => {
                dependents.of_service(&name);
                dependents.of_readiness(key);
            }
            Kind::GatewayClass => dependents.of_gateway_class(&name),
            Kind::Gateway => dependents.of_gateway(&name),
            Kind::HttpRoute => dependents.of_http_route(&name),
            Kind::VirtualService => dependents.of_virtual_service(&name),
            Kind::DestinationRule => dependents.of_destination_rule(&name),
            Kind::AuthorizationPolicy => dependents.of_authorization_policy(&name),
            Kind::PeerAuthentication => dependents.of_peer_authentication(&name),
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
        self.affected.statuses.insert(ObjectKey::new(kind, name.namespace.clone(), name.name.clone()));
    }

    /// Labels of a namespace decide about waypoints and load balancing in it.
    fn of_namespace(&mut self, namespace: &str) {
        self.add_pods(namespace, |_| true);
        for (name, _) in self.cluster.services.in_namespace(namespace) {
            self.add_service(name);
        }
    }

    fn of_node(&mut self, node: &str) {
        for (name, _) in self.cluster.pods_on_node(node) {
            self.add(self.cluster.workload_key(name));
        }
    }

    fn of_service(&mut self, name: &Name) {
        self.add_service(name);
        self.add_endpoints(name);
    }

    fn of_gateway_class(&mut self, class: &Name) {
        self.add_status(Kind::GatewayClass, class);
        let wanted = |gateway: &Gateway| gateway.spec.gateway_class_name == class.name.as_ref();
        for (name, _) in self.cluster.gateways.iter().filter(|(_, gateway)| wanted(gateway)) {
            self.of_gateway(name);
        }
    }

    fn of_gateway(&mut self, gateway: &Name) {
        let cluster = self.cluster;
        self.add_status(Kind::Gateway, gateway);
        self.add_policies_for(gateway);
        for (at, route) in cluster.http_routes.iter() {
            let mut parents = route.spec.parent_refs.iter().flatten();
            // A waypoint named as a parent is refused; what else it names does not matter.
            if parents.any(|parent| parent.name == gateway.name.as_ref()) {
                self.add_status(Kind::HttpRoute, at);
            }
        }
        for (name, service) in cluster.services.iter() {
            if cluster.waypoint_asked_for(&name.namespace, &service.facts).as_ref() == Some(gateway) {
                self.add_service(name);
            }
        }
        for (name, pod) in cluster.pods.iter() {
            let asked = cluster.waypoint_asked_for(&name.namespace, &pod.facts);
            if asked.as_ref() == Some(gateway) || pod.gateway(name).as_ref() == Some(gateway) {
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

    fn of_http_route(&mut self, name: &Name) {
        self.add_status(Kind::HttpRoute, name);
        let Some(route) = self.cluster.http_routes.get(name) else { return };
        for parent in route.spec.parent_refs.iter().flatten().filter_map(|it| parent_service(name, it)) {
            self.add_routing(&parent);
        }
    }

    fn of_virtual_service(&mut self, name: &Name) {
        self.add_status(Kind::VirtualService, name);
        let Some(object) = self.cluster.virtual_services.get(name) else { return };
        for host in &object.hosts {
            for service in host.services(self.cluster) {
                self.add_routing(&service);
            }
        }
    }

    fn of_destination_rule(&mut self, name: &Name) {
        self.add_status(Kind::DestinationRule, name);
        let Some(object) = self.cluster.destination_rules.get(name) else { return };
        for service in object.host.services(self.cluster) {
            self.add(self.cluster.service_config_key(&service));
            self.add_endpoints(&service);
            self.add_routes_to(&service);
            self.add_destination_rules(&service);
        }
    }

    fn of_authorization_policy(&mut self, name: &Name) {
        self.add_status(Kind::AuthorizationPolicy, name);
        self.add(self.cluster.policy_key(name));
        let Some(object) = self.cluster.authorization_policies.get(name) else { return };
        let Some(selector) = object.spec.selector.clone() else { return };
        self.add_pods_under(&name.namespace, |labels| includes(labels, &selector.match_labels));
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
        self.add_pods_under(&name.namespace, |_| true);
    }

    /// The pods a policy of this namespace can be about: its own, or all in the root namespace.
    fn add_pods_under(&mut self, namespace: &str, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        if namespace != self.cluster.settings.root_namespace.as_ref() {
            return self.add_pods(namespace, wanted);
        }
        for (name, _) in self.cluster.pods.iter().filter(|(_, pod)| wanted(&pod.facts.labels)) {
            self.add(self.cluster.workload_key(name));
        }
    }

    fn add_pods(&mut self, namespace: &str, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        let pods = self.cluster.pods.in_namespace(namespace);
        for (name, _) in pods.filter(|(_, pod)| wanted(&pod.facts.labels)) {
            self.add(self.cluster.workload_key(name));
        }
    }

    /// A service and everything that is told about its waypoint.
    fn add_service(&mut self, name: &Name) {
        self.add(self.cluster.service_key(name));
        self.add_status(Kind::Service, name);
        self.add_routing(name);
        self.add_routes_to(name);
        self.add_policies_for(name);
        self.add_destination_rules(name);
    }

    /// The DestinationRules that name a service; which of them hold depends on all.
    fn add_destination_rules(&mut self, name: &Name) {
        let host = self.cluster.hostname(name);
        let rules = self.cluster.destination_rules.iter();
        for (rule, _) in rules.filter(|(_, rule)| rule.host.matches(&host)) {
            self.add_status(Kind::DestinationRule, rule);
        }
    }

    /// The rules for requests to a service, and the objects they are made of.
    fn add_routing(&mut self, name: &Name) {
        self.add(self.cluster.service_config_key(name));
        let routes = self.cluster.http_routes.iter();
        let is_parent = |at: &Name, it| parent_service(at, it).as_ref() == Some(name);
        for (at, route) in routes {
            if route.spec.parent_refs.iter().flatten().any(|it| is_parent(at, it)) {
                self.add_status(Kind::HttpRoute, at);
            }
        }
        let host = self.cluster.hostname(name);
        let objects = self.cluster.virtual_services.iter();
        for (at, _) in objects.filter(|(_, it)| it.rank(&host).is_some()) {
            self.add_status(Kind::VirtualService, at);
        }
    }

    /// The pods behind a service.
    fn add_endpoints(&mut self, name: &Name) {
        if let Some(service) = self.cluster.services.get(name) {
            self.add_pods(&name.namespace, |labels| service.selects(labels));
        }
    }

    /// The routes that lead to a service: whether it exists, which ports and subsets it has, is told there.
    fn add_routes_to(&mut self, name: &Name) {
        let cluster = self.cluster;
        for (at, route) in cluster.http_routes.iter() {
            if crate::resources::http_route_leads_to(at, route, name) {
                self.of_http_route(at);
            }
        }
        for (at, _) in cluster.virtual_services.iter().filter(|(_, object)| object.leads_to.contains(name)) {
            self.of_virtual_service(at);
        }
    }

    /// The policies attached to a service or Gateway of this name.
    fn add_policies_for(&mut self, name: &Name) {
        for (at, policy) in self.cluster.authorization_policies.in_namespace(&name.namespace) {
            if policy.spec.targets().any(|(_, target)| target.name == name.name.as_ref()) {
                self.add_status(Kind::AuthorizationPolicy, at);
            }
        }
    }
}
