//! What ztunnel is told from outside: environment variables (wire.md §10), over
//! the `proxyMetadata` of the proxy configuration, over defaults.

mod control_plane;
mod dns;
mod proxy_config;
#[cfg(test)]
mod tests;
mod variables;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_runtime::env::InvalidEnv;
use mesh_runtime::workers::parse_worker_threads;
use serde::Serialize;
use thiserror::Error;

pub use control_plane::{ControlPlane, Endpoint, Secret};
pub use dns::Dns;
pub use proxy_config::InvalidProxyConfig;
use proxy_config::ProxyConfig;
pub use variables::Variables;
use variables::invalid;

/// The mesh configuration file beside the process, if there is one.
const MESH_CONFIG_FILE: &str = "./etc/istio/config/mesh";

/// What ztunnel is told from outside. Each part of the program is handed its own group.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The pod this ztunnel runs in.
    pub own: OwnPod,
    /// Where it is in the mesh.
    pub place: Place,
    /// Controller and CA.
    pub control_plane: ControlPlane,
    /// Where the node agent listens.
    pub zds_socket: PathBuf,
    /// How connections are carried.
    pub data_path: DataPath,
    /// Accept TLS 1.2 too, from proxies that have nothing newer (HB-01).
    pub tls12: bool,
    /// Agree on keys by X25519MLKEM768 alone, which a quantum computer does not break either (HB-30).
    pub post_quantum_only: bool,
    /// The file of revocation lists to hold against peers; none: nothing is ever revoked (ID-14).
    pub revocation_lists: Option<PathBuf>,
    /// How the pods' names are answered.
    pub dns: Dns,
    /// Ports of ztunnel itself.
    pub ports: OwnPorts,
    /// Threads that carry connections.
    pub worker_threads: usize,
    /// How long connections may take to end when ztunnel does (UP-07).
    pub drain_deadline: Duration,
}

/// The pod ztunnel runs in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct OwnPod {
    pub name: String,
    pub namespace: String,
    pub service_account: String,
    pub node: String,
    pub ip: Option<IpAddr>,
}

/// Where ztunnel is in the mesh.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Part of the identity of the node's pods.
    pub trust_domain: String,
    /// The network of the node's addresses.
    pub network: String,
    /// Part of the names of the node's workloads.
    pub cluster_id: String,
    /// Wins among services of one address where nothing else decides.
    pub preferred_service_namespace: Option<String>,
}

/// How connections are carried.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataPath {
    /// Mark of every socket in a pod's network namespace.
    pub packet_mark: u32,
    /// Whether two ztunnels may listen in a pod together, for an upgrade.
    pub reuse_port: bool,
    /// Listen on IPv6 too.
    pub ipv6: bool,
    /// Keep the client's address towards the application: must, never, or when possible.
    pub original_source: Option<bool>,
    /// Application tunnels are delivered on the loopback address.
    pub localhost_application_tunnel: bool,
    /// Tell the other side of a tunnel about the destination workload, and listen when told.
    pub response_baggage: bool,
    /// What dry-run policies would have done is logged at level info, not debug.
    pub log_dry_run: bool,
    /// When a connection without traffic is probed; none: never.
    pub keepalive: Option<KeepaliveTimes>,
    /// Give up on unacknowledged data after as long as keepalive would take.
    pub user_timeout: bool,
    /// Limits of the tunnels.
    pub tunnel: TunnelLimits,
}

/// When a connection without traffic is probed (CAP-25).
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct KeepaliveTimes {
    pub idle: Duration,
    pub interval: Duration,
    pub retries: u32,
}

/// Limits of the tunnels (wire.md §2).
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelLimits {
    /// Bytes one stream may have in flight.
    pub stream_window: u32,
    /// Bytes all streams of a connection may have in flight.
    pub connection_window: u32,
    /// Bytes of one frame.
    pub frame_size: u32,
    /// Streams of one connection.
    pub streams_per_connection: u16,
    /// When a connection without streams is closed.
    pub idle_release: Duration,
}

/// Ports of ztunnel itself (AD-11).
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct OwnPorts {
    pub admin: u16,
    pub stats: u16,
    pub readiness: u16,
}

