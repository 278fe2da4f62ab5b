//! How a waypoint chooses the endpoints of a service and speaks to them: what a
//! DestinationRule asks for (api.md §3.4), merged so that each policy is whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::SmallMap;

/// Policies by service port; port 0 speaks for the ports without an entry of their own.
pub type PortTraffic = SmallMap<u16, TrafficPolicy>;

/// What holds for the traffic to a service port, or to a subset there. The default is what holds without any policy.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the names say it
pub struct TrafficPolicy {
    pub load_balancer: LoadBalancer,
    pub tcp: TcpLimits,
    pub http: HttpLimits,
    pub outlier_detection: Option<OutlierDetection>,
    /// Spoken to endpoints, inside the tunnel to those that have one (L7-18).
    pub tls: Option<UpstreamTls>,
    pub proxy_protocol: Option<ProxyProtocolVersion>,
    pub http_version: UpstreamVersion,
    pub retry_budget: Option<RetryBudget>,
}

/// How endpoints are chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadBalancer {
    /// Among those that come into question.
    pub choice: Choice,
    /// None: places count only as far as the service's own preferences say.
    pub locality: Option<LocalityPreference>,
    /// New endpoints get their share step by step.
    pub warmup: Option<Warmup>,
}

/// A way to choose an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Choice {
    /// The one of two with fewer requests on their way.
    #[default]
    LeastRequest,
    /// Any, by weight.
    Random,
    /// One after the other, by weight.
    RoundRobin,
    /// What is alike goes to the same one.
    ConsistentHash(ConsistentHash),
}

/// What is alike goes to the same endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistentHash {
    /// What requests have to have in common.
    pub key: HashKey,
    /// How endpoints share the values.
    pub algorithm: HashAlgorithm,
}

/// What requests have to have in common to go to the same endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum HashKey {
    /// A header's value; its name in lower case.
    Header(Arc<str>),
    /// A cookie's value.
    Cookie(HashCookie),
    /// The client's address.
    SourceIp,
    /// The value of a parameter in the query.
    QueryParameter(Arc<str>),
}

/// A cookie that tells clients apart.
#[derive(Clone, Debug, PartialEq)]
pub struct HashCookie {
    /// Its name.
    pub name: Arc<str>,
    /// The path it is for, if the waypoint makes it.
    pub path: Option<Arc<str>>,
    /// How long clients keep one that the waypoint makes, zero for as long as they run;
    /// none: it makes none.
    pub ttl: Option<Duration>,
    /// Further attributes of one that the waypoint makes; those without a value are flags.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

/// How endpoints share the values of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// Points on a ring, at least so many.
    Ring {
        /// The points.
        minimum_size: u64,
    },
    /// A table of that size.
    Maglev {
        /// Its places.
        table_size: u64,
    },
}

/// A size that a ring or a table cannot have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{size} is not possible; use {possible}")]
pub struct InvalidHashSize {
    size: u64,
    possible: &'static str,
}

impl HashAlgorithm {
    /// A ring: 1 to 8 Mi points, as in Envoy.
    pub fn ring(minimum_size: u64) -> Result<Self, InvalidHashSize> {
        match minimum_size {
            1..=0x80_0000 => Ok(HashAlgorithm::Ring { minimum_size }),
            size => Err(InvalidHashSize { size, possible: "1 to 8388608" }),
        }
    }

    /// A table: its size is a prime number, at most 5000011, as in Envoy.
    pub fn maglev(table_size: u64) -> Result<Self, InvalidHashSize> {
        match table_size {
            2..=5_000_011 if is_prime(table_size) => Ok(HashAlgorithm::Maglev { table_size }),
            size => Err(InvalidHashSize { size, possible: "a prime number up to 5000011" }),
        }
    }
}

/// A ring of 1024 points.
impl Default for HashAlgorithm {
    fn default() -> Self {
        HashAlgorithm::Ring { minimum_size: 1024 }
    }
}

