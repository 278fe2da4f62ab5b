//! Services of the mesh: Services of Kubernetes, and the hosts of ServiceEntries. Which object decides about a host
//! name in a namespace, and which one about a host name elsewhere (api.md §5.4).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::NamespacedHostname;

use super::attachment::Attachment;
use super::service::{Service, ServicePort};
use super::service_entry::{ServiceEntry, is_wildcard};
use super::table::{Facts, Name};
use super::{AddressSource, Cluster};
use crate::objects::{EntryVisibility, Kind, ObjectKey};

/// One host name in one namespace, and the object that decides about it.
#[derive(Clone, Debug)]
pub(crate) struct MeshService<'a> {
    pub(crate) key: NamespacedHostname,
    pub(crate) object: ServiceObject<'a>,
}

/// An object that stands for services of the mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServiceObject<'a> {
    Service(&'a Name, &'a Service),
    Entry(&'a Name, &'a ServiceEntry),
}

impl<'a> ServiceObject<'a> {
    pub(crate) fn name(self) -> &'a Name {
        match self {
            ServiceObject::Service(name, _) | ServiceObject::Entry(name, _) => name,
        }
    }

    pub(crate) fn key(self) -> ObjectKey {
        let kind = match self {
            ServiceObject::Service(..) => Kind::Service,
            ServiceObject::Entry(..) => Kind::ServiceEntry,
        };
        self.name().key(kind)
    }

    pub(crate) fn facts(self) -> &'a Facts {
        match self {
            ServiceObject::Service(_, service) => &service.facts,
            ServiceObject::Entry(_, entry) => &entry.facts,
        }
    }

    pub(crate) fn ports(self) -> &'a [ServicePort] {
        match self {
            ServiceObject::Service(_, service) => &service.ports,
            ServiceObject::Entry(_, entry) => &entry.ports,
        }
    }

    pub(crate) fn has_port(self, number: u16) -> bool {
        self.ports().iter().any(|port| port.number == number)
    }
}

