//! Workloads outside Kubernetes: WorkloadEntries, and the endpoints that ServiceEntries list, which are written
//! the same way (api.md §3.5).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::{Locality, PortMap};

use super::service::{ServicePort, TargetPort};
use super::table::{Facts, Kept};
use crate::objects::{self, WorkloadEntrySpec};

/// What is used of such a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkloadEntry {
    /// With the labels of its spec beneath those of its metadata.
    pub(crate) facts: Facts,
    /// Where it is, as written.
    pub(crate) written: Arc<str>,
    /// By the names of ports.
    ports: BTreeMap<String, u16>,
    /// Empty: the cluster's.
    pub(crate) network: Arc<str>,
    pub(crate) locality: Locality,
    pub(crate) capacity: u32,
    pub(crate) service_account: Arc<str>,
}

/// Where a workload is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Address {
    Ip(IpAddr),
    /// Resolved by the proxy that needs it.
    Name(Arc<str>),
    /// Nowhere a proxy could connect to, and why.
    Unusable(&'static str),
}

impl From<objects::WorkloadEntry> for WorkloadEntry {
    fn from(object: objects::WorkloadEntry) -> Self {
        let Kept { mut facts, spec } = Kept::new(&object.metadata, object.spec);
        for (name, value) in &spec.labels {
            facts.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        WorkloadEntry { facts, ..WorkloadEntry::from(spec) }
    }
}

/// An endpoint that a ServiceEntry lists.
impl From<WorkloadEntrySpec> for WorkloadEntry {
    fn from(spec: WorkloadEntrySpec) -> Self {
        let mut parts = spec.locality.splitn(3, '/').map(Arc::from);
        let mut part = || parts.next().unwrap_or_else(|| Arc::from(""));
        WorkloadEntry {
            facts: Facts { labels: spec.labels, ..Facts::default() },
            written: spec.address.into(),
            ports: spec.ports.into_iter().map(|(name, port)| (name, port.0)).collect(),
            network: spec.network.into(),
            locality: Locality { region: part(), zone: part(), subzone: part() },
            // Unset is 1 (api.md §3.5); 0 takes nothing.
            capacity: spec.weight.unwrap_or(1),
            service_account: match spec.service_account.as_str() {
                // What the wire has where there is none.
                "" => "default".into(),
                account => account.into(),
            },
        }
    }
}

impl WorkloadEntry {
    /// A host that is its own endpoint.
    pub(super) fn of_host(host: &str) -> Self {
        WorkloadEntry::from(WorkloadEntrySpec { address: host.to_owned(), ..WorkloadEntrySpec::default() })
    }

    pub(crate) fn address(&self) -> Address {
        match (self.written.as_ref(), self.written.parse()) {
            ("", _) => Address::Unusable(
                "is needed: endpoints behind the gateway of another network are not supported by this release",
            ),
            (text, _) if text.starts_with("unix://") => {
                Address::Unusable("is a socket of Unix, which no proxy of an ambient mesh can reach")
            }
            (_, Ok(ip)) => Address::Ip(ip),
            (_, Err(_)) => Address::Name(self.written.clone()),
        }
    }

    /// Its ports for those of a Service, which names target ports; those it does not have are left out (LB-03).
    pub(crate) fn ports_for_service(&self, ports: &[ServicePort]) -> PortMap {
        let resolve = |target: &TargetPort| match target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(wanted) => self.ports.get(wanted).copied(),
        };
        ports.iter().filter_map(|port| Some((port.number, resolve(&port.target)?))).collect()
    }

    /// Its ports for those of a ServiceEntry, which have their names in common.
    pub(crate) fn ports_for_service_entry(&self, ports: &[ServicePort]) -> PortMap {
        let own = |port: &ServicePort| self.ports.get(port.name.as_deref()?).copied();
        let target = |port: &ServicePort| own(port).or(port.target.number());
        ports.iter().filter_map(|port| Some((port.number, target(port)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(spec: serde_json::Value) -> WorkloadEntry {
        serde_json::from_value::<WorkloadEntrySpec>(spec).unwrap().into()
    }

    #[test]
    fn eg_02_an_address_is_an_ip_or_a_name() {
        let address = |text: &str| entry(json!({ "address": text, "network": "n" })).address();
        assert_eq!(address("10.0.0.1"), Address::Ip("10.0.0.1".parse().unwrap()));
        assert_eq!(address("2001:db8::1"), Address::Ip("2001:db8::1".parse().unwrap()));
        assert_eq!(address("db.example.com"), Address::Name("db.example.com".into()));
        assert!(matches!(address("unix:///run/db.sock"), Address::Unusable(_)));
        assert!(matches!(address(""), Address::Unusable(_)));
    }

    #[test]
    fn eg_01_an_endpoint_has_ports_of_its_own() {
        let port = |number, target, name: &str| ServicePort {
            number,
            target,
            name: Some(name.to_owned()),
            app_protocol: None,
        };
        let ports = [
            port(80, TargetPort::Number(8080), "http"),
            port(81, TargetPort::Number(81), "tcp"),
            port(82, TargetPort::Name("web".into()), "named"),
        ];
        let entry = entry(json!({ "address": "10.0.0.1", "ports": { "http": 18080, "other": 1 } }));
        assert_eq!(entry.ports_for_service_entry(&ports), PortMap::from([(80, 18080), (81, 81)]));
        assert_eq!(entry.ports_for_service(&ports), PortMap::from([(80, 8080), (81, 81)]));
    }

    #[test]
    fn a_locality_may_have_fewer_parts() {
        let locality = entry(json!({ "address": "a", "locality": "eu/eu-1" })).locality;
        assert_eq!((&*locality.region, &*locality.zone, &*locality.subzone), ("eu", "eu-1", ""));
    }
}
