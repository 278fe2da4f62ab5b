//! The proxy configuration in YAML: the text in `PROXY_CONFIG`, over the
//! `defaultConfig` of the mesh configuration file, over nothing (AD-09).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// A mesh configuration file larger than this is none.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What is read of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProxyConfig {
    /// Where the controller is.
    pub(crate) discovery_address: Option<String>,
    /// Port of the admin server.
    pub(crate) proxy_admin_port: Option<u16>,
    /// Port of the metrics server.
    pub(crate) stats_port: Option<u16>,
    /// Port of the readiness server.
    pub(crate) status_port: Option<u16>,
    /// Number of worker threads.
    pub(crate) concurrency: Option<usize>,
    /// More environment variables.
    pub(crate) proxy_metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MeshConfig {
    default_config: Option<ProxyConfig>,
}

/// A proxy configuration that cannot be used.
#[derive(Debug, Error)]
pub enum InvalidProxyConfig {
    /// It is not YAML of the right shape.
    #[error("{origin} is not a proxy configuration: {reason}; correct it or leave it out")]
    Malformed {
        /// Where the text came from.
        origin: String,
        /// What the parser says.
        reason: String,
    },
    /// The file is there but cannot be read.
    #[error("cannot read {path}: {source}; make it readable or remove it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ProxyConfig {
    /// From the text of `PROXY_CONFIG` and the mesh configuration file, each of which may be absent.
    pub(crate) fn load(text: Option<&str>, file: &Path) -> Result<Self, InvalidProxyConfig> {
        let given =
            text.map(|text| parse::<ProxyConfig>("PROXY_CONFIG", text)).transpose()?.unwrap_or_default();
        let origin = file.display().to_string();
        let in_file = read_file(file)?.map(|text| parse::<MeshConfig>(&origin, &text)).transpose()?;
        Ok(given.or(in_file.and_then(|mesh| mesh.default_config).unwrap_or_default()))
    }

    fn or(self, fallback: ProxyConfig) -> Self {
        let mut proxy_metadata = fallback.proxy_metadata;
        proxy_metadata.extend(self.proxy_metadata);
        ProxyConfig {
            discovery_address: self.discovery_address.or(fallback.discovery_address),
            proxy_admin_port: self.proxy_admin_port.or(fallback.proxy_admin_port),
            stats_port: self.stats_port.or(fallback.stats_port),
            status_port: self.status_port.or(fallback.status_port),
            concurrency: self.concurrency.or(fallback.concurrency),
            proxy_metadata,
        }
    }
}

fn parse<T: for<'de> Deserialize<'de>>(origin: &str, text: &str) -> Result<T, InvalidProxyConfig> {
    serde_saphyr::from_str(text).map_err(|error| InvalidProxyConfig::Malformed {
        origin: origin.to_owned(),
        reason: error.to_string(),
    })
}

fn read_file(path: &Path) -> Result<Option<String>, InvalidProxyConfig> {
    let unreadable = |source| InvalidProxyConfig::Unreadable { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
        Ok(file) if file.len() > LARGEST_FILE => {
            Err(unreadable(io::Error::other(format!("it is larger than {LARGEST_FILE} bytes"))))
        }
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(unreadable),
    }
}
