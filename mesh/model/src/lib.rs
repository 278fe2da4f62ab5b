//! The mesh's values without I/O: who a workload is, where it can be reached,
//! what may talk to it and how requests to a service are routed; and the codec
//! between them and the wire, both ways.

mod authorization_service;
pub mod codec;
mod identity;
mod network;
mod path_template;
mod policy;
mod rate_limit;
mod resilience;
mod route;
mod security;
mod service;
mod session;
mod small_map;
mod stream;
mod telemetry;
mod traffic;
mod workload;

pub use authorization_service::{AuthorizationService, CheckProtocol, CheckedBody, HttpCheck};
pub use codec::DecodeError;
pub use codec::address::AddressResource;
pub use identity::{Identity, InvalidIdentity};
pub use network::{
    GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress, NetworkCidr, ParseNameError,
};
pub use path_template::{InvalidTemplate, PathTemplate};
pub use policy::{Action, Clause, Match, Policy, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch};
pub use rate_limit::{
    Counted, GlobalLimit, KeySource, LocalLimit, RateLimit, RateLimitKey, RateQuota, RateUnit,
};
pub use resilience::{HealthCheck, HedgedRequests, Hedging, HttpProbe, Probe, StatusRange};
pub use route::{
    Abort, AbortError, Backend, BackendTarget, ClaimMatch, Cors, Delay, DirectResponse, Fault, Forward,
    HeaderChange, HttpMatch, HttpRule, Mirror, NamedMatch, PathChange, PerMillion, PortConfig,
    PortDerivation, Redirect, Retry, Rewrite, RuleAction, ServiceConfig, Subset, ValueMatch,
};
pub use security::{
    Attribute, Condition, Pattern, PolicyAction, PolicyClause, PolicyRule, RequestPolicy, Security,
    TokenRule, WaypointConfig, WaypointKey,
};
pub use service::{
    AppProtocol, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, RoutingScope, Service,
    ServicePort, Visibility, WeightedWaypoint,
};
pub use session::{SessionCarrier, SessionPersistence};
pub use small_map::SmallMap;
pub use stream::{InvalidSniHost, SniHost, StreamMatch, StreamRule};
pub use telemetry::{
    AccessLog, CodeTest, Comparison, LabelChange, LabelSource, LogEncoding, LogFilter, MetricSettings,
    NamedSource, RequestMetric, TagSource, Telemetry, TraceCollector, TraceHeaders, TraceProtocol, Tracing,
};
pub use traffic::{
    Choice, ConsistentHash, HashAlgorithm, HashCookie, HashKey, Http2Keepalive, HttpLimits, InvalidHashSize,
    LoadBalancer, LocalityPreference, LocalityShares, OutlierDetection, PortTraffic, ProxyProtocolVersion,
    RetryBudget, TcpKeepalive, TcpLimits, TlsClient, TlsTrust, TrafficPolicy, UpstreamTls, UpstreamVersion,
    Warmup,
};
pub use workload::{
    ApplicationTunnel, ApplicationTunnelProtocol, Health, Locality, NetworkMode, PortMap, TunnelProtocol,
    Uid, Workload, WorkloadKind,
};
