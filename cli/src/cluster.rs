//! The commands for a mesh in a Kubernetes cluster: bring it in, take it out.

mod charts;
mod helm;
mod install;
mod preconditions;
mod uninstall;
mod withdraw;

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};

pub(crate) use install::{Install, run as install};
pub(crate) use uninstall::{Uninstall, run as uninstall};
pub(crate) use withdraw::{Withdraw, run as withdraw};

/// The namespace that the kinds of Istio, and the tools that read them, take for granted.
const NAMESPACE: &str = "istio-system";
/// The releases, by the names of their charts.
const BASE: &str = "adit-base";
const MESH: &str = "adit";

/// A thread is enough for a command that waits for answers.
fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
