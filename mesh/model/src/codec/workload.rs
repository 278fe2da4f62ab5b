//! A workload, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1::WorkloadLabels;
use mesh_proto::istio::workload as proto;
use mesh_proto::type_urls::{LABELS_EXTENSION, WORKLOAD_LABELS};
use prost::Message;

use super::DecodeError;
use super::address::{decode_gateway, encode_gateway};
use super::field::{at, each, ip, ip_bytes, known, named, port, required, text_or};
use crate::{
    ApplicationTunnel, ApplicationTunnelProtocol, Health, Locality, NamespacedHostname, NetworkMode, PortMap,
    SmallMap, TunnelProtocol, Uid, Workload, WorkloadKind,
};

type Labels = SmallMap<Arc<str>, Arc<str>>;

pub(super) fn decode(wire: proto::Workload) -> Result<Workload, DecodeError> {
    Ok(Workload {
        uid: Uid(named("uid", &wire.uid)?),
        addresses: each("addresses", wire.addresses, |bytes| ip(&bytes))?,
        network: wire.network.into(),
        tunnel: tunnel(known("tunnel_protocol", wire.tunnel_protocol)?)?,
        native_tunnel: wire.native_tunnel,
        trust_domain: text_or(&wire.trust_domain, "cluster.local"),
        service_account: text_or(&wire.service_account, "default"),
        waypoint: at("waypoint", wire.waypoint.map(decode_gateway).transpose())?,
        network_gateway: at("network_gateway", wire.network_gateway.map(decode_gateway).transpose())?,
        node: wire.node.into(),
        canonical_name: wire.canonical_name.into(),
        canonical_revision: wire.canonical_revision.into(),
        kind: kind(known("workload_type", wire.workload_type)?),
        workload_name: wire.workload_name.into(),
        authorization_policies: each("authorization_policies", wire.authorization_policies, |name| {
            parse(&name)
        })?,
        health: match known("status", wire.status)? {
            proto::WorkloadStatus::Healthy => Health::Healthy,
            proto::WorkloadStatus::Unhealthy => Health::Unhealthy,
        },
        cluster_id: text_or(&wire.cluster_id, "Kubernetes"),
        hostname: wire.hostname.into(),
        services: each("services", wire.services.into_iter().collect(), service)?,
        application_tunnel: at(
            "application_tunnel",
            wire.application_tunnel.map(application_tunnel).transpose(),
        )?,
        locality: wire.locality.map(locality).unwrap_or_default(),
        network_mode: match known("network_mode", wire.network_mode)? {
            proto::NetworkMode::Standard => NetworkMode::Standard,
            proto::NetworkMode::HostNetwork => NetworkMode::HostNetwork,
        },
        capacity: wire.capacity.unwrap_or(1),
        labels: at("extensions", labels(wire.extensions))?,
        name: wire.name.into(),
        namespace: wire.namespace.into(),
    })
}

pub(super) fn encode(workload: &Workload) -> proto::Workload {
    proto::Workload {
        uid: workload.uid.to_string(),
        name: workload.name.to_string(),
        namespace: workload.namespace.to_string(),
        addresses: workload.addresses.iter().map(|ip| ip_bytes(*ip)).collect(),
        network: workload.network.to_string(),
        tunnel_protocol: match workload.tunnel {
            TunnelProtocol::Tcp => proto::TunnelProtocol::None,
            TunnelProtocol::Hbone => proto::TunnelProtocol::Hbone,
        }
        .into(),
        native_tunnel: workload.native_tunnel,
        trust_domain: workload.trust_domain.to_string(),
        service_account: workload.service_account.to_string(),
        waypoint: workload.waypoint.as_ref().map(encode_gateway),
        network_gateway: workload.network_gateway.as_ref().map(encode_gateway),
        node: workload.node.to_string(),
        canonical_name: workload.canonical_name.to_string(),
        canonical_revision: workload.canonical_revision.to_string(),
        workload_type: encode_kind(workload.kind).into(),
        workload_name: workload.workload_name.to_string(),
        authorization_policies: workload.authorization_policies.iter().map(ToString::to_string).collect(),
        status: match workload.health {
            Health::Healthy => proto::WorkloadStatus::Healthy,
            Health::Unhealthy => proto::WorkloadStatus::Unhealthy,
        }
        .into(),
        cluster_id: workload.cluster_id.to_string(),
        hostname: workload.hostname.to_string(),
        services: workload
            .services
            .iter()
            .map(|(name, ports)| (name.to_string(), encode_ports(ports)))
            .collect(),
        application_tunnel: workload.application_tunnel.map(encode_application_tunnel),
        locality: encode_locality(&workload.locality),
        network_mode: match workload.network_mode {
            NetworkMode::Standard => proto::NetworkMode::Standard,
            NetworkMode::HostNetwork => proto::NetworkMode::HostNetwork,
        }
        .into(),
        capacity: Some(workload.capacity),
        extensions: encode_labels(&workload.labels).into_iter().collect(),
    }
}

