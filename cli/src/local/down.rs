//! `adit local down`: takes a mesh down, and clears up after one that crashed.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::mesh::Mesh;
use super::{alive, sweep, tools};

/// What a supervisor gets to end its pods.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(mesh: &Mesh) -> Result<()> {
    tools::check()?;
    let supervisor = alive::find_supervisor(mesh)?;
    if let Some(pid) = supervisor {
        end(mesh, pid)?;
    }
    let _lock = alive::lock(mesh, PATIENCE)?.context("the mesh is still being taken down; try again")?;
    let swept = sweep::sweep_all(mesh)?;
    match (supervisor, swept.namespaces > 0 || swept.had_files) {
        (Some(_), false) => println!("the mesh {mesh} is down"),
        (None, false) => println!("there was no mesh {mesh}"),
        (_, true) => println!(
            "the mesh {mesh} had not been taken down: {} processes and {} network namespaces were left, and are removed",
            swept.processes, swept.namespaces
        ),
    }
    Ok(())
}

/// Asks the supervisor to end, and insists if it does not. The lock was held when its number was read, so
/// the number is no other process's.
fn end(mesh: &Mesh, pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGTERM).context("telling the supervisor to end")?;
    if alive::lock(mesh, PATIENCE)?.is_none() {
        // Its sweeper goes on without it.
        kill(pid, Signal::SIGKILL).context("ending the supervisor")?;
    }
    Ok(())
}
