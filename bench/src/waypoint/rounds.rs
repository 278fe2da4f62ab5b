//! Requests over one route: every load over every path, one after the other in each round, so that a slow moment of
//! the machine hits them alike.

use std::io::IsTerminal;

use super::manifests::{
    CLIENT, HOST, HTTP1, HTTP2, MESH, OPEN_HTTP1, OPEN_HTTP2, OPEN_PORT, PLAIN, PREFIX, SERVER_PORT,
};
use super::peers::{envoy_port, haproxy_port};
use super::{PATHS, Path, Row, Stage, Subject};
use crate::ask::Version;
use crate::cpu;
use crate::load::Measured;
use crate::plan::retry_until_up;

/// The loads.
pub(super) const LOADS: [(Version, usize); 4] =
    [(Version::Http1, 1), (Version::Http1, 64), (Version::Http2, 1), (Version::Http2, 64)];

/// Where a request is sent from, to which address, and for which host and path.
pub(super) struct Way {
    pub(super) namespace: &'static str,
    pub(super) to: String,
    pub(super) host: String,
    pub(super) path: String,
    /// What the connection is said to be going to.
    pub(super) announce: Option<String>,
}

pub(super) fn run(stage: &Stage, rounds: usize, seconds: f64) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let is_watched = std::io::stderr().is_terminal();
    for round in 1..=rounds {
        stage.pin_proxies()?;
        for (version, at_once) in LOADS {
            for path in PATHS.into_iter().filter(|path| *path != Path::Envoy || stage.envoy.is_some()) {
                if is_watched {
                    eprint!("\rround {round}: {version:?}, {at_once} at once, {path:?}            ");
                }
                let way = way(stage, path, version);
                let subject = Subject::Requests { version, at_once };
                rows.push(measure(stage, path, &way, (round, subject), seconds)?);
            }
        }
    }
    Ok(rows)
}

fn way(stage: &Stage, path: Path, version: Version) -> Way {
    let mut announce = None;
    let (namespace, to) = match path {
        Path::Direct => (PLAIN, format!("{}:{SERVER_PORT}", stage.server)),
        Path::Haproxy => (PLAIN, format!("{}:{}", stage.proxy, haproxy_port(version))),
        Path::Envoy => (PLAIN, format!("{}:{}", stage.proxy, envoy_port(version))),
        Path::Adit => {
            let served = if version == Version::Http2 { HTTP2 } else { HTTP1 };
            (MESH, format!("{}:80", served.address))
        }
        Path::AditOpen => {
            let served = if version == Version::Http2 { OPEN_HTTP2 } else { OPEN_HTTP1 };
            announce = Some(format!("{}:80", served.address));
            (PLAIN, format!("{}:{OPEN_PORT}", stage.own))
        }
    };
    Way { namespace, to, host: HOST.to_owned(), path: format!("{PREFIX}item?id=1"), announce }
}

/// One measurement: the load, and what the proxy used meanwhile.
pub(super) fn measure(
    stage: &Stage,
    path: Path,
    way: &Way,
    (round, subject): (usize, Subject),
    seconds: f64,
) -> anyhow::Result<Row> {
    let proxies: Vec<u32> =
        stage.proxies().into_iter().filter(|(proxy, _)| *proxy == path.proxy()).map(|(_, pid)| pid).collect();
    let (version, at_once) = match subject {
        Subject::Requests { version, at_once } => (version, at_once),
        _ => (Version::Http1, 1),
    };
    let command = command(&stage.program, way, (version, at_once), seconds);
    let before = cpu::seconds(&proxies)?;
    let output = retry_until_up(|| stage.mesh.run(way.namespace, "client", &command))?;
    let cpu_seconds = cpu::seconds(&proxies)? - before;
    let measured: Measured = serde_json::from_str(output.trim())?;
    let resident_mib = cpu::resident_mib(&proxies)?;
    Ok(Row { round, path, subject, cpu_seconds, resident_mib, measured })
}

fn command(program: &str, way: &Way, (version, at_once): (Version, usize), seconds: f64) -> Vec<String> {
    let version = format!("{version:?}").to_lowercase();
    let (at_once, seconds) = (at_once.to_string(), seconds.to_string());
    let Way { to, host, path, announce, .. } = way;
    let of_request = [program, "ask", &version, "--to", to, "--host", host, "--path", path];
    let of_load = ["--at-once", &at_once, "--seconds", &seconds];
    let announced = announce.iter().flat_map(|target| ["--announce", target, "--identity", CLIENT]);
    of_request.into_iter().chain(of_load).chain(announced).map(str::to_owned).collect()
}
