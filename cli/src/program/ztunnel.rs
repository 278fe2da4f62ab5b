//! `adit ztunnel`, also `adit proxy ztunnel` as images of Istio are started.

use anyhow::Result;
use clap::{Args, Subcommand};

/// Arguments of `adit proxy`.
#[derive(Args, Debug)]
pub(crate) struct Proxy {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand, Debug)]
enum Role {
    /// The node proxy
    Ztunnel,
}

/// Runs `adit proxy`.
pub(crate) fn run_proxy(proxy: &Proxy) -> Result<()> {
    match proxy.role {
        Role::Ztunnel => run(),
    }
}

/// Runs the node proxy, as the environment says.
pub(crate) fn run() -> Result<()> {
    ::ztunnel::run(::ztunnel::Config::from_env()?)
}