/// A configuration ztunnel cannot run with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A variable's value is none of its kind.
    #[error(transparent)]
    Variable(#[from] InvalidEnv),
    /// The proxy configuration cannot be used.
    #[error(transparent)]
    ProxyConfig(#[from] InvalidProxyConfig),
    /// Something is asked for that this version cannot do; ignoring it could do harm.
    #[error("environment variable {name} asks for {what}, which this version does not offer; remove it")]
    Unsupported {
        /// The variable.
        name: &'static str,
        /// What it asks for.
        what: &'static str,
    },
    /// Names of services that nobody has asked for yet cannot be answered.
    #[error(
        "environment variable XDS_ON_DEMAND asks for resources on demand, with which names cannot be answered; \
         set DNS_CAPTURE to false"
    )]
    NamesOnDemand,
}

impl Config {
    /// From the environment of this process and the files it points to.
    pub fn from_env() -> Result<Self, ConfigError> {
        Config::read(Variables::of_this_process(), Path::new(MESH_CONFIG_FILE))
    }

    /// From variables and a mesh configuration file that may be absent.
    pub fn read(mut variables: Variables, mesh_config: &Path) -> Result<Self, ConfigError> {
        let proxy_config = ProxyConfig::load(variables.find("PROXY_CONFIG"), mesh_config)?;
        variables.fill_from(&proxy_config.proxy_metadata);
        refuse_unsupported(&variables)?;
        let own = OwnPod::read(&variables)?;
        let place = Place {
            trust_domain: variables.text("TRUST_DOMAIN", "cluster.local"),
            network: variables.text("NETWORK", ""),
            cluster_id: variables
                .find("ISTIO_META_CLUSTER_ID")
                .unwrap_or(&variables.text("CLUSTER_ID", "Kubernetes"))
                .to_owned(),
            // Spelled so everywhere.
            preferred_service_namespace: variables.find("PREFERED_SERVICE_NAMESPACE").map(str::to_owned),
        };
        let data_path = DataPath::read(&variables)?;
        let dns = Dns::read(&variables, data_path.ipv6)?;
        let control_plane = ControlPlane::read(&variables, &proxy_config, &own, &place)?;
        if control_plane.on_demand && !dns.listen.is_empty() {
            return Err(ConfigError::NamesOnDemand);
        }
        Ok(Config {
            control_plane,
            own,
            place,
            tls12: variables.boolean("TLS12_ENABLED", false)?,
            post_quantum_only: variables.find("COMPLIANCE_POLICY").is_some(),
            revocation_lists: variables.find("CRL_PATH").map(PathBuf::from),
            zds_socket: variables.text("INPOD_UDS", "/var/run/ztunnel/ztunnel.sock").into(),
            dns,
            data_path,
            ports: OwnPorts {
                admin: proxy_config.proxy_admin_port.unwrap_or(15000),
                stats: proxy_config.stats_port.unwrap_or(15020),
                readiness: proxy_config.status_port.unwrap_or(15021),
            },
            worker_threads: worker_threads(&variables, proxy_config.concurrency)?,
            drain_deadline: drain_deadline(&variables)?,
        })
    }
}

impl OwnPod {
    fn read(variables: &Variables) -> Result<Self, InvalidEnv> {
        Ok(OwnPod {
            name: variables.text("POD_NAME", ""),
            namespace: variables.text("POD_NAMESPACE", ""),
            service_account: variables.text("SERVICE_ACCOUNT", ""),
            node: variables.text("NODE_NAME", ""),
            ip: variables.find_parsed("INSTANCE_IP")?,
        })
    }
}

impl DataPath {
    fn read(variables: &Variables) -> Result<Self, InvalidEnv> {
        let probed = variables.boolean("KEEPALIVE_ENABLED", true)?;
        let keepalive = KeepaliveTimes {
            idle: variables.duration("KEEPALIVE_TIME", Duration::from_secs(180))?,
            interval: variables.duration("KEEPALIVE_INTERVAL", Duration::from_secs(180))?,
            retries: variables.parse("KEEPALIVE_RETRIES", 9)?,
        };
        Ok(DataPath {
            packet_mark: variables.parse("PACKET_MARK", mesh_net::socket::PACKET_MARK)?,
            reuse_port: variables.boolean("INPOD_PORT_REUSE", true)?,
            ipv6: variables.boolean("IPV6_ENABLED", true)?,
            original_source: variables.find_boolean("ENABLE_ORIG_SRC")?,
            localhost_application_tunnel: variables.boolean("LOCALHOST_APP_TUNNEL", true)?,
            response_baggage: variables.boolean("ENABLE_RESPONSE_BAGGAGE", true)?,
            log_dry_run: variables.boolean("AUTHZ_POLICY_INFO_LOGGING", false)?,
            keepalive: probed.then_some(keepalive),
            user_timeout: variables.boolean("USER_TIMEOUT_ENABLED", false)?,
            tunnel: TunnelLimits::read(variables)?,
        })
    }
}

