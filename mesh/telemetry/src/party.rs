//! Who takes part in a connection or request, and who says so.

use std::sync::Arc;

use mesh_model::{Identity, NamespacedHostname, Service, Workload};

/// Which proxy reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The one beside the client.
    Source,
    /// The one beside the server.
    Destination,
    /// A waypoint between them.
    Waypoint,
}

impl Reporter {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reporter::Source => "source",
            Reporter::Destination => "destination",
            Reporter::Waypoint => "waypoint",
        }
    }

    pub(crate) fn direction(self) -> Direction {
        match self {
            Reporter::Source => Direction::Outbound,
            Reporter::Destination | Reporter::Waypoint => Direction::Inbound,
        }
    }
}

/// Which way a connection goes, seen from the workload beside the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To it.
    Inbound,
    /// From it.
    Outbound,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// What protected a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Both sides have proven who they are (TEL-03).
    MutualTls,
    /// Nothing that is known.
    Unknown,
    /// Nothing; only waypoints say so.
    None,
}

impl Security {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Security::MutualTls => "mutual_tls",
            Security::Unknown => "unknown",
            Security::None => "none",
        }
    }
}

/// One side of a connection, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Party {
    /// What it is.
    pub workload: Option<Arc<Workload>>,
    /// Who it proved to be by mTLS.
    pub identity: Option<Identity>,
}

impl From<&Arc<Workload>> for Party {
    fn from(workload: &Arc<Workload>) -> Self {
        Party { workload: Some(workload.clone()), identity: None }
    }
}

/// The service that was addressed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceRef {
    /// Its name.
    pub key: NamespacedHostname,
}

impl ServiceRef {
    /// The first label of the host name.
    pub(crate) fn name(&self) -> &str {
        self.key.hostname.split('.').next().unwrap_or_default()
    }
}

impl From<&Service> for ServiceRef {
    fn from(service: &Service) -> Self {
        ServiceRef { key: service.key.clone() }
    }
}

impl From<&Arc<Service>> for ServiceRef {
    fn from(service: &Arc<Service>) -> Self {
        ServiceRef::from(&**service)
    }
}
