//! Checks that hold the workspace to its rules. `cargo run -p xtask` runs them
//! all and names every breach; it exits with 1 if there is one.
//! `cargo run -p xtask -- crds` writes the CustomResourceDefinitions of the chart.

mod crds;
mod edges;
mod files;

use std::path::Path;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    let root = Path::new(metadata.workspace_root.as_str());
    match std::env::args().nth(1).as_deref() {
        None => check(&metadata, root),
        Some("crds") => crds::write(root).map(|()| ExitCode::SUCCESS),
        Some(other) => anyhow::bail!("there is no task {other:?}; leave it out to check, or use crds"),
    }
}

fn check(metadata: &cargo_metadata::Metadata, root: &Path) -> anyhow::Result<ExitCode> {
    let mut breaches = edges::breaches(metadata);
    breaches.extend(files::breaches(root)?);
    breaches.extend(crds::breaches(root)?);
    for breach in &breaches {
        eprintln!("{breach}");
    }
    println!("crate edges, file rules and generated files: {} breaches", breaches.len());
    Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
