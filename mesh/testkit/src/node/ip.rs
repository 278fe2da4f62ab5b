//! The `ip` tool: namespaces by name, and batches of commands inside one.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const PREFIX: &str = "adit-test-";

/// What the names of this process's namespaces begin with.
pub(super) fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Whether this process may make network namespaces, and why not.
pub(super) fn check_allowed() -> Result<()> {
    let name = format!("{}check-{:?}", own_prefix(), std::thread::current().id());
    add(&name).context("making a network namespace needs root and the package iproute2")?;
    delete(&name)
}

/// Makes a namespace of this name.
pub(super) fn add(name: &str) -> Result<()> {
    run(&["netns", "add", name], "")
}

/// Removes a namespace; processes inside keep theirs until they end.
pub(super) fn delete(name: &str) -> Result<()> {
    run(&["netns", "delete", name], "")
}

/// Runs one `ip` command a line inside namespace `name`.
pub(super) fn batch(name: &str, lines: &str) -> Result<()> {
    run(&["-n", name, "-batch", "-"], lines)
}

/// Removes what killed test processes left behind.
pub(super) fn sweep_dead_processes() -> Result<()> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return Ok(()) };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test process may be sweeping the same one.
            let _ = delete(&name);
        }
    }
    Ok(())
}

/// The lines that make a bridge `br0` with these addresses.
pub(super) fn bridge(addresses: &[IpAddr]) -> String {
    let mut lines = String::from("link add br0 type bridge\n");
    for own in addresses {
        lines += &address("br0", *own);
    }
    lines
}

/// The lines that add port `name` to the bridge, with its other end as `eth0` in namespace `peer`.
pub(super) fn port(name: &str, peer: &str) -> String {
    format!("link add {name} type veth peer name eth0 netns {peer}\nlink set {name} master br0 up\n")
}

/// The lines that give a link an address and bring it up.
pub(super) fn address(link: &str, address: IpAddr) -> String {
    let (length, options) = if address.is_ipv4() { (24, "") } else { (64, " nodad") };
    format!("addr add {address}/{length} dev {link}{options}\nlink set {link} up\n")
}

fn run(args: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip: install the package iproute2")?;
    child.stdin.take().context("ip has no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), complaint.trim());
    }
    ensure!(complaint.is_empty(), "ip {}: {}", args.join(" "), complaint.trim());
    Ok(())
}
