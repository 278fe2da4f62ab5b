//! `adit.waypoint.v1.WaypointConfig`: what holds for everything that goes through a waypoint, both ways.

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::field::{at, each, named, parse_message};
use super::{authorization_service, rate_limit, security, telemetry};
use crate::{WaypointConfig, WaypointKey};

/// The type URL of these resources.
pub const TYPE_URL: &str = mesh_proto::type_urls::WAYPOINT_CONFIG;

/// Reads a resource as it arrives on a discovery stream.
pub fn from_bytes(bytes: &[u8]) -> Result<WaypointConfig, DecodeError> {
    decode(parse_message(bytes)?)
}

/// The configuration a WaypointConfig resource describes.
pub fn decode(wire: proto::WaypointConfig) -> Result<WaypointConfig, DecodeError> {
    Ok(WaypointConfig {
        key: WaypointKey::new(wire.namespace, named("gateway", &wire.gateway)?),
        security: at("security", security::decode(wire.security))?,
        authorization_services: wire
            .authorization_services
            .into_iter()
            .filter_map(|service| authorization_service::decode(service).ok())
            .collect(),
        telemetry: wire.telemetry.map(telemetry::decode).unwrap_or_default(),
        forward_client_identity: wire.forward_client_identity,
        rate_limits: each("rate_limits", wire.rate_limits, rate_limit::decode)?,
    })
}

/// A configuration as a WaypointConfig resource.
pub fn encode(config: &WaypointConfig) -> proto::WaypointConfig {
    proto::WaypointConfig {
        namespace: config.key.namespace.to_string(),
        gateway: config.key.gateway.to_string(),
        security: security::encode(&config.security),
        authorization_services: config
            .authorization_services
            .iter()
            .map(authorization_service::encode)
            .collect(),
        telemetry: (!config.telemetry.is_usual()).then(|| telemetry::encode(&config.telemetry)),
        forward_client_identity: config.forward_client_identity,
        rate_limits: config.rate_limits.iter().map(rate_limit::encode).collect(),
    }
}
