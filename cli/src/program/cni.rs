//! The network plugin: what the binary is when it is called `adit-cni`.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use ::ztunnel_agent::cni::{PLUGIN, plugin};

/// More than any network configuration has.
const LARGEST_INPUT: u64 = 1024 * 1024;

/// Whether a container runtime calls this program as a network plugin.
pub(crate) fn is_called() -> bool {
    let name = std::env::args_os().next();
    name.as_deref().and_then(|name| Path::new(name).file_name()) == Some(OsStr::new(PLUGIN))
}

/// Answers the container runtime.
pub(crate) fn run() -> ExitCode {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut input = String::new();
    // What cannot be read is an empty configuration, and that is refused with its reason.
    let _ = std::io::stdin().take(LARGEST_INPUT).read_to_string(&mut input);
    let output = plugin::run(&environment, &input);
    let written = std::io::stdout().write_all(output.text.as_bytes());
    if output.failed || written.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
