//! Becoming a process of a pod: its network, its `/etc/hosts`, its host name, its environment.
//!
//! The supervisor starts `adit local enter FILE -- COMMAND`, a process that takes these on and then
//! becomes the command; so nothing has to be done between fork and exec of a process with threads.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};
use serde::{Deserialize, Serialize};

/// This program, also when its file has been replaced by a newer one meanwhile.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";

/// What a container's processes have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Surroundings {
    /// The file of the network namespace.
    pub(super) netns: PathBuf,
    pub(super) hostname: String,
    /// Files that stand in the place of others, as source and place.
    pub(super) files: Vec<(PathBuf, PathBuf)>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: Option<PathBuf>,
}

impl Surroundings {
    /// Those of a container, as written by the supervisor.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Turns this process, which must have a single thread, into `command` in these surroundings.
    pub(super) fn become_command(&self, command: &[OsString]) -> Result<std::convert::Infallible> {
        let [program, arguments @ ..] = command else { bail!("there is no command to run") };
        let netns = fs::File::open(&self.netns).with_context(|| self.netns.display().to_string())?;
        setns(netns, CloneFlags::CLONE_NEWNET).context("entering the pod's network")?;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
            .context("leaving the machine's mounts")?;
        // What is mounted from here on stays in this process's mount namespace; what the machine mounts,
        // new network namespaces above all, comes in.
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).context("detaching mounts")?;
        for (source, place) in &self.files {
            // A machine may have no such file; its programs then do not read it either.
            if place.exists() {
                mount(Some(source), place, none, MsFlags::MS_BIND, none)
                    .with_context(|| format!("mounting {} over {}", source.display(), place.display()))?;
            }
        }
        nix::unistd::sethostname(&self.hostname).context("setting the host name")?;
        let mut command = Command::new(self.resolve(program));
        command.args(arguments).env_clear().envs(&self.environment);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Err(command.exec()).with_context(|| format!("cannot run {}", program.display()))
    }

    /// A program is looked for in the pod's path, not in ours.
    fn resolve(&self, program: &OsString) -> PathBuf {
        let program = Path::new(program);
        if program.components().count() > 1 {
            return program.to_owned();
        }
        let path = self.environment.get("PATH").map(String::as_str).unwrap_or_default();
        let candidates = path.split(':').map(|directory| Path::new(directory).join(program));
        candidates.into_iter().find(|candidate| candidate.is_file()).unwrap_or_else(|| program.to_owned())
    }
}

/// The arguments of `adit local enter`.
#[derive(Args, Debug)]
pub(super) struct Enter {
    /// The file with the container's surroundings
    surroundings: PathBuf,
    /// The process to die with
    #[arg(long)]
    parent: i32,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs `adit local enter`.
pub(super) fn enter(enter: &Enter) -> Result<std::convert::Infallible> {
    end_with(enter.parent, Signal::SIGKILL)?;
    // A session of its own: signals from the terminal are for the supervisor, which passes them on, and
    // one signal reaches what the command starts.
    setsid()?;
    Surroundings::read(&enter.surroundings)?.become_command(&enter.command)
}

/// Has this process get a signal when its parent ends.
pub(super) fn end_with(parent: i32, signal: Signal) -> Result<()> {
    set_pdeathsig(signal)?;
    // It may have ended before the kernel was asked.
    if getppid().as_raw() != parent {
        bail!("the process that started this one is gone");
    }
    Ok(())
}
