//! What the controller is told: by its caller, or else by the environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use controller_translate::cluster::{AddressSource, Settings};
use mesh_runtime::env::{self, InvalidEnv};

use crate::admission::JwtSettings;

/// Settings of the controller.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where objects come from and statuses go.
    pub objects: ObjectSource,
    /// The certificate authority's files (`CA_DIRECTORY`).
    pub ca: PathBuf,
    /// Where proxies connect (`XDS_LISTEN_ADDRESS`).
    pub xds_address: SocketAddr,
    /// Where operators look (`ADMIN_LISTEN_ADDRESS`).
    pub admin_address: SocketAddr,
    /// Where operators give commands, from inside (`COMMAND_LISTEN_ADDRESS`).
    pub command_address: SocketAddr,
    /// More names for the controller's certificate (`SERVER_NAMES`, comma separated).
    pub server_names: Vec<String>,
    /// Accounts of node proxies, `namespace/name` (`CA_TRUSTED_NODE_ACCOUNTS`, comma separated).
    pub node_accounts: Vec<String>,
    /// What holds for the whole mesh (`CLUSTER_ID`, `NETWORK`, `TRUST_DOMAIN`, `CLUSTER_DOMAIN`,
    /// `ROOT_NAMESPACE`, `REVISION`).
    pub mesh: Settings,
}

/// Where objects come from (`SOURCE`: `directory` or `kubernetes`; without it Kubernetes
/// inside a cluster, unless there are `MANIFESTS`).
#[derive(Clone, Debug)]
pub enum ObjectSource {
    /// Manifests in directories.
    Directory(DirectorySource),
    /// The API server.
    Kubernetes(KubernetesSource),
}

/// Objects from directories.
#[derive(Clone, Debug)]
pub struct DirectorySource {
    /// Directories of manifests; of objects with one name the first counts (`MANIFESTS`, comma separated).
    pub manifests: Vec<PathBuf>,
    /// Directories of facts laid over the manifests: pods, addresses of services (`RUNTIME_MANIFESTS`).
    pub runtime: Vec<PathBuf>,
    /// Where statuses are written, if anywhere (`STATUS_DIRECTORY`).
    pub status: Option<PathBuf>,
    /// The public key (PEM) of whoever makes tokens (`TOKEN_KEY`).
    pub token_key: PathBuf,
    /// Which tokens are valid (`TOKEN_ISSUER`, `TOKEN_AUDIENCE`).
    pub tokens: JwtSettings,
}

/// Objects from the API server.
#[derive(Clone, Debug)]
pub struct KubernetesSource {
    /// What tells this replica from the others (`POD_NAME`).
    pub identity: String,
    /// Where the controller and its lease live (`POD_NAMESPACE`).
    pub namespace: String,
    /// What every waypoint has in common, if this controller deploys them (`WAYPOINT_TEMPLATE`).
    pub waypoint_template: Option<PathBuf>,
    /// Whom callers' tokens must be for (`TOKEN_AUDIENCES`, comma separated).
    pub audiences: Vec<String>,
    /// Where the API server asks about objects (`WEBHOOK_LISTEN_ADDRESS`).
    pub webhook_address: SocketAddr,
    /// The ValidatingWebhookConfiguration to keep, if any (`VALIDATION_WEBHOOK`).
    pub validation_webhook: Option<String>,
}

impl ObjectSource {
    fn from_env() -> Result<Self, InvalidEnv> {
        let inside = env::find_text("KUBERNETES_SERVICE_HOST").is_some();
        let default = match inside && paths("MANIFESTS").is_empty() {
            true => "kubernetes",
            false => "directory",
        };
        match env::text("SOURCE", default).as_str() {
            "kubernetes" => Ok(ObjectSource::Kubernetes(KubernetesSource::from_env()?)),
            "directory" => Ok(ObjectSource::Directory(DirectorySource::from_env())),
            other => Err(InvalidEnv {
                name: "SOURCE".to_owned(),
                value: other.to_owned(),
                expected: "kubernetes or directory".to_owned(),
            }),
        }
    }
}

impl DirectorySource {
    /// What the environment says, or else the defaults.
    pub fn from_env() -> Self {
        DirectorySource {
            manifests: paths("MANIFESTS"),
            runtime: paths("RUNTIME_MANIFESTS"),
            status: env::find_text("STATUS_DIRECTORY").map(PathBuf::from),
            token_key: token_key(),
            tokens: tokens(),
        }
    }
}

