//! ServiceEntries: hosts that are no Services of Kubernetes (api.md §5.4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::auto_address::{Bid, Family};
use super::service::{ServicePort, TargetPort};
use super::table::{Facts, Kept, Name};
use super::workload_entry::WorkloadEntry;
use crate::labels;
use crate::objects::{self, Resolution, ServiceEntryPort};

/// What is used of a ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceEntry {
    pub(crate) facts: Facts,
    /// In lower case.
    pub(crate) hosts: Vec<Arc<str>>,
    /// As written: addresses, and blocks of them.
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) resolution: Resolution,
    /// Those that are listed, or the hosts themselves where names of DNS need no list.
    pub(crate) endpoints: Vec<InlineEndpoint>,
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) subject_alt_names: Vec<String>,
    pub(crate) export_to: Vec<String>,
    /// Addresses for its hosts that its status has.
    pub(crate) noted: Vec<NotedAddress>,
}

/// An endpoint of the hosts of a ServiceEntry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InlineEndpoint {
    pub(crate) workload: WorkloadEntry,
    /// The one host it is of; all of them if none.
    pub(crate) only_host: Option<Arc<str>>,
}

/// An address for a host that a status has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct NotedAddress {
    value: IpAddr,
    host: String,
}

impl From<objects::ServiceEntry> for ServiceEntry {
    fn from(object: objects::ServiceEntry) -> Self {
        let noted = noted(object.status.as_ref());
        let Kept { facts, spec } = Kept::new(&object.metadata, object.spec);
        let hosts: Vec<Arc<str>> = spec.hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect();
        let selector = spec.workload_selector.unwrap_or_default().labels;
        let endpoints = match spec.endpoints.is_empty() {
            true if selector.is_empty() && spec.resolution.is_by_name() => implicit_endpoints(&hosts),
            _ => spec.endpoints.into_iter().map(InlineEndpoint::listed).collect(),
        };
        ServiceEntry {
            facts,
            hosts,
            addresses: spec.addresses.iter().map(|block| block.0).collect(),
            ports: spec.ports.iter().map(port).collect(),
            resolution: spec.resolution,
            endpoints,
            selector,
            subject_alt_names: spec.subject_alt_names,
            export_to: spec.export_to,
            noted,
        }
    }
}

/// A host that DNS knows needs no endpoint but itself; what a wildcard stands for is known with the request only.
fn implicit_endpoints(hosts: &[Arc<str>]) -> Vec<InlineEndpoint> {
    let names = hosts.iter().filter(|host| !is_wildcard(host));
    names
        .map(|host| InlineEndpoint { workload: WorkloadEntry::of_host(host), only_host: Some(host.clone()) })
        .collect()
}

fn port(written: &ServiceEntryPort) -> ServicePort {
    ServicePort {
        number: written.number.0,
        target: TargetPort::Number(written.target_port.unwrap_or(written.number).0),
        name: Some(written.name.clone()),
        app_protocol: Some(written.protocol.clone()),
    }
}

/// Only entries that can be read count; a status is nobody's input.
fn noted(status: Option<&Value>) -> Vec<NotedAddress> {
    let written = status.and_then(|status| status.get("addresses")).and_then(Value::as_array);
    written.into_iter().flatten().filter_map(|it| NotedAddress::deserialize(it).ok()).collect()
}

/// A host that stands for many.
pub(crate) fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

impl InlineEndpoint {
    fn listed(spec: objects::WorkloadEntrySpec) -> Self {
        InlineEndpoint { workload: spec.into(), only_host: None }
    }

    /// It was not written but follows from a host.
    pub(crate) fn is_implicit(&self) -> bool {
        self.only_host.is_some()
    }
}

impl ServiceEntry {
    /// EG-19: of several addresses that a name has, the one counts that takes a connection first.
    pub(crate) fn races(&self) -> bool {
        let strategy = self.facts.annotation(labels::CONNECT_STRATEGY);
        self.resolution.is_by_name() && strategy == Some("RACE_FIRST_TCP_CONNECT")
    }

    /// Whether it picks its endpoints by labels, and this one.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && super::selector::includes(labels, &self.selector)
    }

    /// The endpoint whose address is written so; of several, the first.
    pub(crate) fn find_endpoint(&self, written: &str) -> Option<&InlineEndpoint> {
        self.endpoints.iter().find(|it| it.workload.written.as_ref() == written)
    }

    /// Whether its hosts get addresses that nobody wrote (api.md §5.4).
    fn is_addressed_automatically(&self) -> bool {
        self.addresses.is_empty()
            && self.resolution != Resolution::None
            && self.facts.label(labels::AUTO_ADDRESS) != Some("false")
    }

    /// The address of a family that its status has for a host.
    fn noted_for(&self, host: &str, of_family: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
        self.noted.iter().filter(|it| it.host.eq_ignore_ascii_case(host)).map(|it| it.value).find(of_family)
    }

    /// What it asks for a host: one address of each family.
    pub(super) fn bids_for(&self, name: &Name, host: &Arc<str>) -> Vec<Bid> {
        if !self.is_addressed_automatically() {
            return Vec::new();
        }
        let bid = |family: Family| {
            let noted = self.noted_for(host, |address| family.includes(*address));
            Bid::asked(name, self.facts.created, host, family, noted)
        };
        Family::ALL.into_iter().map(bid).collect()
    }

    /// Every address it asks for or has by its user.
    pub(super) fn bids(&self, name: &Name) -> Vec<Bid> {
        let single = self.addresses.iter().filter(|it| it.prefix_len() == it.max_prefix_len());
        let single = single.map(IpNet::addr).filter(|ip| Family::ALL.iter().any(|it| it.includes(*ip)));
        let written = single.map(|ip| Bid::written(name, self.facts.created, ip));
        // A host that is there twice asks once.
        let hosts: BTreeSet<&Arc<str>> = self.hosts.iter().collect();
        let asked = hosts.into_iter().flat_map(|host| self.bids_for(name, host));
        written.chain(asked).collect()
    }

    /// Whether its status has that address for a host.
    pub(super) fn has_noted(&self, host: &str, address: IpAddr) -> bool {
        self.noted.iter().any(|it| it.host.eq_ignore_ascii_case(host) && it.value == address)
    }
}
