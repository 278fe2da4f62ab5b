//! A service: a host name with virtual addresses, ports and endpoints (wire.md §5.4).

use std::sync::Arc;

use crate::{GatewayAddress, Identity, NamespacedHostname, NetworkAddress, NetworkCidr};

/// A service as the controller describes it; its endpoints are the workloads that name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The object's name.
    pub name: Arc<str>,
    /// Namespace and host name, the key.
    pub key: NamespacedHostname,
    /// Virtual addresses; none for headless services.
    pub addresses: Vec<NetworkAddress>,
    /// Blocks of addresses that lead here.
    pub cidrs: Vec<NetworkCidr>,
    /// The declared ports.
    pub ports: Vec<ServicePort>,
    /// Server identities accepted besides an endpoint's own.
    pub subject_alt_names: Vec<Identity>,
    /// The waypoint of traffic addressed to this service.
    pub waypoint: Option<GatewayAddress>,
    /// Shares of new connections by waypoint; empty or all zero means `waypoint` (WP-24).
    pub weighted_waypoints: Vec<WeightedWaypoint>,
    /// Which endpoints are used.
    pub load_balancing: LoadBalancing,
    /// Address families of its endpoints that are used.
    pub ip_families: IpFamilies,
    /// Wins among services of one host name (wire.md §5.6).
    pub canonical: bool,
    /// Ingress gateways go through the waypoint too.
    pub ingress_use_waypoint: bool,
    /// Who can see it.
    pub visibility: Visibility,
}

impl Service {
    /// The declared port of that number.
    pub fn find_port(&self, service_port: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.service_port == service_port)
    }
}

/// A port of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// What clients connect to.
    pub service_port: u16,
    /// What endpoints listen on; 0 when each endpoint has its own (a named port).
    pub target_port: u16,
    /// What is spoken on it.
    pub app_protocol: AppProtocol,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AppProtocol {
    /// Not declared: to be detected.
    #[default]
    Unknown,
    /// HTTP/1.
    Http11,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// Anything over TCP.
    Tcp,
    /// TLS.
    Tls,
}

/// A share of a service's new connections.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedWaypoint {
    /// The waypoint.
    pub destination: GatewayAddress,
    /// Relative.
    pub weight: u32,
}

/// How endpoints are chosen (wire.md §5.6).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LoadBalancing {
    /// What has to match, most significant first.
    pub preferences: Vec<RoutingScope>,
    /// How strictly.
    pub mode: LoadBalancingMode,
    /// Whether unhealthy endpoints are used.
    pub health_policy: HealthPolicy,
}

/// What two workloads can have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingScope {
    /// The region.
    Region,
    /// The zone.
    Zone,
    /// The subzone.
    Subzone,
    /// The node.
    Node,
    /// The cluster.
    Cluster,
    /// The network.
    Network,
}

/// How strictly preferences apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LoadBalancingMode {
    /// Not at all.
    #[default]
    Standard,
    /// Every scope has to match.
    Strict,
    /// The endpoints that match the most leading scopes.
    Failover,
    /// No choice at all: the original destination.
    Passthrough,
}

/// Whether unhealthy endpoints are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HealthPolicy {
    /// They are not.
    #[default]
    OnlyHealthy,
    /// They are.
    AllowAll,
}

/// Address families of endpoints that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IpFamilies {
    /// Not declared.
    #[default]
    Automatic,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Both; the caller's is preferred.
    Dual,
}

/// Who can see a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Everyone.
    #[default]
    Public,
    /// Its namespace.
    Namespace,
}
