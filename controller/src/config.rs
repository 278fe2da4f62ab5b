//! What the controller is told: by its caller, or else by the environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use controller_translate::cluster::Settings;
use mesh_runtime::env::{self, InvalidEnv};

use crate::admission::JwtSettings;

/// Settings of the controller.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directories of manifests; of objects with one name the first counts (`MANIFESTS`, comma separated).
    pub manifests: Vec<PathBuf>,
    /// Directories of facts laid over the manifests: pods, addresses of services (`RUNTIME_MANIFESTS`).
    pub runtime: Vec<PathBuf>,
    /// Where statuses are written, if anywhere (`STATUS_DIRECTORY`).
    pub status: Option<PathBuf>,
    /// The certificate authority's files (`CA_DIRECTORY`).
    pub ca: PathBuf,
    /// The public key (PEM) of whoever makes tokens (`TOKEN_KEY`).
    pub token_key: PathBuf,
    /// Which tokens are valid (`TOKEN_ISSUER`, `TOKEN_AUDIENCE`).
    pub tokens: JwtSettings,
    /// Where proxies connect (`XDS_LISTEN_ADDRESS`).
    pub xds_address: SocketAddr,
    /// Where operators connect (`ADMIN_LISTEN_ADDRESS`).
    pub admin_address: SocketAddr,
    /// More names for the controller's certificate (`SERVER_NAMES`, comma separated).
    pub server_names: Vec<String>,
    /// Accounts of node proxies, `namespace/name` (`CA_TRUSTED_NODE_ACCOUNTS`, comma separated).
    pub node_accounts: Vec<String>,
    /// What holds for the whole mesh (`CLUSTER_ID`, `NETWORK`, `TRUST_DOMAIN`, `CLUSTER_DOMAIN`,
    /// `ROOT_NAMESPACE`, `REVISION`).
    pub mesh: Settings,
}

impl Config {
    /// What the environment says, or else the defaults.
    pub fn from_env() -> Result<Self, InvalidEnv> {
        let list = |name: &str, default: &str| -> Vec<String> {
            let text = env::text(name, default);
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let paths = |name: &str| list(name, "").into_iter().map(PathBuf::from).collect();
        let mesh = Settings::default();
        let tokens = JwtSettings::default();
        let root_namespace = env::text("ROOT_NAMESPACE", &mesh.root_namespace);
        let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        Ok(Config {
            manifests: paths("MANIFESTS"),
            runtime: paths("RUNTIME_MANIFESTS"),
            status: env::find_text("STATUS_DIRECTORY").map(PathBuf::from),
            ca: env::text("CA_DIRECTORY", "./etc/cacerts").into(),
            token_key: env::text("TOKEN_KEY", "./var/run/secrets/tokens/issuer.pub.pem").into(),
            tokens: JwtSettings {
                issuer: env::text("TOKEN_ISSUER", &tokens.issuer),
                audience: env::text("TOKEN_AUDIENCE", &tokens.audience),
            },
            xds_address: env::parse("XDS_LISTEN_ADDRESS", any(15012))?,
            admin_address: env::parse("ADMIN_LISTEN_ADDRESS", any(15014))?,
            server_names: list("SERVER_NAMES", ""),
            node_accounts: list("CA_TRUSTED_NODE_ACCOUNTS", &format!("{root_namespace}/ztunnel")),
            mesh: Settings {
                cluster_id: env::text("CLUSTER_ID", &mesh.cluster_id).into(),
                network: env::text("NETWORK", &mesh.network).into(),
                trust_domain: env::text("TRUST_DOMAIN", &mesh.trust_domain).into(),
                domain: env::text("CLUSTER_DOMAIN", &mesh.domain).into(),
                root_namespace: root_namespace.into(),
                revision: env::text("REVISION", &mesh.revision).into(),
            },
        })
    }

    /// The names proxies may know the controller by.
    pub(crate) fn names(&self) -> Vec<String> {
        let namespace = &self.mesh.root_namespace;
        let hosts = ["istiod", "adit-controller"];
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
