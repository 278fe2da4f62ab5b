//! VirtualServices and DestinationRules, with their hosts understood.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::host::HostPattern;
use super::table::{Facts, Kept, Name};
use super::{Cluster, MeshService, Settings};
use crate::objects::{self, DestinationRuleSpec, VirtualServiceSpec};
use crate::resources::{Layer, delegate_name};

/// What is used of a VirtualService.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VirtualService {
    pub(crate) facts: Facts,
    pub(crate) hosts: Vec<HostPattern>,
    /// The hosts its routes lead to, whether anything has these names or not.
    pub(crate) leads_to: BTreeSet<Arc<str>>,
    pub(crate) spec: VirtualServiceSpec,
}

/// What is used of a DestinationRule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DestinationRule {
    pub(crate) facts: Facts,
    pub(crate) host: HostPattern,
    pub(crate) spec: DestinationRuleSpec,
}

impl VirtualService {
    pub(super) fn new(settings: &Settings, name: &Name, object: objects::VirtualService) -> Self {
        let Kept { facts, spec } = Kept::new(&object.metadata, object.spec);
        let hosts = spec.hosts.iter().map(|host| HostPattern::new(settings, &name.namespace, host));
        let hosts = hosts.collect();
        let mut object = VirtualService { facts, hosts, leads_to: BTreeSet::new(), spec };
        let named = object.destinations().map(|(_, it)| settings.hostname_meant(&name.namespace, &it.host));
        object.leads_to = named.collect();
        object
    }

    /// How closely it names a host; `None` if not at all.
    pub(crate) fn rank(&self, host: &str) -> Option<usize> {
        self.hosts.iter().filter(|it| it.matches(host)).map(HostPattern::rank).max()
    }

    /// It is about traffic inside the mesh.
    pub(crate) fn is_for_mesh(&self) -> bool {
        self.spec.gateways.is_empty() || self.spec.gateways.iter().any(|it| it == "mesh")
    }

    /// The VirtualServices that continue some of its routes.
    pub(crate) fn delegates<'a>(&'a self, own: &'a Name) -> impl Iterator<Item = Name> + 'a {
        self.spec.http.iter().filter_map(|entry| Some(delegate_name(entry.delegate.as_ref()?, own)))
    }

    /// It has routes for requests, or for connections.
    pub(crate) fn has_routes_for(&self, layer: Layer) -> bool {
        match layer {
            Layer::Requests => !self.spec.http.is_empty(),
            Layer::Streams => !self.spec.tls.is_empty() || !self.spec.tcp.is_empty(),
        }
    }

    /// The hosts its routes lead to, each with the field that names it.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (String, &objects::Destination)> {
        self.request_destinations().chain(self.stream_destinations())
    }

    fn stream_destinations(&self) -> impl Iterator<Item = (String, &objects::Destination)> {
        let tls = self.spec.tls.iter().enumerate().map(|(at, it)| (format!("spec.tls[{at}]"), &it.route));
        let tcp = self.spec.tcp.iter().enumerate().map(|(at, it)| (format!("spec.tcp[{at}]"), &it.route));
        tls.chain(tcp).flat_map(|(path, route)| {
            let routes = route.iter().enumerate();
            routes.map(move |(at, it)| (format!("{path}.route[{at}].destination"), &it.destination))
        })
    }

    fn request_destinations(&self) -> impl Iterator<Item = (String, &objects::Destination)> {
        let entries = self.spec.http.iter().enumerate();
        entries.flat_map(|(at, entry)| {
            let path = format!("spec.http[{at}]");
            let routes = entry.route.iter().enumerate();
            let routes = {
                let path = path.clone();
                routes.map(move |(at, it)| (format!("{path}.route[{at}].destination"), &it.destination))
            };
            let mirrors = entry.mirrors.iter().enumerate();
            let mirrors = {
                let path = path.clone();
                mirrors.map(move |(at, it)| (format!("{path}.mirrors[{at}].destination"), &it.destination))
            };
            let mirror = entry.mirror.iter().map(move |it| (format!("{path}.mirror"), it));
            routes.chain(mirror).chain(mirrors)
        })
    }
}

impl DestinationRule {
    pub(super) fn new(settings: &Settings, name: &Name, object: objects::DestinationRule) -> Self {
        let Kept { facts, spec } = Kept::new(&object.metadata, object.spec);
        DestinationRule { facts, host: HostPattern::new(settings, &name.namespace, &spec.host), spec }
    }
}

impl Cluster {
    /// The VirtualServices of which that one continues a route.
    pub(crate) fn delegators(&self, name: &Name) -> impl Iterator<Item = (&Name, &VirtualService)> {
        self.virtual_services.iter().filter(move |(at, it)| it.delegates(at).any(|it| it == *name))
    }

    /// The DestinationRules that hold for a service: those of the first namespace that has any, of
    /// the waypoint's, its own and the root namespace; there the ones that name it most closely,
    /// oldest first.
    pub(crate) fn destination_rules_of(&self, service: &MeshService<'_>) -> Vec<(&Name, &DestinationRule)> {
        let host = &service.key.hostname;
        let waypoint = self.attachment_of_service(service.object).waypoint().map(|it| it.gateway.namespace);
        let own = [service.key.namespace.clone(), self.settings.root_namespace.clone()];
        for namespace in waypoint.into_iter().chain(own) {
            let all = self.destination_rules.in_namespace(&namespace);
            let mut matching: Vec<_> = all.filter(|(_, rule)| rule.host.matches(host)).collect();
            let Some(best) = matching.iter().map(|(_, rule)| rule.host.rank()).max() else { continue };
            matching.retain(|(_, rule)| rule.host.rank() == best);
            matching.sort_by_key(|(name, rule)| (rule.facts.created, *name));
            return matching;
        }
        Vec::new()
    }
}
