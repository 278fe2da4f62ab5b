//! `adit install`: both charts, in their order, as Helm would do it by hand.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::charts::Charts;
use super::helm::Helm;
use super::{BASE, MESH, NAMESPACE, preconditions, runtime};

#[derive(Args, Debug)]
pub(crate) struct Install {
    /// Where the mesh's own pods run
    #[arg(short, long, default_value = NAMESPACE)]
    namespace: String,
    /// A value of the chart adit, such as ztunnel.logLevel=debug; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// A file of values of the chart adit; may be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Return at once instead of when everything runs
    #[arg(long)]
    no_wait: bool,
    /// How long to wait
    #[arg(long, default_value = "5m")]
    timeout: String,
    /// Say what would be installed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Installs the mesh, or brings it to the version of this program.
pub(crate) fn run(arguments: &Install) -> Result<()> {
    for warning in runtime()?.block_on(preconditions::check(&arguments.namespace))? {
        eprintln!("warning: {warning}");
    }
    let charts = Charts::unpack()?;
    upgrade(arguments, BASE).args([charts.path(BASE)]).run()?;
    let mut mesh = upgrade(arguments, MESH).args([charts.path(MESH)]);
    for value in &arguments.set {
        mesh = mesh.args(["--set", value]);
    }
    for file in &arguments.values {
        mesh = mesh.args(["--values".as_ref(), file.as_os_str()]);
    }
    mesh.run()
}

fn upgrade(arguments: &Install, release: &str) -> Helm {
    let helm = Helm::new("upgrade", &arguments.namespace);
    let helm = helm.args(["--install", "--create-namespace", release]);
    match (arguments.dry_run, arguments.no_wait) {
        (true, _) => helm.args(["--dry-run=server"]),
        (false, true) => helm,
        (false, false) => helm.args(["--wait", "--timeout", &arguments.timeout]),
    }
}
