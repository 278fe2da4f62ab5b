//! The tools of the machine that a local mesh needs: `ip`, `nft`, and being root.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use mesh_net::namespace::Namespace;

/// Program, Debian package, and what it is for.
const TOOLS: [(&str, &str, &str); 2] = [
    ("ip", "iproute2", "makes nodes and pods out of network namespaces"),
    ("nft", "nftables", "captures the traffic of pods"),
];

/// Says everything that is missing at once, and how to get it.
pub(super) fn check() -> Result<()> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("network namespaces need root: run it with sudo".to_owned());
    }
    let absent: Vec<_> = TOOLS.iter().filter(|(program, ..)| find(program).is_none()).collect();
    for (program, package, purpose) in &absent {
        missing.push(format!("{program}, which {purpose}, is not installed: apt-get install {package}"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("a local mesh cannot run here:\n  {}", missing.join("\n  "))
}

/// Where a program is.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps these where the path of a plain user does not lead.
    let sbin = ["/usr/sbin", "/sbin"].map(Into::into);
    let candidates = std::env::split_paths(&path).chain(sbin).map(|directory| directory.join(program));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

/// Runs `ip` once, on the machine itself: only to make and remove named namespaces.
pub(super) fn ip(arguments: &[&str]) -> Result<()> {
    run(command("ip").args(arguments), "").with_context(|| format!("ip {}", arguments.join(" ")))
}

/// Runs one `ip` command a line inside a network namespace.
pub(super) fn ip_batch(namespace: &Namespace, lines: &str) -> Result<()> {
    // Spawned inside, so that not even a mistake could touch the machine's own network.
    namespace.run(|| Ok(run(command("ip").args(["-batch", "-"]), lines)))?.context("ip -batch")
}

/// Loads a ruleset inside a network namespace.
pub(super) fn nft(namespace: &Namespace, rules: &str) -> Result<()> {
    namespace.run(|| Ok(run(command("nft").args(["-f", "-"]), rules)))?.context("nft -f")
}

fn run(command: &mut Command, input: &str) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("starting it")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that stops reading says why on its way out.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
