//! Removes everything that belongs to a mesh, however it ended: processes in its network namespaces, the
//! namespaces, its files. To be repeated at will.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::mesh::{Mesh, NETNS};
use super::tools;

/// How long killed processes may take to be gone.
const DEADLINE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) processes: usize,
    pub(super) namespaces: usize,
    pub(super) had_files: bool,
}

/// Removes everything of a mesh, its lock and the supervisor's log included; the caller holds the lock.
pub(super) fn sweep_all(mesh: &Mesh) -> Result<Swept> {
    let swept = sweep(mesh)?;
    for file in [mesh.supervisor_log(), mesh.lock()] {
        super::files::remove(&file)?;
    }
    Ok(swept)
}

/// Removes what stands in the way of a new mesh of this name; the caller holds the lock.
pub(super) fn sweep(mesh: &Mesh) -> Result<Swept> {
    let namespaces = namespaces(mesh)?;
    let mut swept = Swept { namespaces: namespaces.len(), ..Swept::default() };
    swept.processes = kill_all(&namespaces)?;
    // One that cannot be removed keeps none of the others. Interfaces and rules go with each.
    let removed: Vec<_> = namespaces.iter().map(|(name, _)| tools::ip(&["netns", "delete", name])).collect();
    swept.had_files = remove_all(&mesh.root())?;
    removed.into_iter().collect::<Result<()>>().map(|()| swept)
}

/// The mesh's network namespaces: name, and what identifies it.
fn namespaces(mesh: &Mesh) -> Result<Vec<(String, (u64, u64))>> {
    let entries = match fs::read_dir(NETNS) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(NETNS),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.context(NETNS)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&mesh.prefix())
            && let Ok(metadata) = fs::metadata(entry.path())
        {
            found.push((name, (metadata.dev(), metadata.ino())));
        }
    }
    Ok(found)
}

/// Kills the processes in these namespaces until there are none; how many there were.
fn kill_all(namespaces: &[(String, (u64, u64))]) -> Result<usize> {
    let inside: BTreeSet<_> = namespaces.iter().map(|(_, identity)| *identity).collect();
    let mut killed = BTreeSet::new();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut is_clear = true;
        for pid in processes()? {
            // A process that ends meanwhile is not inside.
            let Ok(metadata) = fs::metadata(format!("/proc/{pid}/ns/net")) else { continue };
            if inside.contains(&(metadata.dev(), metadata.ino())) && pid != std::process::id() as i32 {
                is_clear = false;
                killed.insert(pid);
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if is_clear || Instant::now() >= deadline {
            return Ok(killed.len());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn processes() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").context("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn remove_all(directory: &Path) -> Result<bool> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| directory.display().to_string()),
    }
}

/// Waits, as a process of its own, until its standard input ends, which is when the supervisor does, in
/// whatever way; then sweeps. Its standard output is the mesh's lock, so that nobody starts a mesh of the
/// same name meanwhile.
pub(super) fn sweep_after_supervisor(mesh: &Mesh) -> Result<()> {
    // A signal from the terminal is for the supervisor.
    nix::unistd::setsid().context("leaving the terminal")?;
    let mut nothing = [0; 64];
    let mut input = io::stdin().lock();
    while input.read(&mut nothing).is_ok_and(|length| length > 0) {}
    sweep_all(mesh).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_that_never_was_leaves_nothing_to_sweep() {
        let mesh: Mesh = "neverwas".parse().unwrap();
        assert_eq!(namespaces(&mesh).unwrap(), []);
        assert!(!remove_all(&mesh.root()).unwrap());
        assert_eq!(kill_all(&[]).unwrap(), 0);
    }

    #[test]
    fn the_own_process_is_among_the_processes() {
        assert!(processes().unwrap().contains(&(std::process::id() as i32)));
    }
}
