//! What depends on a service of the mesh, by its host name: of objects that have the same one, one decides.

use std::sync::Arc;

use mesh_model::NamespacedHostname;

use super::Dependents;
use crate::cluster::affected::ResourceKey;
use crate::cluster::{Name, is_wildcard};
use crate::objects::{Kind, ObjectKey};
use crate::resources::{http_route_leads_to, http_route_leads_to_host, parent_service};

impl Dependents<'_> {
    /// The services with a host name and everything that is told about their waypoints.
    pub(super) fn add_service(&mut self, hostname: &Arc<str>) {
        for object in self.cluster.objects_of_hostname(hostname) {
            let key = NamespacedHostname::new(object.namespace.clone(), hostname.clone());
            self.add(ResourceKey::Service(key));
            self.add_object(&object);
            if is_wildcard(hostname) {
                // Without a waypoint there is no service for them to be endpoints of.
                self.add_endpoints(&object);
            }
        }
        self.add_routing(hostname);
        self.add_routes_to(hostname);
        self.add_destination_rules(hostname);
        self.add_authorizers(hostname);
        self.add_reports_to(hostname);
        self.add_limiters(hostname);
    }

    /// What is told about an object that stands for services, and about what refers to it by its name.
    pub(super) fn add_object(&mut self, object: &ObjectKey) {
        let cluster = self.cluster;
        self.affected.statuses.insert(object.clone());
        self.add_statuses_of_own_kinds();
        self.add_policies_for(&Name { namespace: object.namespace.clone(), name: object.name.clone() });
        for (at, route) in cluster.routes() {
            let mut parents = route.spec.parent_refs.iter().flatten();
            if parents.any(|it| parent_service(at, it).as_ref() == Some(object)) {
                self.add_status(route.kind, at);
            }
            if http_route_leads_to(at, route, object) {
                self.of_route(route.kind, at);
            }
        }
    }

    /// The DestinationRules that name a host; which of them hold depends on all.
    pub(super) fn add_destination_rules(&mut self, hostname: &str) {
        let rules = self.cluster.destination_rules.iter();
        for (rule, _) in rules.filter(|(_, rule)| rule.host.matches(hostname)) {
            self.add_status(Kind::DestinationRule, rule);
        }
    }

    /// The rules for requests to a host, and the objects they are made of.
    pub(super) fn add_routing(&mut self, hostname: &Arc<str>) {
        let cluster = self.cluster;
        let objects = cluster.objects_of_hostname(hostname);
        for object in &objects {
            self.add(config_key(&object.namespace, hostname));
        }
        for (at, route) in cluster.routes() {
            let parents = route.spec.parent_refs.iter().flatten();
            if parents.filter_map(|it| parent_service(at, it)).any(|it| objects.contains(&it)) {
                self.add_status(route.kind, at);
            }
        }
        let virtual_services = cluster.virtual_services.iter();
        for (at, _) in virtual_services.filter(|(_, it)| it.rank(hostname).is_some()) {
            self.add_status(Kind::VirtualService, at);
        }
    }

    /// The endpoints of a Service or a ServiceEntry.
    pub(super) fn add_endpoints(&mut self, object: &ObjectKey) {
        let cluster = self.cluster;
        let name = Name { namespace: object.namespace.clone(), name: object.name.clone() };
        if object.kind == Kind::ServiceEntry {
            let Some(entry) = cluster.service_entries.get(&name) else { return };
            self.add_selected(&name.namespace, |labels| entry.selects(labels));
            for endpoint in &entry.endpoints {
                self.add(cluster.inline_endpoint_key(&name, &endpoint.workload.written));
            }
            return;
        }
        if let Some(service) = cluster.services.get(&name) {
            self.add_selected(&name.namespace, |labels| service.selects(labels));
        }
        for (slice, _) in cluster.slices_of(&name) {
            self.of_endpoint_slice(slice);
        }
    }

    /// What leads to a host by its name: whether it exists, which ports and subsets it has, is told there.
    pub(super) fn add_routes_to(&mut self, hostname: &Arc<str>) {
        let cluster = self.cluster;
        for (at, route) in cluster.routes() {
            if http_route_leads_to_host(route, hostname) {
                self.of_route(route.kind, at);
            }
        }
        for (at, _) in cluster.virtual_services.iter().filter(|(_, it)| it.leads_to.contains(hostname)) {
            self.of_virtual_service(at);
        }
    }
}

pub(super) fn config_key(namespace: &Arc<str>, hostname: &Arc<str>) -> ResourceKey {
    ResourceKey::ServiceConfig(NamespacedHostname::new(namespace.clone(), hostname.clone()))
}
