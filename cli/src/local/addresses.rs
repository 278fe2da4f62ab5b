//! Who gets which address: nodes, pods and services of one mesh. Meshes do not meet, so all use the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use thiserror::Error;

/// Most nodes of one mesh.
pub(super) const MAX_NODES: u8 = 50;
/// The controller's address, on the network between the nodes.
pub(super) const CONTROLLER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// Length of the network between the nodes.
pub(super) const FABRIC_LENGTH: u8 = 24;
const SERVICES: [u8; 2] = [10, 96];
/// The first address of a service; those below are left to whoever asks for one by number.
const FIRST_SERVICE: u16 = 256;
const FIRST_POD: u8 = 2;
const LAST_POD: u8 = 254;

/// A node's address on the network between the nodes; nodes count from 1.
pub(super) fn node(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, 10 + node)
}

/// The address of a node's bridge: its pods' router.
pub(super) fn bridge(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, 1)
}

/// The network of a node's pods.
pub(super) fn pods(node: u8) -> String {
    format!("10.244.{node}.0/24")
}

/// There is none left.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Exhausted {
    #[error("node-{0} has no address left for another pod: start the mesh with more --nodes")]
    Pods(u8),
    #[error("no address is left for another service")]
    Services,
}

/// What is in use.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pods: BTreeSet<Ipv4Addr>,
    last_pod: BTreeMap<u8, u8>,
    services: BTreeMap<(String, String), Ipv4Addr>,
    last_service: Option<u16>,
}

impl Addresses {
    /// An address for a new pod. One given back is not given out again before all others have been, so
    /// that what still knows the old pod does not reach the new one.
    pub(super) fn take_pod(&mut self, node: u8) -> Result<Ipv4Addr, Exhausted> {
        let last = self.last_pod.get(&node).copied().unwrap_or(LAST_POD);
        let candidates = (last.saturating_add(1)..=LAST_POD).chain(FIRST_POD..=last.min(LAST_POD));
        for host in candidates {
            let address = Ipv4Addr::new(10, 244, node, host);
            if self.pods.insert(address) {
                self.last_pod.insert(node, host);
                return Ok(address);
            }
        }
        Err(Exhausted::Pods(node))
    }

    /// The pod is gone.
    pub(super) fn give_back_pod(&mut self, address: Ipv4Addr) {
        self.pods.remove(&address);
    }

    /// A service's address: the one it had, the one it asks for if that is free, else a new one.
    pub(super) fn service(
        &mut self,
        namespace: &str,
        name: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr, Exhausted> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(address) = self.services.get(&key)
            && wanted.is_none_or(|wanted| wanted == *address)
        {
            return Ok(*address);
        }
        let used: BTreeSet<Ipv4Addr> = self.services.values().copied().collect();
        let wanted = wanted.filter(|it| it.octets()[..2] == SERVICES && !used.contains(it));
        let address = match wanted {
            Some(address) => address,
            None => self.next_service(&used)?,
        };
        self.services.insert(key, address);
        Ok(address)
    }

    fn next_service(&mut self, used: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr, Exhausted> {
        let start = self.last_service.map_or(FIRST_SERVICE, |last| last.wrapping_add(1).max(FIRST_SERVICE));
        for number in (start..u16::MAX).chain(FIRST_SERVICE..start) {
            let [high, low] = number.to_be_bytes();
            let address = Ipv4Addr::new(SERVICES[0], SERVICES[1], high, low);
            if !used.contains(&address) {
                self.last_service = Some(number);
                return Ok(address);
            }
        }
        Err(Exhausted::Services)
    }

    /// Takes back the addresses of services that are gone.
    pub(super) fn keep_services(&mut self, is_there: impl Fn(&(String, String)) -> bool) {
        self.services.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_address_is_reused_last() {
        let mut addresses = Addresses::default();
        let first = addresses.take_pod(1).unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 244, 1, 2));
        addresses.give_back_pod(first);
        let mut seen = BTreeSet::new();
        for _ in 0..252 {
            seen.insert(addresses.take_pod(1).unwrap());
        }
        assert_eq!(seen.len(), 252);
        assert!(!seen.contains(&first));
        assert_eq!(addresses.take_pod(1), Ok(first));
        assert_eq!(addresses.take_pod(1), Err(Exhausted::Pods(1)));
        assert_eq!(addresses.take_pod(2), Ok(Ipv4Addr::new(10, 244, 2, 2)));
        addresses.give_back_pod(Ipv4Addr::new(10, 244, 1, 9));
        assert_eq!(addresses.take_pod(1), Ok(Ipv4Addr::new(10, 244, 1, 9)));
    }

    #[test]
    fn a_service_keeps_its_address_and_may_ask_for_one() {
        let mut addresses = Addresses::default();
        let one = addresses.service("prod", "a", None).unwrap();
        assert_eq!(one, Ipv4Addr::new(10, 96, 1, 0));
        assert_eq!(addresses.service("prod", "a", None), Ok(one));
        let wanted = Ipv4Addr::new(10, 96, 0, 10);
        assert_eq!(addresses.service("prod", "dns", Some(wanted)), Ok(wanted));
        let other = addresses.service("prod", "late", Some(wanted)).unwrap();
        assert_ne!(other, wanted, "taken");
        let foreign = addresses.service("prod", "foreign", Some(Ipv4Addr::new(1, 2, 3, 4))).unwrap();
        assert_eq!(foreign.octets()[..2], SERVICES, "out of range");
        addresses.keep_services(|(_, name)| name != "dns");
        assert_eq!(addresses.service("prod", "late", Some(wanted)), Ok(wanted));
    }
}