/// Of numbers above 1.
fn is_prime(number: u64) -> bool {
    (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

/// Shares by place, in per cent.
pub type LocalityShares = BTreeMap<Arc<str>, u32>;

/// Which places get traffic, by that of the waypoint. Places are `region/zone/subzone`;
/// the last parts may be missing, and `*` stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalityPreference {
    /// Shares for traffic from a place, in per cent; the first entry that fits counts.
    pub distribute: Vec<(Arc<str>, LocalityShares)>,
    /// The region that takes over from another.
    pub failover: Vec<(Arc<str>, Arc<str>)>,
    /// Labels, `name` or `name=value`, most significant first: endpoints that have more of
    /// them in common with the waypoint go first.
    pub failover_priority: Vec<Arc<str>>,
}

/// How new endpoints get their share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// How long it takes until they have all of it.
    pub duration: Duration,
    /// What they begin with, 0 to 100.
    pub minimum_percent: f64,
    /// 1: evenly; more: slowly first.
    pub aggression: f64,
}

/// Limits of connections; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TcpLimits {
    pub max_connections: Option<u32>,
    pub connect_timeout: Option<Duration>,
    pub keepalive: Option<TcpKeepalive>,
    pub max_connection_duration: Option<Duration>,
    pub idle_timeout: Option<Duration>,
}

/// Probes of the kernel; none: as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct TcpKeepalive {
    pub probes: Option<u32>,
    pub time: Option<Duration>,
    pub interval: Option<Duration>,
}

/// Limits of requests; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct HttpLimits {
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    pub max_requests: Option<u32>,
    pub max_requests_per_connection: Option<u32>,
    /// Retries at the same time.
    pub max_retries: Option<u32>,
    pub idle_timeout: Option<Duration>,
    pub max_concurrent_streams: Option<u32>,
    pub http2_keepalive: Option<Http2Keepalive>,
}

/// Pings of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Http2Keepalive {
    pub interval: Duration,
    pub timeout: Duration,
}

/// When an endpoint is left out for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// How often those left out are looked at.
    pub interval: Duration,
    /// How long the first time lasts; each further time as much longer.
    pub base_ejection_time: Duration,
    /// At most this share is left out, but always one.
    pub max_ejection_percent: u32,
    /// Below this share of healthy endpoints nobody is left out.
    pub min_health_percent: u32,
    /// 502, 503, 504 and failures, one after the other; none: off.
    pub consecutive_gateway_errors: Option<u32>,
    /// Errors one after the other; none: off.
    pub consecutive_errors: Option<u32>,
    /// Failures to connect, one after the other, if they count by themselves.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Failures to connect count by themselves, not as errors.
    pub split_local_origin_errors: bool,
    /// What counts as an error; empty: 500 to 599.
    pub error_codes: Vec<u16>,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name asked for; none: the request's host.
    pub sni: Option<Arc<str>>,
    /// One of these names has to be in the certificate; empty: the one asked for.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Which certificates are good.
    pub trust: TlsTrust,
    /// The waypoint's own certificate, if it shows one.
    pub client: Option<TlsClient>,
}

/// Which certificates are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsTrust {
    /// Those the system trusts.
    System,
    /// Those signed by a certificate in a file of the waypoint's pod.
    File(Arc<str>),
    /// Those signed by one of these certificates; an empty text trusts nobody.
    Pem(Arc<str>),
    /// All.
    Unverified,
}

/// A certificate and its key, in files of the waypoint's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TlsClient {
    pub certificate_file: Arc<str>,
    pub key_file: Arc<str>,
}

/// What goes before a connection's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ProxyProtocolVersion {
    V1,
    V2,
}

/// The version of HTTP spoken to endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamVersion {
    /// As the port declares.
    #[default]
    AsDeclared,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// That of the client's request.
    OfClient,
}

/// How many requests may be retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Of the requests on their way; 0 to 100.
    pub percent: f64,
    /// So many are always allowed.
    pub min_concurrency: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_and_tables_have_the_sizes_that_envoy_takes() {
        for size in [1, 1024, 8 << 20] {
            assert_eq!(HashAlgorithm::ring(size), Ok(HashAlgorithm::Ring { minimum_size: size }));
        }
        for size in [2, 3, 65_537, 5_000_011] {
            assert_eq!(HashAlgorithm::maglev(size), Ok(HashAlgorithm::Maglev { table_size: size }));
        }
        for size in [0, (8 << 20) + 1] {
            assert!(HashAlgorithm::ring(size).is_err(), "{size}");
        }
        for size in [0, 1, 4, 9, 65_536, 5_000_010, 5_000_077] {
            assert!(HashAlgorithm::maglev(size).is_err(), "{size}");
        }
    }
}
