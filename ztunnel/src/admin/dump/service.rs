//! A service in the dump (telemetry.md §8.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::{
    Health, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, NetworkCidr, PortMap, RoutingScope,
    Service, Visibility, WeightedWaypoint, Workload,
};
use serde::Serialize;

use super::workload::GatewayDump;

/// A service with its endpoints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceDump<'a> {
    name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) hostname: &'a str,
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidr_vips: Vec<CidrDump<'a>>,
    ports: BTreeMap<u16, u16>,
    endpoints: BTreeMap<Arc<str>, EndpointDump>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subject_alt_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waypoint: Option<GatewayDump>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weighted_waypoints: Vec<WeightedWaypointDump>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_balancer: Option<LoadBalancerDump>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_families: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    canonical: bool,
    visibility: &'static str,
}

#[derive(Serialize)]
struct CidrDump<'a> {
    network: &'a str,
    cidr: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointDump {
    workload_uid: Arc<str>,
    port: BTreeMap<u16, u16>,
    status: &'static str,
}

#[derive(Serialize)]
struct WeightedWaypointDump {
    #[serde(flatten)]
    destination: GatewayDump,
    weight: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancerDump {
    routing_preferences: Vec<&'static str>,
    mode: &'static str,
    health_policy: &'static str,
}

impl<'a> ServiceDump<'a> {
    pub(crate) fn new<'w>(
        service: &'a Service,
        endpoints: impl Iterator<Item = (&'w Arc<Workload>, &'w PortMap)>,
    ) -> Self {
        ServiceDump {
            name: &service.name,
            namespace: &service.key.namespace,
            hostname: &service.key.hostname,
            vips: service.addresses.iter().map(ToString::to_string).collect(),
            cidr_vips: service.cidrs.iter().map(CidrDump::from).collect(),
            ports: service.ports.iter().map(|port| (port.service_port, port.target_port)).collect(),
            endpoints: endpoints.map(|(workload, ports)| endpoint(workload, ports)).collect(),
            subject_alt_names: service.subject_alt_names.iter().map(ToString::to_string).collect(),
            waypoint: service.waypoint.as_ref().map(GatewayDump::from),
            weighted_waypoints: service.weighted_waypoints.iter().map(WeightedWaypointDump::from).collect(),
            load_balancer: load_balancer(&service.load_balancing),
            ip_families: match service.ip_families {
                IpFamilies::Automatic => None,
                IpFamilies::Ipv4 => Some("IPv4"),
                IpFamilies::Ipv6 => Some("IPv6"),
                IpFamilies::Dual => Some("Dual"),
            },
            canonical: service.canonical,
            visibility: match service.visibility {
                Visibility::Public => "Public",
                Visibility::Namespace => "Namespace",
            },
        }
    }
}

fn endpoint(workload: &Workload, ports: &PortMap) -> (Arc<str>, EndpointDump) {
    let status = match workload.health {
        Health::Healthy => "Healthy",
        Health::Unhealthy => "Unhealthy",
    };
    let uid = Arc::clone(&workload.uid.0);
    let port = ports.iter().map(|(service, target)| (*service, *target)).collect();
    (Arc::clone(&uid), EndpointDump { workload_uid: uid, port, status })
}

fn load_balancer(balancing: &LoadBalancing) -> Option<LoadBalancerDump> {
    let scope = |scope: &RoutingScope| match scope {
        RoutingScope::Region => "Region",
        RoutingScope::Zone => "Zone",
        RoutingScope::Subzone => "Subzone",
        RoutingScope::Node => "Node",
        RoutingScope::Cluster => "Cluster",
        RoutingScope::Network => "Network",
    };
    (*balancing != LoadBalancing::default()).then(|| LoadBalancerDump {
        routing_preferences: balancing.preferences.iter().map(scope).collect(),
        mode: match balancing.mode {
            LoadBalancingMode::Standard => "Standard",
            LoadBalancingMode::Strict => "Strict",
            LoadBalancingMode::Failover => "Failover",
            LoadBalancingMode::Passthrough => "Passthrough",
        },
        health_policy: match balancing.health_policy {
            HealthPolicy::OnlyHealthy => "OnlyHealthy",
            HealthPolicy::AllowAll => "AllowAll",
        },
    })
}

impl<'a> From<&'a NetworkCidr> for CidrDump<'a> {
    fn from(cidr: &'a NetworkCidr) -> Self {
        CidrDump { network: &cidr.network, cidr: cidr.cidr.to_string() }
    }
}

impl From<&WeightedWaypoint> for WeightedWaypointDump {
    fn from(weighted: &WeightedWaypoint) -> Self {
        WeightedWaypointDump {
            destination: GatewayDump::from(&weighted.destination),
            weight: weighted.weight,
        }
    }
}
