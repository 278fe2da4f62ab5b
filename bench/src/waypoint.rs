//! `adit-bench waypoint`: what a request costs at our waypoint, at HAProxy and at Envoy, in one run, the proxy that
//! is measured alone on a core.

pub(crate) mod backend;
mod manifests;
mod peers;
mod pin;
mod rounds;
mod routes;
mod size;
mod table;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use crate::ask::Version;
use crate::load::Measured;
use crate::mesh::{Mesh, Running};
use manifests::{MESH, OPEN_PORT, PLAIN};

/// How long and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The `adit` binary
    #[arg(long, default_value = "target/release/adit")]
    adit: PathBuf,
    /// The `envoy` binary; without it Envoy is left out
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Rounds; the table shows their medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Leave out what is measured with many services and routes
    #[arg(long)]
    small: bool,
    /// Where the raw rows go, one line of JSON each
    #[arg(long, default_value = "target/bench-waypoint.jsonl")]
    rows: PathBuf,
}

/// The ways from client to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Path {
    /// No proxy.
    Direct,
    /// Our waypoint, through HBONE on both sides: two ztunnels on the way, whose cost is not counted.
    Adit,
    /// The same over plain sockets on both sides, as where a ztunnel in front hands connections over.
    AditOpen,
    /// HAProxy over plain sockets.
    Haproxy,
    /// Envoy over plain sockets.
    Envoy,
}

const PATHS: [Path; 5] = [Path::Direct, Path::Adit, Path::AditOpen, Path::Haproxy, Path::Envoy];

impl Path {
    /// Whose proxy is on it.
    fn proxy(self) -> Path {
        if self == Path::AditOpen { Path::Adit } else { self }
    }
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Subject {
    /// Requests over one route: speed, and the proxy's CPU.
    Requests { version: Version, at_once: usize },
    /// Requests to the last of so many routes, one at a time.
    Routes(usize),
    /// Memory, with nothing to do and nothing done yet.
    Idle,
    /// Memory with many services, endpoints and routes.
    Crowd,
    /// The same, and very many routes of one service beside.
    CrowdAndMany,
    /// The time until a changed route shows, with all these; in the row as its latency.
    Change,
}

/// One measurement.
#[derive(Serialize)]
struct Row {
    round: usize,
    path: Path,
    subject: Subject,
    cpu_seconds: f64,
    resident_mib: f64,
    #[serde(flatten)]
    measured: Measured,
}

/// What all measurements use.
struct Stage {
    mesh: Mesh,
    program: String,
    server: String,
    proxy: String,
    /// The address of our waypoint.
    own: String,
    waypoint: u32,
    haproxy: Running,
    envoy: Option<Running>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    pin::own(pin::OTHERS)?;
    let folder = tempfile::tempdir()?;
    let stage = Stage::set(arguments, folder.path())?;
    let mut rows = Vec::new();
    for (path, pid) in stage.proxies() {
        rows.push(Row::memory(path, Subject::Idle, size::fetch_settled_memory(pid)?));
    }
    rows.extend(rounds::run(&stage, arguments.rounds, arguments.seconds)?);
    if !arguments.small {
        // First, so that memory is that of this size alone.
        rows.extend(size::run(&stage, folder.path())?);
        rows.extend(routes::run(&stage, folder.path(), arguments.rounds, arguments.seconds)?);
        let resident_mib = size::fetch_settled_memory(stage.waypoint)?;
        rows.push(Row::memory(Path::Adit, Subject::CrowdAndMany, resident_mib));
    }
    write_rows(&arguments.rows, &rows)?;
    print!("{}", table::of(&rows));
    println!("\nraw rows: {}", arguments.rows.display());
    Ok(())
}

impl Row {
    fn memory(path: Path, subject: Subject, resident_mib: f64) -> Row {
        Row { round: 0, path, subject, cpu_seconds: 0.0, resident_mib, measured: Measured::default() }
    }
}

impl Stage {
    /// Brings up the mesh and the other proxies.
    fn set(arguments: &Arguments, folder: &std::path::Path) -> anyhow::Result<Stage> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("the path of this program is not UTF-8")?.to_owned();
        let manifests = folder.join("manifests");
        fs::create_dir(&manifests)?;
        fs::write(manifests.join("bench.yaml"), manifests::all(&program))?;
        // As in a cluster, where nobody asks for a log; and on one thread, as the others.
        let open = format!("PROXY_PROTOCOL_ADDRESS=0.0.0.0:{OPEN_PORT}");
        let variables = ["ACCESS_LOG=off", "WAYPOINT_WORKER_THREADS=1", &open];
        let options = variables.map(|variable| ["--waypoint-env", variable]).concat();
        let mesh = Mesh::up_with(&arguments.adit, &manifests, &options)?;
        let (server, proxy) = (mesh.address_of(PLAIN, "server")?, mesh.address_of(PLAIN, "proxy")?);
        peers::write(folder, &server)?;
        let configuration = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let haproxy = ["haproxy", "-db", "-q", "-f", &configuration("haproxy.cfg")].map(str::to_owned);
        let haproxy = mesh.start_program(PLAIN, "proxy", &haproxy)?;
        let start_envoy = |envoy: &PathBuf| {
            let envoy = envoy.to_string_lossy().into_owned();
            let command = [&*envoy, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "-c"];
            let command = command.map(str::to_owned).into_iter().chain([configuration("envoy.json")]);
            mesh.start_program(PLAIN, "proxy", &command.collect::<Vec<_>>())
        };
        let envoy = arguments.envoy.as_ref().map(start_envoy).transpose()?;
        let waypoint = mesh.pids(MESH, "waypoint-")?;
        let waypoint = *waypoint.first().context("the waypoint is not running")?;
        let own = mesh.address_of(MESH, "waypoint-")?;
        let stage = Stage { mesh, program, server, proxy, own, waypoint, haproxy, envoy };
        stage.pin_proxies()?;
        Ok(stage)
    }

    fn proxies(&self) -> Vec<(Path, u32)> {
        let envoy = self.envoy.iter().map(|envoy| (Path::Envoy, envoy.pid()));
        [(Path::Adit, self.waypoint), (Path::Haproxy, self.haproxy.pid())].into_iter().chain(envoy).collect()
    }

    /// Again before each round: a program that has just begun may not have had all its threads.
    fn pin_proxies(&self) -> anyhow::Result<()> {
        self.proxies().into_iter().try_for_each(|(_, pid)| pin::process(pid, pin::PROXY))
    }
}

fn write_rows(to: &std::path::Path, rows: &[Row]) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    for row in rows {
        writeln!(file, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}
