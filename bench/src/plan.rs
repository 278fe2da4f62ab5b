//! The run: every kind of load over every path, one after the other in each
//! round, so that a slow moment of the machine hits them alike.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use crate::load::{Kind, Measured};
use crate::manifests::{
    self, Crowd, FORWARD_NEAR, FORWARD_WIRE, HAPROXY_NEAR, MESH, PAIRS, PLAIN, SERVER_PORT, of_pair,
};
use crate::mesh::{Mesh, Running};
use crate::{cpu, haproxy, table};

/// How long and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The `adit` binary
    #[arg(long, default_value = "target/release/adit")]
    adit: PathBuf,
    /// Rounds; the table shows their medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Where the raw rows go, one line of JSON each
    #[arg(long, default_value = "target/bench.jsonl")]
    rows: PathBuf,
    /// Workloads the mesh knows beside those that are measured
    #[arg(long, default_value_t = 0)]
    workloads: usize,
    /// Policies the mesh knows, of which none concerns what is measured
    #[arg(long, default_value_t = 0)]
    policies: usize,
}

/// The ways from client to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Path {
    /// No proxy.
    Direct,
    /// Two plain forwarders: the floor.
    Forwarder,
    /// Two ztunnels.
    Adit,
    /// Two HAProxies with mTLS between them.
    Haproxy,
}

pub(crate) const PATHS: [Path; 4] = [Path::Direct, Path::Forwarder, Path::Adit, Path::Haproxy];

/// The figures: a load, how many connections, and how many pairs of pods have them.
pub(crate) const FIGURES: [(Kind, usize, usize); 7] = [
    (Kind::Stream, 1, 1),
    (Kind::Stream, 4, 1),
    (Kind::Requests, 1, 1),
    (Kind::Requests, 64, 1),
    (Kind::Requests, 64, PAIRS),
    (Kind::Requests, 64 * PAIRS, PAIRS),
    (Kind::Connections, 8, 1),
];

const SETTLING: Duration = Duration::from_secs(5);
/// Connections held for the memory figure.
pub(crate) const HELD: usize = 2000;

/// One measurement.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) round: usize,
    pub(crate) path: Path,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Pairs of pods that share them.
    pub(crate) pairs: usize,
    /// Of both proxies together.
    pub(crate) cpu_seconds: f64,
    /// Of the larger proxy.
    pub(crate) resident_mib: f64,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// A path made ready: from which pod, to where, by which proxies.
struct Ready {
    path: Path,
    namespace: &'static str,
    to: String,
    proxies: Vec<u32>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    let crowd = Crowd { workloads: arguments.workloads, policies: arguments.policies };
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests)?;
    fs::write(manifests.join("bench.yaml"), manifests::all(program, crowd))?;
    let mesh = Mesh::up(&arguments.adit, &manifests)?;
    let server = mesh.address_of(PLAIN, "server")?;
    haproxy::write(folder.path(), &server)?;
    let running = start_proxies(&mesh, program, &server, folder.path())?;
    let ready = paths(&mesh, &server, &running)?;

    // Programs that have just started hold what only the start needed.
    thread::sleep(SETTLING);
    let mut rows = Vec::new();
    rows.extend(memory(&mesh, program, &ready, Kind::Hold, 1)?);
    let is_watched = std::io::stderr().is_terminal();
    for round in 1..=arguments.rounds {
        for (kind, connections, pairs) in FIGURES {
            // Only the mesh has more than one.
            for path in ready.iter().filter(|path| pairs == 1 || path.path == Path::Adit) {
                if is_watched {
                    eprint!("\rround {round}: {kind:?} over {connections} by {:?}            ", path.path);
                }
                let figure = (kind, connections, pairs);
                rows.push(measure(&mesh, program, path, round, figure, arguments.seconds)?);
            }
        }
    }
    rows.extend(memory(&mesh, program, &ready, Kind::Hold, HELD)?);
    write_rows(&arguments.rows, &rows)?;
    print!("{}", table::of(&rows));
    println!("\nraw rows: {}", arguments.rows.display());
    Ok(())
}

/// The forwarders and HAProxies, near and far, in this order.
fn start_proxies(
    mesh: &Mesh,
    program: &str,
    server: &str,
    folder: &std::path::Path,
) -> anyhow::Result<[Running; 4]> {
    let app = format!("127.0.0.1:{SERVER_PORT}");
    let near = manifests::forward(
        program,
        &format!("127.0.0.1:{FORWARD_NEAR}"),
        &format!("{server}:{FORWARD_WIRE}"),
    );
    let far = manifests::forward(program, &format!("0.0.0.0:{FORWARD_WIRE}"), &app);
    let haproxy =
        |file: &str| ["haproxy", "-db", "-q", "-f", &folder.join(file).to_string_lossy()].map(str::to_owned);
    let running = [
        mesh.start(PLAIN, "client", &near)?,
        mesh.start(PLAIN, "server", &far)?,
        mesh.start(PLAIN, "client", &haproxy("near.cfg"))?,
        mesh.start(PLAIN, "server", &haproxy("far.cfg"))?,
    ];
    Ok(running)
}

