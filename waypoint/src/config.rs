//! What a waypoint is told from outside, all of it by environment variables.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_identity::Profile;
use mesh_model::{Identity, Uid};
use mesh_runtime::env::{self, InvalidEnv};
use mesh_runtime::shutdown;
use mesh_runtime::workers::parse_worker_threads;
use mesh_telemetry::LogEncoding;
use serde::Serialize;

/// A configuration a waypoint cannot run with.
pub type InvalidConfig = InvalidEnv;

/// What a waypoint is told from outside.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The pod it runs in.
    pub own: OwnPod,
    /// Where it is in the mesh.
    pub place: Place,
    /// The controller (`XDS_ADDRESS`, `XDS_ROOT_CA`).
    pub controller: Server,
    /// The CA (`CA_ADDRESS`, `CA_ROOT_CA`).
    pub ca: Server,
    /// The token both are asked with, or the path of a file that holds it (`AUTH_TOKEN`).
    #[serde(skip)]
    pub token: String,
    /// How long its certificates live (`SECRET_TTL`).
    pub certificate_ttl: Duration,
    /// Where it listens.
    pub ports: Ports,
    /// Where the ztunnel in front of a sandwiched waypoint hands connections over, each begun by a PROXY header
    /// (`PROXY_PROTOCOL_ADDRESS`); nowhere if nobody says. Whoever can connect there is believed.
    pub proxy_protocol: Option<SocketAddr>,
    /// Threads that carry connections (`WAYPOINT_WORKER_THREADS`).
    pub worker_threads: usize,
    /// How long connections may take to end when it does (UP-07).
    pub drain_deadline: Duration,
    /// How long it may take to see what is spoken on a port that does not say (`PROTOCOL_DETECTION_TIMEOUT`).
    pub detection_patience: Duration,
    /// Whether and how requests are logged, whatever the controller says of it (`ACCESS_LOG`).
    #[serde(skip)]
    pub access_log: RequestLog,
    /// What it may do in TLS (`COMPLIANCE_POLICY`: nothing, or `pqc`).
    #[serde(skip)]
    pub tls: Profile,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestLog {
    /// Those that the controller says.
    #[default]
    AsConfigured,
    /// None (`off`).
    Never,
    /// All (`text`, `json`).
    Always(LogEncoding),
}

/// The pod a waypoint runs in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct OwnPod {
    pub name: String,
    pub namespace: String,
    pub service_account: String,
    pub node: String,
    pub ip: IpAddr,
    /// The Gateway it was made for.
    pub gateway: String,
}

/// Where a waypoint is in the mesh.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct Place {
    pub trust_domain: String,
    pub network: String,
    pub cluster_id: String,
}

/// A part of the control plane.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// `https://host:port`.
    pub address: String,
    /// The root it is verified by: a path, PEM text or `SYSTEM`.
    pub root: String,
    /// The name it is verified for, if not the address's.
    pub verified_name: Option<String>,
}

/// Where a waypoint listens.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct Ports {
    pub hbone: u16,
    pub admin: u16,
    pub stats: u16,
    pub readiness: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Ports { hbone: 15008, admin: 15000, stats: 15020, readiness: 15021 }
    }
}

