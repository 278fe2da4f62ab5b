//! Running Helm. Its templates are a language of their own, which only Helm itself speaks whole: a second
//! implementation would install something slightly different.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// A call of Helm.
pub(super) struct Helm {
    command: Command,
    verb: &'static str,
}

impl Helm {
    /// `helm VERB --namespace NAMESPACE`.
    pub(super) fn new(verb: &'static str, namespace: &str) -> Self {
        let mut command = Command::new("helm");
        command.args([verb, "--namespace", namespace]);
        Helm { command, verb }
    }

    /// More arguments.
    pub(super) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs it; what it says goes where ours goes.
    pub(super) fn run(mut self) -> Result<()> {
        let status = self.command.stdin(Stdio::null()).status().map_err(missing)?;
        if !status.success() {
            bail!("helm {} has failed ({status}); what it says stands above", self.verb);
        }
        Ok(())
    }
}

fn missing(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "helm is not on the path; install Helm 3.14 or later, or render the charts of folder helm/ elsewhere"
        ),
        _ => anyhow::Error::new(error).context("cannot run helm"),
    }
}
