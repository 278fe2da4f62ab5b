//! `adit waypoint`.

use anyhow::Result;

/// Runs the waypoint, as the environment says.
pub(crate) fn run() -> Result<()> {
    ::waypoint::run(::waypoint::Config::from_env()?)
}
