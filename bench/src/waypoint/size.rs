//! Many services, endpoints and routes: the waypoint's memory, and how long a changed route takes to show.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path as File;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::manifests::{CHANGED, MESH, changed_route, crowd, crowd_routes};
use super::{Path, Row, Stage, Subject};
use crate::cpu;
use crate::load::Measured;

pub(super) const SERVICES: usize = 1000;
pub(super) const ENDPOINTS: usize = 10;
pub(super) const ROUTES: usize = 2;
/// Changes of the route.
const CHANGES: usize = 7;
/// How long memory has to stay the same for a program to have settled.
const STILL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(stage: &Stage, folder: &File) -> anyhow::Result<Vec<Row>> {
    let texts = [("crowd.yaml", crowd(SERVICES, ENDPOINTS)), ("routes.yaml", crowd_routes(SERVICES, ROUTES))];
    for (name, text) in texts {
        let file = folder.join(name);
        fs::write(&file, text)?;
        stage.mesh.apply(&file)?;
    }
    let resident = fetch_settled_memory(stage.waypoint)?;
    let mut rows = vec![Row::memory(Path::Adit, Subject::Crowd, resident)];
    for version in 1..=CHANGES {
        let took = change(stage, version)?;
        // The first makes the object, and connections on the way.
        if version > 1 {
            let measured = Measured { p50_us: took.as_secs_f64() * 1e6, ..Measured::default() };
            rows.push(Row { round: version, measured, ..Row::memory(Path::Adit, Subject::Change, 0.0) });
        }
    }
    Ok(rows)
}

/// A process's resident memory, in MiB, once it stays the same.
pub(super) fn fetch_settled_memory(pid: u32) -> anyhow::Result<f64> {
    let deadline = Instant::now() + PATIENCE;
    let (mut seen, mut since) = (0.0, Instant::now());
    loop {
        let now = cpu::resident_mib(&[pid])?;
        if (now - seen).abs() > 0.25 {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() >= STILL {
            return Ok(now);
        }
        anyhow::ensure!(Instant::now() < deadline, "the memory of process {pid} goes on changing: {now} MiB");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Changes the route where the controller reads it; the time until an answer shows it.
fn change(stage: &Stage, version: usize) -> anyhow::Result<Duration> {
    let to = format!("{}:80", CHANGED.address);
    let line = format!("x-version: {version}");
    let until = [&*stage.program, "until", "--to", &to, "--host", CHANGED.name, "--line", &line];
    let mut running = stage.mesh.start(MESH, "client", &until.map(str::to_owned))?;
    let mut output = BufReader::new(running.output()?).lines();
    let mut line =
        || output.next().context("the wait for the change ended early")?.map_err(anyhow::Error::from);
    line()?;
    // Moved there in one step, so that nobody reads half of it.
    let place = stage.mesh.manifests();
    let draft = place.join(".bench-change");
    fs::write(&draft, changed_route(version))?;
    let begin = SystemTime::now().duration_since(UNIX_EPOCH)?;
    fs::rename(&draft, place.join("bench-change.yaml"))?;
    let end = Duration::from_micros(line()?.trim().parse()?);
    end.checked_sub(begin).context("the change showed before it was made")
}
