//! `adit.waypoint.v1.ServiceConfig`: what shapes the requests to a service, both ways.

use std::collections::BTreeSet;

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::field::{at, by_port, each, named, parse_message, port};
use super::{http_rule, rate_limit, resilience, security, stream_rule, telemetry, traffic};
use crate::{NamespacedHostname, PortConfig, ServiceConfig, Subset};

/// The type URL of these resources.
pub const TYPE_URL: &str = mesh_proto::type_urls::SERVICE_CONFIG;

/// Reads a resource as it arrives on a discovery stream.
pub fn from_bytes(bytes: &[u8]) -> Result<ServiceConfig, DecodeError> {
    decode(parse_message(bytes)?)
}

/// The configuration a ServiceConfig resource describes.
pub fn decode(wire: proto::ServiceConfig) -> Result<ServiceConfig, DecodeError> {
    let ports = by_port("ports", each("ports", wire.ports, decode_port)?)?;
    let subsets: Vec<Subset> = each("subsets", wire.subsets, decode_subset)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = subsets.iter().find(|subset| !names.insert(&subset.name)) {
        return Err(DecodeError::new(format!("{:?} is there twice", twice.name)).within("subsets"));
    }
    let key = NamespacedHostname::new(wire.namespace, named("hostname", &wire.hostname)?);
    let security = at("security", security::decode(wire.security))?;
    let traffic = traffic::decode("traffic", wire.traffic)?;
    let telemetry = wire.telemetry.map(telemetry::decode);
    let rate_limits = each("rate_limits", wire.rate_limits, rate_limit::decode)?;
    let grpc_web_ports = each("grpc_web_ports", wire.grpc_web_ports, |number| port("port", number))?;
    let check = wire.health_check.map(resilience::decode_check);
    Ok(ServiceConfig {
        key,
        ports,
        subsets,
        security,
        traffic,
        telemetry,
        rate_limits,
        race_connections: wire.race_connections,
        grpc_web_ports,
        health_check: at("health_check", check.transpose())?,
        hedging: each("hedging", wire.hedging, resilience::decode_hedged)?,
    })
}

/// A configuration as a ServiceConfig resource.
pub fn encode(config: &ServiceConfig) -> proto::ServiceConfig {
    proto::ServiceConfig {
        namespace: config.key.namespace.to_string(),
        hostname: config.key.hostname.to_string(),
        ports: config.ports.iter().map(encode_port).collect(),
        subsets: config.subsets.iter().map(encode_subset).collect(),
        security: security::encode(&config.security),
        traffic: traffic::encode(&config.traffic),
        telemetry: config.telemetry.as_ref().map(telemetry::encode),
        rate_limits: config.rate_limits.iter().map(rate_limit::encode).collect(),
        race_connections: config.race_connections,
        grpc_web_ports: config.grpc_web_ports.iter().copied().map(u32::from).collect(),
        health_check: config.health_check.as_ref().map(resilience::encode_check),
        hedging: config.hedging.iter().map(resilience::encode_hedged).collect(),
    }
}

fn decode_port(wire: proto::PortConfig) -> Result<(u16, PortConfig), DecodeError> {
    let http_rules = each("http_rules", wire.http_rules, http_rule::decode)?;
    let stream_rules = each("stream_rules", wire.stream_rules, stream_rule::decode)?;
    Ok((port("port", wire.port)?, PortConfig { http_rules, governed: wire.governed, stream_rules }))
}

fn encode_port((number, config): (&u16, &PortConfig)) -> proto::PortConfig {
    proto::PortConfig {
        port: (*number).into(),
        http_rules: config.http_rules.iter().map(http_rule::encode).collect(),
        governed: config.governed,
        stream_rules: config.stream_rules.iter().map(stream_rule::encode).collect(),
    }
}

fn decode_subset(wire: proto::Subset) -> Result<Subset, DecodeError> {
    let labels = wire.labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    let name = named("name", &wire.name)?;
    Ok(Subset { name, labels, traffic: traffic::decode("traffic", wire.traffic)? })
}

fn encode_subset(subset: &Subset) -> proto::Subset {
    proto::Subset {
        name: subset.name.to_string(),
        labels: subset.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        traffic: traffic::encode(&subset.traffic),
    }
}

#[cfg(test)]
mod tests;
