//! Services by name, by virtual address, by host name and by block of addresses;
//! and which one is meant when several answer (wire.md §5.6).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use mesh_model::{NamespacedHostname, NetworkAddress, Service, Visibility};

use crate::multimap::{Map, MultiMap, put, take, values};

/// The index.
#[derive(Clone, Default)]
pub(crate) struct Services {
    by_key: Map<NamespacedHostname, Arc<Service>>,
    by_vip: MultiMap<NetworkAddress, Service>,
    by_hostname: MultiMap<Arc<str>, Service>,
    /// By network. Blocks are few, and which one is meant takes a look at all that match.
    blocks: Map<Arc<str>, Vec<(IpNet, Arc<Service>)>>,
    /// Breaks ties that nothing else does.
    preferred_namespace: Option<Arc<str>>,
}

impl Services {
    pub(crate) fn preferring(namespace: Arc<str>) -> Self {
        Services { preferred_namespace: Some(namespace), ..Services::default() }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_key.values()
    }

    pub(crate) fn find(&self, key: &NamespacedHostname) -> Option<&Arc<Service>> {
        self.by_key.get(key)
    }

    /// The service a client means by an address: an exact address beats a block (LB-16, LB-17).
    pub(crate) fn at(&self, address: &NetworkAddress, client: Option<&str>) -> Option<&Arc<Service>> {
        let exact = values(&self.by_vip, address).iter().filter(|service| visible(service, client));
        self.preferred(exact, client).or_else(|| {
            self.blocks_around(address)
                .filter(|(_, service)| visible(service, client))
                .min_by_key(|(block, service)| {
                    let own = client == Some(&*service.key.namespace);
                    (!own, u8::MAX - block.prefix_len(), !service.canonical)
                })
                .map(|(_, service)| service)
        })
    }

    /// The service a client means by a host name.
    pub(crate) fn called(&self, hostname: &str, client: Option<&str>) -> Option<&Arc<Service>> {
        let named = values(&self.by_hostname, hostname).iter().filter(|service| visible(service, client));
        self.preferred(named, client)
    }

    /// Every service that has an address, whoever asks.
    pub(crate) fn all_at(&self, address: &NetworkAddress) -> impl Iterator<Item = &Arc<Service>> {
        let exact = values(&self.by_vip, address).iter();
        exact.chain(self.blocks_around(address).map(|(_, service)| service))
    }

    /// Replaces what is known under a name; returns what was.
    pub(crate) fn update(
        &mut self,
        key: &NamespacedHostname,
        new: Option<&Arc<Service>>,
    ) -> Option<Arc<Service>> {
        let old = self.by_key.get(key).cloned();
        if let Some(old) = &old {
            for address in &old.addresses {
                if !new.is_some_and(|new| new.addresses.contains(address)) {
                    take(&mut self.by_vip, address, |known| known.key == *key);
                }
            }
            for network in old.cidrs.iter().map(|block| &block.network) {
                self.remove_blocks(network, key);
            }
        }
        let Some(new) = new else {
            take(&mut self.by_hostname, &key.hostname, |known| known.key == *key);
            self.by_key.remove_mut(key);
            return old;
        };
        for address in &new.addresses {
            put(&mut self.by_vip, address.clone(), new, |known| known.key == *key);
        }
        for block in &new.cidrs {
            let entry = (block.cidr, new.clone());
            match self.blocks.get_mut(&block.network) {
                Some(blocks) => blocks.push(entry),
                None => self.blocks.insert_mut(block.network.clone(), vec![entry]),
            }
        }
        put(&mut self.by_hostname, key.hostname.clone(), new, |known| known.key == *key);
        self.by_key.insert_mut(key.clone(), new.clone());
        old
    }

    fn remove_blocks(&mut self, network: &Arc<str>, key: &NamespacedHostname) {
        if let Some(blocks) = self.blocks.get_mut(network) {
            blocks.retain(|(_, service)| service.key != *key);
            if blocks.is_empty() {
                self.blocks.remove_mut(network);
            }
        }
    }

    fn blocks_around(&self, address: &NetworkAddress) -> impl Iterator<Item = &(IpNet, Arc<Service>)> {
        let ip: IpAddr = address.ip;
        let blocks = self.blocks.get(&address.network).map_or(&[][..], Vec::as_slice);
        blocks.iter().filter(move |(block, _)| block.contains(&ip))
    }

    /// The client's namespace, then canonical, then the preferred namespace, then the first.
    fn preferred<'s>(
        &self,
        services: impl Iterator<Item = &'s Arc<Service>>,
        client: Option<&str>,
    ) -> Option<&'s Arc<Service>> {
        let preferred = self.preferred_namespace.as_deref();
        services.min_by_key(|service| {
            let namespace = Some(&*service.key.namespace);
            (namespace != client, !service.canonical, namespace != preferred)
        })
    }
}

/// Not enforced when nobody in particular asks (LB-18).
fn visible(service: &Service, client: Option<&str>) -> bool {
    service.visibility == Visibility::Public || client.is_none_or(|client| client == &*service.key.namespace)
}

#[cfg(test)]
impl Services {
    /// How many entries each part of the index has.
    pub(crate) fn sizes(&self) -> [usize; 4] {
        [self.by_key.size(), self.by_vip.size(), self.by_hostname.size(), self.blocks.size()]
    }
}

#[cfg(test)]
mod tests;
