//! How endpoints are chosen and spoken to, both ways.

mod limits;
mod load_balancer;
mod outlier_detection;
mod tls;

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::field::{at, by_port, each, known, percent_of, port, required};
use crate::{PortTraffic, ProxyProtocolVersion, RetryBudget, TrafficPolicy, UpstreamVersion};

pub(super) fn decode(field: &str, wire: Vec<proto::PortTraffic>) -> Result<PortTraffic, DecodeError> {
    by_port(field, each(field, wire, decode_port)?)
}

pub(super) fn encode(traffic: &PortTraffic) -> Vec<proto::PortTraffic> {
    let entry = |(port, policy): (&u16, &TrafficPolicy)| proto::PortTraffic {
        port: (*port).into(),
        policy: Some(encode_policy(policy)),
    };
    traffic.iter().map(entry).collect()
}

fn decode_port(wire: proto::PortTraffic) -> Result<(u16, TrafficPolicy), DecodeError> {
    let policy = at("policy", decode_policy(required("policy", wire.policy)?))?;
    Ok((port("port", wire.port)?, policy))
}

fn decode_policy(wire: proto::TrafficPolicy) -> Result<TrafficPolicy, DecodeError> {
    let balancer = wire.load_balancer.unwrap_or_default();
    let outliers = wire.outlier_detection.map(outlier_detection::decode).transpose();
    Ok(TrafficPolicy {
        load_balancer: at("load_balancer", load_balancer::decode(balancer))?,
        tcp: at("tcp", limits::decode_tcp(wire.tcp.unwrap_or_default()))?,
        http: at("http", limits::decode_http(wire.http.unwrap_or_default()))?,
        outlier_detection: at("outlier_detection", outliers)?,
        tls: at("tls", wire.tls.map(tls::decode).transpose())?,
        proxy_protocol: match known("proxy_protocol", wire.proxy_protocol)? {
            proto::ProxyProtocol::None => None,
            proto::ProxyProtocol::V1 => Some(ProxyProtocolVersion::V1),
            proto::ProxyProtocol::V2 => Some(ProxyProtocolVersion::V2),
        },
        http_version: match known("http_version", wire.http_version)? {
            proto::UpstreamVersion::AsDeclared => UpstreamVersion::AsDeclared,
            proto::UpstreamVersion::Http1 => UpstreamVersion::Http1,
            proto::UpstreamVersion::Http2 => UpstreamVersion::Http2,
            proto::UpstreamVersion::OfClient => UpstreamVersion::OfClient,
        },
        retry_budget: at("retry_budget", wire.retry_budget.map(decode_budget).transpose())?,
    })
}

fn encode_policy(policy: &TrafficPolicy) -> proto::TrafficPolicy {
    proto::TrafficPolicy {
        load_balancer: load_balancer::encode(&policy.load_balancer),
        tcp: limits::encode_tcp(&policy.tcp),
        http: limits::encode_http(&policy.http),
        outlier_detection: policy.outlier_detection.as_ref().map(outlier_detection::encode),
        tls: policy.tls.as_ref().map(tls::encode),
        proxy_protocol: match policy.proxy_protocol {
            None => proto::ProxyProtocol::None,
            Some(ProxyProtocolVersion::V1) => proto::ProxyProtocol::V1,
            Some(ProxyProtocolVersion::V2) => proto::ProxyProtocol::V2,
        }
        .into(),
        http_version: match policy.http_version {
            UpstreamVersion::AsDeclared => proto::UpstreamVersion::AsDeclared,
            UpstreamVersion::Http1 => proto::UpstreamVersion::Http1,
            UpstreamVersion::Http2 => proto::UpstreamVersion::Http2,
            UpstreamVersion::OfClient => proto::UpstreamVersion::OfClient,
        }
        .into(),
        retry_budget: policy.retry_budget.map(|budget| proto::RetryBudget {
            percent: budget.percent,
            min_concurrency: budget.min_concurrency,
        }),
    }
}

fn decode_budget(wire: proto::RetryBudget) -> Result<RetryBudget, DecodeError> {
    let percent = percent_of("percent", wire.percent)?;
    Ok(RetryBudget { percent, min_concurrency: wire.min_concurrency })
}

#[cfg(test)]
mod tests;
