//! `adit local exec`: runs a command in a pod.

use std::convert::Infallible;
use std::ffi::OsString;

use anyhow::{Context, Result};
use clap::Args;

use super::launch::Surroundings;
use super::lookup::find_pod;
use super::mesh::Mesh;

/// Run a command in a pod
#[derive(Args, Debug)]
pub(super) struct Exec {
    /// Its name, or the beginning of it
    pod: String,
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// Whose environment to take; the first container's else
    #[arg(long, short = 'c')]
    container: Option<String>,
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Becomes the command.
pub(super) fn run(mesh: &Mesh, exec: &Exec) -> Result<Infallible> {
    let pod = find_pod(mesh, &exec.pod, exec.namespace.as_deref())?;
    let container = pod.container(exec.container.as_deref())?;
    let path = mesh.containers().join(format!("{}.{container}.json", pod.uid));
    let mut surroundings = Surroundings::read(&path).context("the pod is not running")?;
    // The command is at this terminal, not at the container's.
    if let Ok(terminal) = std::env::var("TERM") {
        surroundings.environment.insert("TERM".to_owned(), terminal);
    }
    surroundings.become_command(&exec.command)
}
