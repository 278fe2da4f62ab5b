//! DestinationRule: what holds for the traffic to a host (api.md §3.4). What waypoints do not honour of it is typed
//! all the same, so that mistakes are found and a status can name it.

mod load_balancer;
mod traffic_policy;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::custom::Custom;
use super::value::LabelSelector;

pub use load_balancer::{
    ConsistentHash, CookieAttribute, Distribution, Failover, HttpCookie, LoadBalancerSettings,
    LocalityLoadBalancing, Maglev, RingHash, SimpleLoadBalancer, Warmup, ZoneAwareLoadBalancing,
};
pub use traffic_policy::{
    ClientTlsMode, ClientTlsSettings, ConnectionPoolSettings, H2UpgradePolicy, HttpKeepAlive,
    HttpPoolSettings, OutlierDetection, PortTrafficPolicy, ProxyProtocol, ProxyProtocolVersion, RetryBudget,
    TcpKeepalive, TcpPoolSettings, TrafficPolicy, TunnelSettings,
};

/// The object.
pub type DestinationRule = Custom<DestinationRuleSpec>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)] // Istio's reference documents the fields
pub struct DestinationRuleSpec {
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_policy: Option<TrafficPolicy>,
    #[serde(default)]
    pub subsets: Vec<RuleSubset>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_to: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_selector: Option<LabelSelector>,
}

/// A named part of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RuleSubset {
    pub name: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_policy: Option<TrafficPolicy>,
}
