//! Writes the seeds that no editor could: frames, packets, resources, certificates.
//! `cargo run -p adit-fuzz --bin seeds` renews them; the others are texts written by hand.

mod answers;
mod certificates;
mod packets;
mod resources;
mod tls;
mod traffic;

use std::fs;
use std::path::Path;

use anyhow::Context;

/// The target, the seed's name, the seed.
type Seed = (&'static str, &'static str, Vec<u8>);

fn main() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let [packets, resources] = [packets::seeds(), resources::seeds()];
    let (answers, traffic) = (answers::seeds(), traffic::seeds());
    let seeds = [packets, resources, answers, traffic, certificates::seeds()?, tls::seeds()].concat();
    for (target, name, bytes) in &seeds {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {target}/{name}"))?;
    }
    println!("{} seeds in {}", seeds.len(), corpus.display());
    Ok(())
}