impl Config {
    /// From the environment of this process.
    pub fn from_env() -> Result<Config, InvalidConfig> {
        let own = OwnPod {
            name: required("POD_NAME")?,
            namespace: required("POD_NAMESPACE")?,
            service_account: env::text("SERVICE_ACCOUNT", "default"),
            node: env::text("NODE_NAME", ""),
            ip: required("INSTANCE_IP")?.parse().map_err(|_| expected("INSTANCE_IP", "an IP address"))?,
            // Its account has its name where nobody says (WP-01).
            gateway: env::text("GATEWAY_NAME", &env::text("SERVICE_ACCOUNT", "default")),
        };
        let cluster_id = env::text("ISTIO_META_CLUSTER_ID", &env::text("CLUSTER_ID", "Kubernetes"));
        let place = Place {
            trust_domain: env::text("TRUST_DOMAIN", "cluster.local"),
            network: env::text("NETWORK", ""),
            cluster_id,
        };
        let xds_address = env::text("XDS_ADDRESS", "https://istiod.istio-system.svc:15012");
        Ok(Config {
            own,
            place,
            ca: server("CA", env::text("CA_ADDRESS", &xds_address)),
            controller: server("XDS", xds_address),
            token: env::text("AUTH_TOKEN", "./var/run/secrets/tokens/istio-token"),
            certificate_ttl: env::duration("SECRET_TTL", Duration::from_secs(24 * 3600))?,
            ports: Ports::default(),
            proxy_protocol: address("PROXY_PROTOCOL_ADDRESS")?,
            worker_threads: worker_threads()?,
            drain_deadline: shutdown::drain_deadline()?,
            detection_patience: env::duration("PROTOCOL_DETECTION_TIMEOUT", Duration::from_secs(5))?,
            access_log: access_log(env::find_text("ACCESS_LOG").as_deref())?,
            tls: tls(env::find_text("COMPLIANCE_POLICY").as_deref())?,
        })
    }

    /// Who the waypoint proves to be.
    pub fn identity(&self) -> Identity {
        Identity::new(
            self.place.trust_domain.as_str(),
            self.own.namespace.as_str(),
            self.own.service_account.as_str(),
        )
    }

    /// What the controller calls it (wire.md §5.3).
    pub fn uid(&self) -> Uid {
        let OwnPod { name, namespace, .. } = &self.own;
        Uid(format!("{}//Pod/{namespace}/{name}", self.place.cluster_id).into())
    }
}

fn required(name: &str) -> Result<String, InvalidEnv> {
    env::find_text(name).ok_or_else(|| InvalidEnv {
        name: name.to_owned(),
        value: String::new(),
        expected: "a value; the waypoint's Deployment sets it from the pod".to_owned(),
    })
}

fn expected(name: &str, expected: &str) -> InvalidEnv {
    InvalidEnv { name: name.to_owned(), value: env::text(name, ""), expected: expected.to_owned() }
}

fn address(name: &str) -> Result<Option<SocketAddr>, InvalidEnv> {
    let text = env::find_text(name);
    let parsed = text
        .map(|text| text.parse().map_err(|_| expected(name, "an address and a port, as 127.0.0.1:15088")));
    parsed.transpose()
}

fn server(kind: &str, address: String) -> Server {
    Server {
        address,
        root: env::text(&format!("{kind}_ROOT_CA"), "./var/run/secrets/istio/root-cert.pem"),
        verified_name: env::find_text(&format!("ALT_{kind}_HOSTNAME")),
    }
}

fn worker_threads() -> Result<usize, InvalidEnv> {
    const NAME: &str = "WAYPOINT_WORKER_THREADS";
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    match env::find_text(NAME) {
        Some(text) => parse_worker_threads(&text, cpus).map_err(|error| expected(NAME, &error.to_string())),
        // What the pod's CPU limit allows (api.md §4.3).
        None => Ok(2),
    }
}

fn access_log(text: Option<&str>) -> Result<RequestLog, InvalidEnv> {
    match text {
        None => Ok(RequestLog::AsConfigured),
        Some("off") => Ok(RequestLog::Never),
        Some("text") => Ok(RequestLog::Always(LogEncoding::Text)),
        Some("json") => Ok(RequestLog::Always(LogEncoding::Json)),
        Some(_) => Err(expected("ACCESS_LOG", "off, text or json")),
    }
}

fn tls(compliance: Option<&str>) -> Result<Profile, InvalidEnv> {
    match compliance {
        None => Ok(Profile::default()),
        Some("pqc") => Ok(Profile { post_quantum_only: true, ..Profile::default() }),
        Some(_) => Err(expected("COMPLIANCE_POLICY", "pqc, or nothing")),
    }
}