impl Cluster {
    /// The object of that name, if it stands for services of the mesh.
    pub(crate) fn find_service_object(&self, key: &ObjectKey) -> Option<ServiceObject<'_>> {
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        match key.kind {
            Kind::Service => {
                let (name, service) = self.services.get_entry(&name)?;
                (!service.external_name).then_some(ServiceObject::Service(name, service))
            }
            Kind::ServiceEntry => {
                let (name, entry) = self.service_entries.get_entry(&name)?;
                Some(ServiceObject::Entry(name, entry))
            }
            _ => None,
        }
    }

    /// The Service of Kubernetes with that host name.
    fn kubernetes_service(&self, hostname: &str) -> Option<ServiceObject<'_>> {
        self.find_service_object(&self.service_of_host(hostname)?.key(Kind::Service))
    }

    /// The ServiceEntries with that host that somebody can see, oldest first.
    fn entries_of_host(&self, hostname: &str) -> Vec<ServiceObject<'_>> {
        let names = self.entries_by_host.get(hostname);
        let entries = names.into_iter().flatten().filter_map(|name| self.service_entries.get_entry(name));
        let is_seen =
            |(name, _): &(&Name, _)| self.entry_visibility(&name.namespace) != EntryVisibility::None;
        let mut entries: Vec<_> = entries.filter(is_seen).collect();
        entries.sort_by_key(|(name, entry)| (entry.facts.created, *name));
        entries.into_iter().map(|(name, entry)| ServiceObject::Entry(name, entry)).collect()
    }

    /// Who decides about a host in a namespace: the Service of Kubernetes, or else the oldest ServiceEntry.
    pub(crate) fn find_service(&self, key: &NamespacedHostname) -> Option<MeshService<'_>> {
        let is_here = |it: &ServiceObject<'_>| it.name().namespace == key.namespace;
        let kubernetes = self.kubernetes_service(&key.hostname).filter(is_here);
        let object = kubernetes.or_else(|| self.entries_of_host(&key.hostname).into_iter().find(is_here))?;
        Some(MeshService { key: key.clone(), object })
    }

    /// The services with that host name, of every namespace: the one for namespaces without their own first.
    pub(crate) fn services_of_hostname(&self, hostname: &str) -> Vec<MeshService<'_>> {
        let mut namespaces = BTreeSet::new();
        let objects = self.kubernetes_service(hostname).into_iter().chain(self.entries_of_host(hostname));
        let winners = objects.filter(|it| namespaces.insert(it.name().namespace.clone()));
        let mut winners: Vec<_> = winners.collect();
        // EG-06: what other namespaces cannot see, they cannot mean.
        winners.sort_by_key(|it| self.visibility_of(*it) != EntryVisibility::Public);
        let named = winners.into_iter().map(|object| {
            let namespace = object.name().namespace.clone();
            MeshService { key: NamespacedHostname::new(namespace, hostname), object }
        });
        named.collect()
    }

    /// Whether it is what namespaces without a service of its name mean by that.
    pub(crate) fn is_canonical(&self, service: &MeshService<'_>) -> bool {
        let services = self.services_of_hostname(&service.key.hostname);
        let is_first = services.first().is_some_and(|it| it.key == service.key);
        is_first && self.visibility_of(service.object) == EntryVisibility::Public
    }

    /// What a host name means to objects of a namespace.
    pub(crate) fn resolve_hostname(&self, namespace: &str, hostname: &str) -> Option<MeshService<'_>> {
        let mut services = self.services_of_hostname(hostname);
        let own = services.iter().position(|it| it.key.namespace.as_ref() == namespace);
        let is_public = |it: &MeshService<'_>| self.visibility_of(it.object) == EntryVisibility::Public;
        let common = || services.first().filter(|it| is_public(it)).map(|_| 0);
        let meant = own.or_else(common)?;
        Some(services.swap_remove(meant))
    }

    /// The host names an object stands for, whether it exists or not.
    pub(crate) fn hostnames_of(&self, key: &ObjectKey) -> Vec<Arc<str>> {
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        match key.kind {
            Kind::Service => vec![self.hostname(&name)],
            Kind::ServiceEntry => {
                self.service_entries.get(&name).map(|it| it.hosts.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// The objects that may decide about a host name; the Service whether it exists or not.
    pub(crate) fn objects_of_hostname(&self, hostname: &str) -> Vec<ObjectKey> {
        let service = self.service_of_host(hostname).map(|name| name.key(Kind::Service));
        let entries = self.entries_by_host.get(hostname).into_iter().flatten();
        service.into_iter().chain(entries.map(|name| name.key(Kind::ServiceEntry))).collect()
    }

    /// EG-21: what a wildcard stands for is told by requests, which only a waypoint sees.
    pub(crate) fn takes_effect(&self, hostname: &str, object: ServiceObject<'_>) -> bool {
        !is_wildcard(hostname) || matches!(self.attachment_of_service(object), Attachment::Bound(_))
    }

    /// The services that an object decides about and that proxies are told of.
    pub(crate) fn services_of(&self, object: ServiceObject<'_>) -> Vec<NamespacedHostname> {
        let hostnames = self.hostnames_of(&object.key()).into_iter();
        let keys =
            hostnames.map(|hostname| NamespacedHostname::new(object.name().namespace.clone(), hostname));
        let decides = |key: &NamespacedHostname| {
            self.takes_effect(&key.hostname, object)
                && self.find_service(key).is_some_and(|it| it.object.key() == object.key())
        };
        keys.filter(decides).collect()
    }

    /// Addresses that nobody wrote: those a host should have.
    pub(crate) fn auto_addresses(&self, name: &Name, entry: &ServiceEntry, host: &Arc<str>) -> Vec<IpAddr> {
        let bids = entry.bids_for(name, host);
        bids.iter().filter_map(|bid| self.auto_addresses.find(bid)).collect()
    }

    /// Those it has. Where statuses are written, an address counts once it is in the status, so that every
    /// replica tells of the same one.
    pub(crate) fn auto_addresses_in_use(
        &self,
        name: &Name,
        entry: &ServiceEntry,
        host: &Arc<str>,
    ) -> Vec<IpAddr> {
        let mut addresses = self.auto_addresses(name, entry, host);
        if self.settings.auto_addresses == AddressSource::Status {
            addresses.retain(|address| entry.has_noted(host, *address));
        }
        addresses
    }

    /// Returns whether anything changed.
    pub(super) fn put_service_entry(&mut self, name: Name, entry: ServiceEntry) -> bool {
        if self.service_entries.get(&name) == Some(&entry) {
            return false;
        }
        self.remove_service_entry(&name);
        for host in &entry.hosts {
            self.entries_by_host.entry(host.clone()).or_default().insert(name.clone());
        }
        self.auto_addresses.place(entry.bids(&name));
        self.service_entries.put(name, entry)
    }

    /// Returns whether it was there.
    pub(super) fn remove_service_entry(&mut self, name: &Name) -> bool {
        let Some(entry) = self.service_entries.get(name) else { return false };
        self.auto_addresses.withdraw(entry.bids(name));
        for host in &entry.hosts {
            if let Some(names) = self.entries_by_host.get_mut(host) {
                names.remove(name);
                if names.is_empty() {
                    self.entries_by_host.remove(host);
                }
            }
        }
        self.service_entries.remove(name)
    }
}
