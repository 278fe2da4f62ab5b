//! A workload: one pod, workload entry or external endpoint (wire.md §5.4).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{GatewayAddress, Identity, NamespacedHostname, NetworkAddress, PolicyKey, SmallMap};

/// The name of a workload, unique in the mesh (wire.md §5.3).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub Arc<str>);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Uid(text.into())
    }
}

/// A workload as the controller describes it. Missing values on the wire have
/// become their defaults here: trust domain `cluster.local`, service account
/// `default`, cluster `Kubernetes`, capacity 1 (wire.md §5.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Unique name.
    pub uid: Uid,
    /// The pod's name.
    pub name: Arc<str>,
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// Where it can be reached; several for dual stack, none for one known by `hostname` alone.
    pub addresses: Vec<IpAddr>,
    /// The network of `addresses`.
    pub network: Arc<str>,
    /// How to reach it.
    pub tunnel: TunnelProtocol,
    /// It terminates HBONE itself, no node proxy does it for it.
    pub native_tunnel: bool,
    /// Part of its identity.
    pub trust_domain: Arc<str>,
    /// Part of its identity.
    pub service_account: Arc<str>,
    /// The waypoint for traffic addressed to the workload itself.
    pub waypoint: Option<GatewayAddress>,
    /// The gateway through which its network is reached from others.
    pub network_gateway: Option<GatewayAddress>,
    /// The node it runs on.
    pub node: Arc<str>,
    /// Name and revision for telemetry.
    pub canonical_name: Arc<str>,
    /// Name and revision for telemetry.
    pub canonical_revision: Arc<str>,
    /// What owns it.
    pub kind: WorkloadKind,
    /// Name of what owns it.
    pub workload_name: Arc<str>,
    /// Policies that select it, by name.
    pub authorization_policies: Vec<PolicyKey>,
    /// Whether it takes traffic.
    pub health: Health,
    /// The cluster it runs in.
    pub cluster_id: Arc<str>,
    /// For workloads without addresses: resolved when needed. Empty for others.
    pub hostname: Arc<str>,
    /// The services it backs, with its own target port for each service port.
    pub services: SmallMap<NamespacedHostname, PortMap>,
    /// How traffic is handed to it, for sandwiched waypoints.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// Region, zone, subzone.
    pub locality: Locality,
    /// Whether it shares its addresses with its node.
    pub network_mode: NetworkMode,
    /// Relative weight among the endpoints of a service; 0 takes nothing.
    pub capacity: u32,
    /// The labels that subsets refer to; empty for everyone but waypoints' backends.
    pub labels: SmallMap<Arc<str>, Arc<str>>,
}

/// Service port to target port.
pub type PortMap = SmallMap<u16, u16>;

impl Workload {
    /// The identity it proves by mTLS.
    pub fn identity(&self) -> Identity {
        Identity {
            trust_domain: self.trust_domain.clone(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
        }
    }

    /// Its addresses with their network; none when it shares its node's address,
    /// for then the address does not tell who it is (wire.md §5.6).
    pub fn own_addresses(&self) -> impl Iterator<Item = NetworkAddress> + '_ {
        let own = self.network_mode == NetworkMode::Standard;
        self.addresses.iter().filter(move |_| own).map(|ip| NetworkAddress::new(self.network.clone(), *ip))
    }
}

/// How a workload takes traffic from the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TunnelProtocol {
    /// Plain TCP.
    #[default]
    Tcp,
    /// HBONE on port 15008.
    Hbone,
}

/// What owns a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WorkloadKind {
    /// A Deployment.
    #[default]
    Deployment,
    /// A CronJob.
    CronJob,
    /// Nothing, or something the mesh does not tell apart.
    Pod,
    /// A Job.
    Job,
}

impl WorkloadKind {
    /// Lower case, as baggage keys and dumps write it.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::CronJob => "cronjob",
            WorkloadKind::Pod => "pod",
            WorkloadKind::Job => "job",
        }
    }
}

/// Whether a workload takes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// It does.
    #[default]
    Healthy,
    /// It does not.
    Unhealthy,
}

/// Whose addresses a workload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NetworkMode {
    /// Its own.
    #[default]
    Standard,
    /// Its node's.
    HostNetwork,
}

/// How traffic is handed to a workload that wants to know the original connection (wire.md §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplicationTunnel {
    /// The framing.
    pub protocol: ApplicationTunnelProtocol,
    /// 0: the destination port.
    pub port: u16,
}

/// The framings of an application tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationTunnelProtocol {
    /// As is.
    None,
    /// After a PROXY protocol version 2 header.
    Proxy,
}

/// Where a workload is; empty parts are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// For instance `eu-west-1`.
    pub region: Arc<str>,
    /// For instance `eu-west-1b`.
    pub zone: Arc<str>,
    /// For instance `rack-7`.
    pub subzone: Arc<str>,
}
