//! Limits of connections and of requests, both ways. Zero is no limit, but where the wire tells it from nothing.

use mesh_proto::adit::waypoint::v1 as proto;

use crate::codec::DecodeError;
use crate::codec::duration::{decode_positive, decode_timeout, encode as encode_duration};
use crate::codec::field::at;
use crate::{Http2Keepalive, HttpLimits, TcpKeepalive, TcpLimits};

pub(super) fn decode_tcp(wire: proto::TcpLimits) -> Result<TcpLimits, DecodeError> {
    Ok(TcpLimits {
        max_connections: wire.max_connections,
        connect_timeout: decode_timeout("connect_timeout", wire.connect_timeout)?,
        keepalive: at("keepalive", wire.keepalive.map(decode_keepalive).transpose())?,
        max_connection_duration: decode_timeout("max_connection_duration", wire.max_connection_duration)?,
        idle_timeout: decode_timeout("idle_timeout", wire.idle_timeout)?,
    })
}

pub(super) fn encode_tcp(limits: &TcpLimits) -> Option<proto::TcpLimits> {
    (*limits != TcpLimits::default()).then(|| proto::TcpLimits {
        max_connections: limits.max_connections,
        connect_timeout: limits.connect_timeout.map(encode_duration),
        keepalive: limits.keepalive.map(|keepalive| proto::TcpKeepalive {
            probes: keepalive.probes.unwrap_or(0),
            time: keepalive.time.map(encode_duration),
            interval: keepalive.interval.map(encode_duration),
        }),
        max_connection_duration: limits.max_connection_duration.map(encode_duration),
        idle_timeout: limits.idle_timeout.map(encode_duration),
    })
}

fn decode_keepalive(wire: proto::TcpKeepalive) -> Result<TcpKeepalive, DecodeError> {
    Ok(TcpKeepalive {
        probes: unless_zero(wire.probes),
        time: decode_timeout("time", wire.time)?,
        interval: decode_timeout("interval", wire.interval)?,
    })
}

pub(super) fn decode_http(wire: proto::HttpLimits) -> Result<HttpLimits, DecodeError> {
    let keepalive = wire.http2_keepalive.map(decode_http2_keepalive).transpose();
    Ok(HttpLimits {
        max_pending_requests: wire.max_pending_requests,
        max_requests: wire.max_requests,
        max_requests_per_connection: unless_zero(wire.max_requests_per_connection),
        max_retries: wire.max_retries,
        idle_timeout: decode_timeout("idle_timeout", wire.idle_timeout)?,
        max_concurrent_streams: unless_zero(wire.max_concurrent_streams),
        http2_keepalive: at("http2_keepalive", keepalive)?,
    })
}

pub(super) fn encode_http(limits: &HttpLimits) -> Option<proto::HttpLimits> {
    (*limits != HttpLimits::default()).then(|| proto::HttpLimits {
        max_pending_requests: limits.max_pending_requests,
        max_requests: limits.max_requests,
        max_requests_per_connection: limits.max_requests_per_connection.unwrap_or(0),
        max_retries: limits.max_retries,
        idle_timeout: limits.idle_timeout.map(encode_duration),
        max_concurrent_streams: limits.max_concurrent_streams.unwrap_or(0),
        http2_keepalive: limits.http2_keepalive.map(|keepalive| proto::Http2Keepalive {
            interval: Some(encode_duration(keepalive.interval)),
            timeout: Some(encode_duration(keepalive.timeout)),
        }),
    })
}

fn decode_http2_keepalive(wire: proto::Http2Keepalive) -> Result<Http2Keepalive, DecodeError> {
    let interval = decode_positive("interval", wire.interval)?;
    Ok(Http2Keepalive { interval, timeout: decode_positive("timeout", wire.timeout)? })
}

fn unless_zero(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}
