//! Limits of connections and requests, and the version of HTTP. As in Istio, zero is no limit.

use std::time::Duration;

use mesh_model::{Http2Keepalive, HttpLimits, TcpKeepalive, TcpLimits, UpstreamVersion};

use crate::objects::{ConnectionPoolSettings, GoDuration, H2UpgradePolicy, TcpPoolSettings};

pub(super) fn tcp(written: &TcpPoolSettings) -> TcpLimits {
    TcpLimits {
        max_connections: limit(written.max_connections),
        connect_timeout: timeout(written.connect_timeout),
        keepalive: written.tcp_keepalive.map(|it| TcpKeepalive {
            probes: it.probes.filter(|probes| *probes > 0),
            time: timeout(it.time),
            interval: timeout(it.interval),
        }),
        max_connection_duration: timeout(written.max_connection_duration),
        idle_timeout: timeout(written.idle_timeout),
    }
}

pub(super) fn http(written: &ConnectionPoolSettings) -> HttpLimits {
    let of_tcp = written.tcp.as_ref().and_then(|it| it.idle_timeout);
    let Some(http) = &written.http else {
        return HttpLimits { idle_timeout: timeout(of_tcp), ..HttpLimits::default() };
    };
    let keepalive = http.http2_keep_alive.and_then(|it| {
        let interval = timeout(it.interval)?;
        Some(Http2Keepalive { interval, timeout: timeout(it.timeout).unwrap_or(interval) })
    });
    HttpLimits {
        max_pending_requests: limit(http.http1_max_pending_requests),
        max_requests: limit(http.http2_max_requests),
        max_requests_per_connection: limit(http.max_requests_per_connection),
        max_retries: limit(http.max_retries),
        idle_timeout: timeout(http.idle_timeout.or(of_tcp)),
        max_concurrent_streams: limit(http.max_concurrent_streams),
        http2_keepalive: keepalive,
    }
}

/// A client's own version goes before an upgrade. Not to upgrade is what happens anyway: a port that declares HTTP/2
/// is spoken to in HTTP/2.
pub(super) fn version(written: &ConnectionPoolSettings) -> UpstreamVersion {
    match &written.http {
        Some(http) if http.use_client_protocol == Some(true) => UpstreamVersion::OfClient,
        Some(http) if http.h2_upgrade_policy == H2UpgradePolicy::Upgrade => UpstreamVersion::Http2,
        _ => UpstreamVersion::AsDeclared,
    }
}

fn limit(written: Option<i32>) -> Option<u32> {
    written.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

fn timeout(written: Option<GoDuration>) -> Option<Duration> {
    written.map(|it| it.0).filter(|duration| !duration.is_zero())
}
