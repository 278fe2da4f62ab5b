//! Whether a request takes longer where there are many routes: to the last of a few, and to the last of very many.

use std::path::Path as File;

use super::manifests::{FEW, MANY, MESH, numbered_path, numbered_routes};
use super::rounds::{Way, measure};
use super::{Path, Row, Stage, Subject};

/// How many there are.
pub(super) const COUNTS: [usize; 2] = [10, 10_000];

pub(super) fn run(stage: &Stage, folder: &File, rounds: usize, seconds: f64) -> anyhow::Result<Vec<Row>> {
    let served = [FEW, MANY];
    for (served, count) in served.into_iter().zip(COUNTS) {
        let file = folder.join(format!("{}.yaml", served.name));
        std::fs::write(&file, numbered_routes(served, count))?;
        stage.mesh.apply(&file)?;
    }
    let mut rows = Vec::new();
    for round in 1..=rounds {
        for (served, count) in served.into_iter().zip(COUNTS) {
            let way = Way {
                namespace: MESH,
                to: format!("{}:80", served.address),
                host: served.name.to_owned(),
                path: format!("{}item", numbered_path(count - 1)),
                announce: None,
            };
            rows.push(measure(stage, Path::Adit, &way, (round, Subject::Routes(count)), seconds)?);
        }
    }
    Ok(rows)
}
