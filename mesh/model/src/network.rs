//! Addresses as the mesh names them: an IP belongs to a network, a host name to a namespace.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

/// An IP address on a named network; the empty name is the only network of a simple mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkAddress {
    /// The network's id.
    pub network: Arc<str>,
    /// The address.
    pub ip: IpAddr,
}

/// A block of addresses on a named network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkCidr {
    /// The network's id.
    pub network: Arc<str>,
    /// The block.
    pub cidr: IpNet,
}

/// A host name in a namespace: the key of a service, written `namespace/hostname`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedHostname {
    /// The namespace of the object that declares the host.
    pub namespace: Arc<str>,
    /// Fully qualified, for instance `reviews.prod.svc.cluster.local`.
    pub hostname: Arc<str>,
}

/// A text that is not `namespace/name`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not of the form namespace/name")]
pub struct ParseNameError(pub String);

/// Where a waypoint or a network gateway is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayAddress {
    /// The gateway.
    pub destination: GatewayDestination,
    /// Its HBONE port, as a port of its service.
    pub hbone_mtls_port: u16,
}

/// The two ways to name a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GatewayDestination {
    /// By the host name of its service (or workload).
    Hostname(NamespacedHostname),
    /// By address.
    Address(NetworkAddress),
}

impl NetworkAddress {
    /// An address on a network.
    pub fn new(network: impl Into<Arc<str>>, ip: IpAddr) -> Self {
        NetworkAddress { network: network.into(), ip }
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.ip)
    }
}

impl NamespacedHostname {
    /// A host name in a namespace.
    pub fn new(namespace: impl Into<Arc<str>>, hostname: impl Into<Arc<str>>) -> Self {
        NamespacedHostname { namespace: namespace.into(), hostname: hostname.into() }
    }
}

impl fmt::Display for NamespacedHostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

impl FromStr for NamespacedHostname {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, hostname)) if !hostname.is_empty() && !hostname.contains('/') => {
                Ok(NamespacedHostname::new(namespace, hostname))
            }
            _ => Err(ParseNameError(text.to_owned())),
        }
    }
}

impl fmt::Display for GatewayDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatewayDestination::Hostname(name) => name.fmt(f),
            GatewayDestination::Address(address) => address.fmt(f),
        }
    }
}