impl KubernetesSource {
    /// What the environment says, or else the defaults.
    pub fn from_env() -> Result<Self, InvalidEnv> {
        let host = || env::text("HOSTNAME", "adit-controller");
        let webhook = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 15017);
        Ok(KubernetesSource {
            identity: env::find_text("POD_NAME").unwrap_or_else(host),
            namespace: env::text("POD_NAMESPACE", &Settings::default().root_namespace),
            waypoint_template: env::find_text("WAYPOINT_TEMPLATE").map(PathBuf::from),
            audiences: list("TOKEN_AUDIENCES", "istio-ca"),
            webhook_address: env::parse("WEBHOOK_LISTEN_ADDRESS", webhook)?,
            validation_webhook: env::find_text("VALIDATION_WEBHOOK"),
        })
    }

    /// The lease of the leader among the controllers of one revision.
    pub(crate) fn lease(&self, revision: &str) -> String {
        match revision {
            "default" | "" => "adit-controller-leader".to_owned(),
            revision => format!("adit-controller-leader-{revision}"),
        }
    }
}

fn token_key() -> PathBuf {
    env::text("TOKEN_KEY", "./var/run/secrets/tokens/issuer.pub.pem").into()
}

fn tokens() -> JwtSettings {
    let tokens = JwtSettings::default();
    JwtSettings {
        issuer: env::text("TOKEN_ISSUER", &tokens.issuer),
        audience: env::text("TOKEN_AUDIENCE", &tokens.audience),
    }
}

fn list(name: &str, default: &str) -> Vec<String> {
    let text = env::text(name, default);
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn paths(name: &str) -> Vec<PathBuf> {
    list(name, "").into_iter().map(PathBuf::from).collect()
}

impl Config {
    /// What the environment says, or else the defaults.
    pub fn from_env() -> Result<Self, InvalidEnv> {
        let mesh = Settings::default();
        let system_namespace = env::text("POD_NAMESPACE", &mesh.root_namespace);
        let root_namespace = env::text("ROOT_NAMESPACE", &system_namespace);
        let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let objects = ObjectSource::from_env()?;
        let ca = match &objects {
            ObjectSource::Kubernetes(_) => "/etc/cacerts",
            ObjectSource::Directory(_) => "./etc/cacerts",
        };
        let auto_addresses = match &objects {
            ObjectSource::Kubernetes(_) => AddressSource::Status,
            ObjectSource::Directory(_) => AddressSource::Drawn,
        };
        Ok(Config {
            ca: env::text("CA_DIRECTORY", ca).into(),
            objects,
            xds_address: env::parse("XDS_LISTEN_ADDRESS", any(15012))?,
            admin_address: env::parse("ADMIN_LISTEN_ADDRESS", any(15014))?,
            command_address: env::parse("COMMAND_LISTEN_ADDRESS", (Ipv4Addr::LOCALHOST, 15000).into())?,
            server_names: list("SERVER_NAMES", ""),
            node_accounts: list("CA_TRUSTED_NODE_ACCOUNTS", &format!("{system_namespace}/ztunnel")),
            mesh: Settings {
                cluster_id: env::text("CLUSTER_ID", &mesh.cluster_id).into(),
                network: env::text("NETWORK", &mesh.network).into(),
                trust_domain: env::text("TRUST_DOMAIN", &mesh.trust_domain).into(),
                domain: env::text("CLUSTER_DOMAIN", &mesh.domain).into(),
                root_namespace: root_namespace.into(),
                revision: env::text("REVISION", &mesh.revision).into(),
                auto_addresses,
            },
        })
    }

    /// The names proxies may know the controller by.
    pub(crate) fn names(&self) -> Vec<String> {
        let namespace = match &self.objects {
            ObjectSource::Kubernetes(kubernetes) => kubernetes.namespace.as_str(),
            ObjectSource::Directory(_) => &self.mesh.root_namespace,
        };
        let revision = match self.mesh.revision.as_ref() {
            "default" | "" => String::new(),
            revision => format!("-{revision}"),
        };
        let hosts = ["istiod", "adit-controller"].map(|host| format!("{host}{revision}"));
        let services = hosts.iter().flat_map(|host| {
            let name = format!("{host}.{namespace}");
            [name.clone(), format!("{name}.svc"), format!("{name}.svc.{}", self.mesh.domain)]
        });
        services.chain(["localhost".to_owned()]).chain(self.server_names.iter().cloned()).collect()
    }

    /// The addresses proxies may know the controller by.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let own = self.xds_address.ip();
        if !own.is_unspecified() && !addresses.contains(&own) {
            addresses.push(own);
        }
        addresses
    }
}
