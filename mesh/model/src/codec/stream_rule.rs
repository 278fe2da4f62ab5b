//! One rule for connections, both ways.

use ipnet::IpNet;
use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::field::{at, cidr, each, ip_bytes, optional, or_empty, required};
use super::http_rule::{decode_forward, encode_forward};
use crate::{InvalidSniHost, SniHost, StreamMatch, StreamRule};

pub(super) fn decode(wire: proto::StreamRule) -> Result<StreamRule, DecodeError> {
    Ok(StreamRule {
        name: wire.name.into(),
        matches: each("matches", wire.matches, decode_match)?,
        forward: at("forward", decode_forward(required("forward", wire.forward)?))?,
    })
}

pub(super) fn encode(rule: &StreamRule) -> proto::StreamRule {
    proto::StreamRule {
        name: rule.name.to_string(),
        matches: rule.matches.iter().map(encode_match).collect(),
        forward: Some(encode_forward(&rule.forward)),
    }
}

fn decode_match(wire: proto::StreamMatch) -> Result<StreamMatch, DecodeError> {
    Ok(StreamMatch {
        sni_hosts: each("sni_hosts", wire.sni_hosts, |host| decode_host(&host))?,
        source_namespace: optional(&wire.source_namespace),
        source_subnets: each("source_subnets", wire.source_subnets, decode_subnet)?,
        destination_subnets: each("destination_subnets", wire.destination_subnets, decode_subnet)?,
    })
}

fn encode_match(wanted: &StreamMatch) -> proto::StreamMatch {
    proto::StreamMatch {
        sni_hosts: wanted.sni_hosts.iter().map(ToString::to_string).collect(),
        source_namespace: or_empty(wanted.source_namespace.as_ref()),
        source_subnets: wanted.source_subnets.iter().map(encode_subnet).collect(),
        destination_subnets: wanted.destination_subnets.iter().map(encode_subnet).collect(),
    }
}

fn decode_host(host: &str) -> Result<SniHost, DecodeError> {
    host.parse().map_err(|error: InvalidSniHost| DecodeError::new(error.to_string()))
}

fn decode_subnet(wire: proto::Subnet) -> Result<IpNet, DecodeError> {
    cidr(&wire.address, wire.length)
}

fn encode_subnet(block: &IpNet) -> proto::Subnet {
    proto::Subnet { address: ip_bytes(block.network()), length: block.prefix_len().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(change: impl FnOnce(&mut proto::StreamRule)) -> String {
        let mut wire = proto::StreamRule { forward: Some(proto::Forward::default()), ..Default::default() };
        change(&mut wire);
        decode(wire).unwrap_err().to_string()
    }

    #[test]
    fn sec_09_bad_rules_for_connections_are_rejected_with_field_and_reason() {
        let host = |host: &str| proto::StreamMatch { sni_hosts: vec![host.into()], ..Default::default() };
        for name in ["", "*", "*.", "a.*.b", "*a.example.com", "a b", "..", "a..b", &"a".repeat(300)] {
            let reason = rejected(|wire| wire.matches = vec![host(name)]);
            assert!(reason.starts_with("matches[0].sni_hosts[0]: "), "{name}: {reason}");
        }
        assert_eq!(rejected(|wire| wire.forward = None), "forward: missing");
        let subnet = proto::Subnet { address: vec![10, 0, 0, 0], length: 33 };
        let subnets = proto::StreamMatch { destination_subnets: vec![subnet], ..Default::default() };
        assert_eq!(
            rejected(|wire| wire.matches = vec![subnets]),
            "matches[0].destination_subnets[0]: 33 is no prefix length for 10.0.0.0"
        );
    }
}
