//! One process of a pod and what it starts.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::local::launch::OWN_PROGRAM;

/// A process that leads a session of its own; dropped, it and all of its session are killed.
pub(super) struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    /// Starts a command in the surroundings described by a file, its output appended to `log`.
    ///
    /// To be called on a thread that lives as long as the mesh: the kernel ends the process with the thread.
    pub(super) fn start(surroundings: &Path, command: &[String], log: &Path) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(OWN_PROGRAM)
            .args(["local", "enter", "--parent", &std::process::id().to_string()])
            .arg(surroundings)
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        // There is a number until the end has been waited for.
        let pid = child.id().unwrap_or_default();
        Ok(Process { child, pid })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it: asks first, and insists after `grace`.
    pub(super) async fn end(mut self, grace: Duration) -> io::Result<()> {
        if self.child.id().is_some() {
            self.signal(Signal::SIGTERM);
            if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
                self.signal(Signal::SIGKILL);
                self.child.wait().await?;
            }
        }
        Ok(())
    }

    /// To the session it leads; until it does, to itself.
    fn signal(&self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().filter(|pid| *pid > 0).map(Pid::from_raw) else {
            return;
        };
        // Either may have ended by itself. Its number is free for others only once its whole group is gone.
        if killpg(pid, signal).is_err() && self.child.id().is_some() {
            let _ = kill(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