fn paths(mesh: &Mesh, server: &str, running: &[Running; 4]) -> anyhow::Result<Vec<Ready>> {
    let enrolled = mesh.address_of(MESH, "server")?;
    let [forward_near, forward_far, haproxy_near, haproxy_far] = running.each_ref().map(Running::pid);
    let ready = |path, namespace, to, proxies| Ready { path, namespace, to, proxies };
    Ok(vec![
        ready(Path::Direct, PLAIN, format!("{server}:{SERVER_PORT}"), Vec::new()),
        ready(Path::Forwarder, PLAIN, format!("127.0.0.1:{FORWARD_NEAR}"), vec![forward_near, forward_far]),
        ready(Path::Adit, MESH, format!("{enrolled}:{SERVER_PORT}"), mesh.ztunnels()?),
        ready(Path::Haproxy, PLAIN, format!("127.0.0.1:{HAPROXY_NEAR}"), vec![haproxy_near, haproxy_far]),
    ])
}

fn load_command(program: &str, to: &str, kind: Kind, connections: usize, seconds: f64) -> Vec<String> {
    let kind = format!("{kind:?}").to_lowercase();
    let (connections, seconds) = (connections.to_string(), seconds.to_string());
    [program, "load", &kind, "--to", to, "--connections", &connections, "--seconds", &seconds]
        .map(str::to_owned)
        .to_vec()
}

fn measure(
    mesh: &Mesh,
    program: &str,
    path: &Ready,
    round: usize,
    (kind, connections, pairs): (Kind, usize, usize),
    seconds: f64,
) -> anyhow::Result<Row> {
    let before = cpu::seconds(&path.proxies)?;
    let measured = if pairs == 1 {
        let command = load_command(program, &path.to, kind, connections, seconds);
        serde_json::from_str(retry_until_up(|| mesh.run(path.namespace, "client", &command))?.trim())?
    } else {
        measure_pairs(mesh, program, (kind, connections / pairs), seconds)?
    };
    let cpu_seconds = cpu::seconds(&path.proxies)? - before;
    let resident_mib = cpu::resident_mib(&path.proxies)?;
    Ok(Row { round, path: path.path, kind, connections, pairs, cpu_seconds, resident_mib, measured })
}

/// All pairs at once, each with so many connections.
fn measure_pairs(
    mesh: &Mesh,
    program: &str,
    (kind, connections): (Kind, usize),
    seconds: f64,
) -> anyhow::Result<Measured> {
    let mut running = Vec::new();
    for number in 0..PAIRS {
        let to = format!("{}:{SERVER_PORT}", mesh.address_of(MESH, &of_pair("server", number))?);
        running.push((number, load_command(program, &to, kind, connections, seconds)));
    }
    let started: anyhow::Result<Vec<Running>> = running
        .iter()
        .map(|(number, command)| mesh.start(MESH, &of_pair("client", *number), command))
        .collect();
    let mut all = Vec::new();
    for mut load in started? {
        let mut printed = String::new();
        load.output()?.read_to_string(&mut printed)?;
        all.push(serde_json::from_str(printed.trim()).context("a pair's load ended early")?);
    }
    Ok(Measured::of_several(&all))
}

/// The proxies were started a moment ago: their first load may come too early.
pub(crate) fn retry_until_up<T>(mut work: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match work() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(200)),
            result => return result,
        }
    }
}

/// Memory while so many connections are open.
fn memory(mesh: &Mesh, program: &str, ready: &[Ready], kind: Kind, held: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for path in ready.iter().filter(|path| !path.proxies.is_empty()) {
        let command = load_command(program, &path.to, kind, held, 60.0);
        let _load = retry_until_up(|| hold(mesh, path, &command))?;
        let resident_mib = cpu::resident_mib(&path.proxies)?;
        let measured = Measured::default();
        let row = Row {
            round: 0,
            path: path.path,
            kind,
            connections: held,
            pairs: 1,
            cpu_seconds: 0.0,
            resident_mib,
            measured,
        };
        rows.push(row);
    }
    Ok(rows)
}

/// Starts a load that opens connections and keeps them; returns once they are there.
fn hold(mesh: &Mesh, path: &Ready, command: &[String]) -> anyhow::Result<Running> {
    let mut load = mesh.start(path.namespace, "client", command)?;
    let mut line = String::new();
    BufReader::new(load.output()?).read_line(&mut line)?;
    anyhow::ensure!(line.trim() == "held", "the connections could not be opened by {:?}", path.path);
    Ok(load)
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