fn parse<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<T, DecodeError> {
    text.parse().map_err(|error: T::Err| DecodeError::new(error.to_string()))
}

fn tunnel(wire: proto::TunnelProtocol) -> Result<TunnelProtocol, DecodeError> {
    match wire {
        proto::TunnelProtocol::None => Ok(TunnelProtocol::Tcp),
        proto::TunnelProtocol::Hbone => Ok(TunnelProtocol::Hbone),
        proto::TunnelProtocol::LegacyIstioMtls => {
            Err(DecodeError::new("LEGACY_ISTIO_MTLS is not spoken here").within("tunnel_protocol"))
        }
    }
}

fn kind(wire: proto::WorkloadType) -> WorkloadKind {
    match wire {
        proto::WorkloadType::Deployment => WorkloadKind::Deployment,
        proto::WorkloadType::Cronjob => WorkloadKind::CronJob,
        proto::WorkloadType::Pod => WorkloadKind::Pod,
        proto::WorkloadType::Job => WorkloadKind::Job,
    }
}

fn encode_kind(kind: WorkloadKind) -> proto::WorkloadType {
    match kind {
        WorkloadKind::Deployment => proto::WorkloadType::Deployment,
        WorkloadKind::CronJob => proto::WorkloadType::Cronjob,
        WorkloadKind::Pod => proto::WorkloadType::Pod,
        WorkloadKind::Job => proto::WorkloadType::Job,
    }
}

fn service((name, list): (String, proto::PortList)) -> Result<(NamespacedHostname, PortMap), DecodeError> {
    let ports = each("ports", list.ports, |wire| {
        Ok((port("service_port", wire.service_port)?, port("target_port", wire.target_port)?))
    })?;
    Ok((parse(&name)?, ports))
}

fn encode_ports(ports: &PortMap) -> proto::PortList {
    let port = |(service_port, target_port): (&u16, &u16)| proto::Port {
        service_port: (*service_port).into(),
        target_port: (*target_port).into(),
        app_protocol: proto::AppProtocol::Unknown.into(),
    };
    proto::PortList { ports: ports.iter().map(port).collect() }
}

fn application_tunnel(wire: proto::ApplicationTunnel) -> Result<ApplicationTunnel, DecodeError> {
    use proto::application_tunnel::Protocol;
    let protocol = match known("protocol", wire.protocol)? {
        Protocol::None => ApplicationTunnelProtocol::None,
        Protocol::Proxy => ApplicationTunnelProtocol::Proxy,
    };
    Ok(ApplicationTunnel { protocol, port: port("port", wire.port)? })
}

fn encode_application_tunnel(tunnel: ApplicationTunnel) -> proto::ApplicationTunnel {
    use proto::application_tunnel::Protocol;
    let protocol = match tunnel.protocol {
        ApplicationTunnelProtocol::None => Protocol::None,
        ApplicationTunnelProtocol::Proxy => Protocol::Proxy,
    };
    proto::ApplicationTunnel { protocol: protocol.into(), port: tunnel.port.into() }
}

fn locality(wire: proto::Locality) -> Locality {
    Locality { region: wire.region.into(), zone: wire.zone.into(), subzone: wire.subzone.into() }
}

fn encode_locality(locality: &Locality) -> Option<proto::Locality> {
    (*locality != Locality::default()).then(|| proto::Locality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        subzone: locality.subzone.to_string(),
    })
}

/// Labels travel as an extension; extensions of others mean nothing here.
fn labels(extensions: Vec<proto::Extension>) -> Result<Labels, DecodeError> {
    let Some(extension) = extensions.into_iter().find(|extension| extension.name == LABELS_EXTENSION) else {
        return Ok(Labels::new());
    };
    let config = required("config", extension.config)?;
    if config.type_url != WORKLOAD_LABELS {
        return Err(DecodeError::new(format!("{LABELS_EXTENSION} holds a {:?}", config.type_url)));
    }
    let wire = WorkloadLabels::decode(config.value.as_slice())
        .map_err(|error| DecodeError::new(format!("{LABELS_EXTENSION}: {error}")))?;
    Ok(wire.labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

fn encode_labels(labels: &Labels) -> Option<proto::Extension> {
    (!labels.is_empty()).then(|| {
        let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let value = WorkloadLabels { labels }.encode_to_vec();
        proto::Extension {
            name: LABELS_EXTENSION.to_owned(),
            config: Some(prost_types::Any { type_url: WORKLOAD_LABELS.to_owned(), value }),
        }
    })
}
