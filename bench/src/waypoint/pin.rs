//! Which core a process runs on.

use std::fs;

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// The load, the servers and the rest of the mesh.
pub(super) const OTHERS: usize = 0;
/// The proxy that is measured.
pub(super) const PROXY: usize = 1;

/// Keeps this process, and whoever it starts from now on, to a core.
pub(super) fn own(core: usize) -> anyhow::Result<()> {
    sched_setaffinity(Pid::from_raw(0), &only(core)?)
        .with_context(|| format!("cannot run on core {core}: this needs a machine with two"))
}

/// Keeps all threads of a process to a core.
pub(super) fn process(pid: u32, core: usize) -> anyhow::Result<()> {
    let set = only(core)?;
    let threads =
        fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    for thread in threads {
        let name = thread?.file_name();
        let number: i32 = name.to_string_lossy().parse().context("a thread without a number")?;
        sched_setaffinity(Pid::from_raw(number), &set).with_context(|| format!("cannot pin {number}"))?;
    }
    Ok(())
}

fn only(core: usize) -> anyhow::Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(set)
}
