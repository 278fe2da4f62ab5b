//! `adit node-agent`.

use anyhow::Result;
use mesh_runtime::logging::{self, Format};

/// Runs the node agent, as the environment says.
pub(crate) fn run() -> Result<()> {
    let levels = logging::init(Format::from_env(), "info")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(::ztunnel_agent::run(::ztunnel_agent::Config::from_env()?, Some(levels)))
}
