//! `adit controller`. Flags stand above the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::controller::Config;
use ::controller::config::{DirectorySource, ObjectSource};
use anyhow::Result;
use clap::Args;

/// Enough for what is signed and sent at once; a burst must not take the whole machine.
const THREADS: usize = 2;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A directory of manifests instead of the API server; of objects with one name the first counts
    #[arg(long, value_name = "DIRECTORY")]
    manifests: Vec<PathBuf>,
    /// A directory of facts laid over the manifests: pods, addresses of services
    #[arg(long, value_name = "DIRECTORY")]
    runtime: Vec<PathBuf>,
    /// Where to write statuses
    #[arg(long, value_name = "DIRECTORY")]
    status: Option<PathBuf>,
    /// The certificate authority's files; made if there are none
    #[arg(long, value_name = "DIRECTORY")]
    ca: Option<PathBuf>,
    /// The public key of whoever makes tokens
    #[arg(long, value_name = "FILE")]
    token_key: Option<PathBuf>,
    /// Where proxies connect
    #[arg(long, value_name = "ADDRESS")]
    xds_address: Option<SocketAddr>,
    /// Where operators connect
    #[arg(long, value_name = "ADDRESS")]
    admin_address: Option<SocketAddr>,
}

impl Arguments {
    fn config(self) -> Result<Config> {
        let mut config = Config::from_env()?;
        let is_directory = !self.manifests.is_empty();
        if is_directory && !matches!(config.objects, ObjectSource::Directory(_)) {
            config.objects = ObjectSource::Directory(DirectorySource::from_env());
        }
        if let ObjectSource::Directory(source) = &mut config.objects {
            if is_directory {
                source.manifests = self.manifests;
            }
            if !self.runtime.is_empty() {
                source.runtime = self.runtime;
            }
            source.status = self.status.or(source.status.take());
            source.token_key = self.token_key.unwrap_or(std::mem::take(&mut source.token_key));
        }
        Ok(Config {
            ca: self.ca.unwrap_or(config.ca),
            xds_address: self.xds_address.unwrap_or(config.xds_address),
            admin_address: self.admin_address.unwrap_or(config.admin_address),
            ..config
        })
    }
}

/// Runs the controller.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let config = arguments.config()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(::controller::run(config))
}