impl TunnelLimits {
    fn read(variables: &Variables) -> Result<Self, InvalidEnv> {
        const MIB: u32 = 1024 * 1024;
        let number = |name: &str, default: u32, allowed: std::ops::RangeInclusive<u32>| {
            let value = variables.parse(name, default)?;
            if allowed.contains(&value) {
                return Ok(value);
            }
            let expected = format!("a number from {} to {}", allowed.start(), allowed.end());
            Err(invalid(name, &value.to_string(), expected))
        };
        // The limits of RFC 9113 §6.5.2 and §6.9.1.
        let window = 65_535..=(1 << 31) - 1;
        let streams = number("POOL_MAX_STREAMS_PER_CONNECTION", 100, 1..=u32::from(u16::MAX))?;
        Ok(TunnelLimits {
            stream_window: number("HTTP2_STREAM_WINDOW_SIZE", 4 * MIB, window.clone())?,
            connection_window: number("HTTP2_CONNECTION_WINDOW_SIZE", 16 * MIB, window)?,
            frame_size: number("HTTP2_FRAME_SIZE", MIB, 16_384..=(1 << 24) - 1)?,
            streams_per_connection: streams.try_into().unwrap_or(u16::MAX),
            idle_release: variables.duration("POOL_UNUSED_RELEASE_TIMEOUT", Duration::from_secs(300))?,
        })
    }
}

/// What would change security or reachability if it were silently ignored.
fn refuse_unsupported(variables: &Variables) -> Result<(), ConfigError> {
    let is =
        |name: &str, value: &str| variables.find(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
    let given = |name: &str| variables.find(name).is_some();
    let asked = [
        ("PROXY_MODE", is("PROXY_MODE", "dedicated"), "a proxy of a single workload"),
        ("ENABLE_PROXY", is("ENABLE_PROXY", "false"), "a ztunnel that does not proxy"),
        ("FAKE_CA", is("FAKE_CA", "true"), "made-up certificates"),
        ("LOCAL_XDS", given("LOCAL_XDS"), "configuration without a controller"),
        ("LOCAL_XDS_PATH", given("LOCAL_XDS_PATH"), "configuration without a controller"),
        ("UNSTABLE_ENABLE_SOCKS5", is("UNSTABLE_ENABLE_SOCKS5", "true"), "a SOCKS5 proxy"),
        (
            "COMPLIANCE_POLICY",
            given("COMPLIANCE_POLICY") && !is("COMPLIANCE_POLICY", "pqc"),
            "another set of key exchange groups than pqc",
        ),
    ];
    match asked.into_iter().find(|(_, asked, _)| *asked) {
        Some((name, _, what)) => Err(ConfigError::Unsupported { name, what }),
        None => Ok(()),
    }
}

/// Two at least, so that one busy connection does not hold up all others.
fn worker_threads(variables: &Variables, concurrency: Option<usize>) -> Result<usize, InvalidEnv> {
    const NAME: &str = "ZTUNNEL_WORKER_THREADS";
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    if let Some(text) = variables.find(NAME) {
        return parse_worker_threads(text, cpus).map_err(|error| invalid(NAME, text, error));
    }
    if let Some(count @ 1..) = concurrency {
        return Ok(count.min(cpus.max(2)));
    }
    let requested: Option<usize> = variables.find_parsed("ZTUNNEL_RESOURCE_CPU_REQUEST")?;
    Ok(requested.unwrap_or(2).clamp(2, cpus.max(2)))
}

fn drain_deadline(variables: &Variables) -> Result<Duration, InvalidEnv> {
    if let Some(deadline) = variables.find_duration("CONNECTION_TERMINATION_DEADLINE")? {
        return Ok(deadline);
    }
    // Leaves time to exit before the grace period ends with SIGKILL.
    Ok(Duration::from_secs(match variables.find_parsed::<u64>("TERMINATION_GRACE_PERIOD_SECONDS")? {
        None => 5,
        Some(grace) if grace > 10 => grace - 5,
        Some(grace) => grace.saturating_sub(1).max(1),
    }))
}
