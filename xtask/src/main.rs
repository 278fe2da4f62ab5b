//! Checks that hold the workspace to its rules. `cargo run -p xtask` runs them
//! all and names every breach; it exits with 1 if there is one.

mod edges;
mod files;

use std::path::Path;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    let root = Path::new(metadata.workspace_root.as_str());
    let mut breaches = edges::breaches(&metadata);
    breaches.extend(files::breaches(root)?);
    for breach in &breaches {
        eprintln!("{breach}");
    }
    println!("crate edges and file rules: {} breaches", breaches.len());
    Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
