//! `istio.workload.Address`: a workload or a service.

use mesh_proto::istio::workload as proto;
use proto::address::Type;

use super::field::{at, cidr, ip, ip_bytes, named, parse_message, port, required};
use super::{DecodeError, service, workload};
use crate::{
    GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress, NetworkCidr, Service, Workload,
};

/// What an Address resource describes: workloads and services share one type URL.
#[derive(Clone, Debug, PartialEq)]
pub enum AddressResource {
    /// A workload.
    Workload(Workload),
    /// A service.
    Service(Service),
}

/// The type URL of these resources.
pub const TYPE_URL: &str = mesh_proto::type_urls::ADDRESS;

/// Reads a resource as it arrives on a discovery stream.
pub fn from_bytes(bytes: &[u8]) -> Result<AddressResource, DecodeError> {
    decode(parse_message(bytes)?)
}

/// Reads an Address resource.
pub fn decode(wire: proto::Address) -> Result<AddressResource, DecodeError> {
    match required("type", wire.r#type)? {
        Type::Workload(wire) => at("workload", workload::decode(wire).map(AddressResource::Workload)),
        Type::Service(wire) => at("service", service::decode(wire).map(AddressResource::Service)),
    }
}

/// A workload as an Address resource.
pub fn encode_workload(workload: &Workload) -> proto::Address {
    proto::Address { r#type: Some(Type::Workload(workload::encode(workload))) }
}

/// A service as an Address resource.
pub fn encode_service(service: &Service) -> proto::Address {
    proto::Address { r#type: Some(Type::Service(service::encode(service))) }
}

pub(super) fn decode_gateway(wire: proto::GatewayAddress) -> Result<GatewayAddress, DecodeError> {
    use proto::gateway_address::Destination;
    let destination = match required("destination", wire.destination)? {
        Destination::Hostname(wire) => {
            let hostname = named("hostname.hostname", &wire.hostname)?;
            GatewayDestination::Hostname(NamespacedHostname::new(wire.namespace, hostname))
        }
        Destination::Address(wire) => {
            at("address", decode_network_address(&wire)).map(GatewayDestination::Address)?
        }
    };
    Ok(GatewayAddress { destination, hbone_mtls_port: port("hbone_mtls_port", wire.hbone_mtls_port)? })
}

pub(super) fn encode_gateway(gateway: &GatewayAddress) -> proto::GatewayAddress {
    use proto::gateway_address::Destination;
    let destination = match &gateway.destination {
        GatewayDestination::Hostname(name) => Destination::Hostname(proto::NamespacedHostname {
            namespace: name.namespace.to_string(),
            hostname: name.hostname.to_string(),
        }),
        GatewayDestination::Address(address) => Destination::Address(encode_network_address(address)),
    };
    proto::GatewayAddress { destination: Some(destination), hbone_mtls_port: gateway.hbone_mtls_port.into() }
}

fn decode_network_address(wire: &proto::NetworkAddress) -> Result<NetworkAddress, DecodeError> {
    if wire.length.is_some() {
        return Err(DecodeError::new("a block of addresses where one address is needed"));
    }
    Ok(NetworkAddress::new(wire.network.as_str(), ip(&wire.address)?))
}

pub(super) fn encode_network_address(address: &NetworkAddress) -> proto::NetworkAddress {
    proto::NetworkAddress {
        network: address.network.to_string(),
        address: ip_bytes(address.ip),
        length: None,
    }
}

/// An address of a service: one, or a block (EG-11).
pub(super) enum Vip {
    One(NetworkAddress),
    Block(NetworkCidr),
}

pub(super) fn decode_vip(wire: &proto::NetworkAddress) -> Result<Vip, DecodeError> {
    match wire.length {
        None => decode_network_address(wire).map(Vip::One),
        Some(length) => {
            let cidr = cidr(&wire.address, length)?;
            Ok(Vip::Block(NetworkCidr { network: wire.network.as_str().into(), cidr }))
        }
    }
}

pub(super) fn encode_block(block: &NetworkCidr) -> proto::NetworkAddress {
    proto::NetworkAddress {
        network: block.network.to_string(),
        address: ip_bytes(block.cidr.network()),
        length: Some(block.cidr.prefix_len().into()),
    }
}

#[cfg(test)]
mod tests;
