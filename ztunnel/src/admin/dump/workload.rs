//! A workload in the dump (telemetry.md §8.2).

use std::net::IpAddr;

use mesh_model::{
    ApplicationTunnel, ApplicationTunnelProtocol, GatewayAddress, Health, Locality, NetworkMode,
    TunnelProtocol, Workload,
};
use serde::Serialize;

/// Left out at its default, except for what the readers rely on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkloadDump<'a> {
    pub(super) uid: &'a str,
    workload_ips: &'a [IpAddr],
    #[serde(skip_serializing_if = "Option::is_none")]
    waypoint: Option<GatewayDump>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_gateway: Option<GatewayDump>,
    protocol: &'static str,
    network_mode: &'static str,
    name: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trust_domain: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    service_account: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    network: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    workload_name: &'a str,
    workload_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    canonical_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    canonical_revision: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hostname: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    native_tunnel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_tunnel: Option<ApplicationTunnelDump>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_policies: Vec<String>,
    status: &'static str,
    cluster_id: &'a str,
    #[serde(skip_serializing_if = "LocalityDump::is_empty")]
    locality: LocalityDump<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<String>,
    capacity: u32,
}

/// A waypoint or network gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayDump {
    destination: String,
    hbone_mtls_port: u16,
}

#[derive(Serialize)]
struct ApplicationTunnelDump {
    protocol: &'static str,
    port: u16,
}

#[derive(Serialize)]
struct LocalityDump<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    region: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    zone: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subzone: &'a str,
}

impl<'a> From<&'a Workload> for WorkloadDump<'a> {
    fn from(workload: &'a Workload) -> Self {
        WorkloadDump {
            uid: &workload.uid.0,
            workload_ips: &workload.addresses,
            waypoint: workload.waypoint.as_ref().map(GatewayDump::from),
            network_gateway: workload.network_gateway.as_ref().map(GatewayDump::from),
            protocol: match workload.tunnel {
                TunnelProtocol::Tcp => "TCP",
                TunnelProtocol::Hbone => "HBONE",
            },
            network_mode: match workload.network_mode {
                NetworkMode::Standard => "Standard",
                NetworkMode::HostNetwork => "HostNetwork",
            },
            name: &workload.name,
            namespace: &workload.namespace,
            trust_domain: &workload.trust_domain,
            service_account: &workload.service_account,
            network: &workload.network,
            workload_name: &workload.workload_name,
            workload_type: workload.kind.as_str(),
            canonical_name: &workload.canonical_name,
            canonical_revision: &workload.canonical_revision,
            hostname: &workload.hostname,
            node: &workload.node,
            native_tunnel: workload.native_tunnel,
            application_tunnel: workload.application_tunnel.map(ApplicationTunnelDump::from),
            authorization_policies: workload.authorization_policies.iter().map(ToString::to_string).collect(),
            status: match workload.health {
                Health::Healthy => "Healthy",
                Health::Unhealthy => "Unhealthy",
            },
            cluster_id: &workload.cluster_id,
            locality: LocalityDump::from(&workload.locality),
            services: workload.services.keys().map(ToString::to_string).collect(),
            capacity: workload.capacity,
        }
    }
}

impl From<&GatewayAddress> for GatewayDump {
    fn from(gateway: &GatewayAddress) -> Self {
        GatewayDump { destination: gateway.destination.to_string(), hbone_mtls_port: gateway.hbone_mtls_port }
    }
}

impl From<ApplicationTunnel> for ApplicationTunnelDump {
    fn from(tunnel: ApplicationTunnel) -> Self {
        let protocol = match tunnel.protocol {
            ApplicationTunnelProtocol::None => "NONE",
            ApplicationTunnelProtocol::Proxy => "PROXY",
        };
        ApplicationTunnelDump { protocol, port: tunnel.port }
    }
}

impl<'a> From<&'a Locality> for LocalityDump<'a> {
    fn from(locality: &'a Locality) -> Self {
        LocalityDump { region: &locality.region, zone: &locality.zone, subzone: &locality.subzone }
    }
}

impl LocalityDump<'_> {
    fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}
