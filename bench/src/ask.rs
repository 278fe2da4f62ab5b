//! Load for proxies of HTTP: requests one after the other on each connection of HTTP/1.1, or on each stream of
//! one connection of HTTP/2. And the wait until a changed route shows.

mod announce;
mod http1;
mod http2;
mod until;

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::load::Measured;

/// What is asked, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is spoken
    #[arg(value_enum)]
    pub(crate) version: Version,
    #[command(flatten)]
    pub(crate) request: Asked,
    /// Requests at once: connections of HTTP/1.1, streams of HTTP/2
    #[arg(long, default_value_t = 1)]
    pub(crate) at_once: usize,
    /// For how long, in seconds
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
}

/// The request.
#[derive(clap::Args, Clone)]
pub(crate) struct Asked {
    /// Where to
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// The host it is for
    #[arg(long)]
    pub(crate) host: String,
    /// The path
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// What connections are said to be going to, by a header of the PROXY protocol
    #[arg(long, requires = "identity")]
    pub(crate) announce: Option<SocketAddrV4>,
    /// Whose connections they are said to be
    #[arg(long, requires = "announce")]
    pub(crate) identity: Option<String>,
}

/// Versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    /// HTTP/1.1 with keep-alive
    Http1,
    /// HTTP/2 without TLS
    Http2,
}

/// Waits for a response with a certain header.
#[derive(clap::Args)]
pub(crate) struct Until {
    #[command(flatten)]
    pub(crate) request: Asked,
    /// The line the response has to have, as it is sent
    #[arg(long)]
    pub(crate) line: String,
}

const MOST_AT_ONCE: usize = 100;
const LONGEST: f64 = 120.0;

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=MOST_AT_ONCE).contains(&arguments.at_once),
        "--at-once must be between 1 and {MOST_AT_ONCE}"
    );
    anyhow::ensure!(
        arguments.seconds > 0.0 && arguments.seconds <= LONGEST,
        "--seconds must be above 0 and at most {LONGEST}"
    );
    let (asked, at_once) = (&arguments.request, arguments.at_once);
    let time = Duration::from_secs_f64(arguments.seconds);
    let measured = match arguments.version {
        Version::Http1 => http1::run(asked, at_once, time).await?,
        Version::Http2 => http2::run(asked, at_once, time).await?,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

pub(crate) async fn run_until(arguments: Until) -> anyhow::Result<()> {
    until::run(&arguments).await
}

/// Latencies of several clients together.
async fn gather(
    mut clients: tokio::task::JoinSet<(Vec<u32>, u64)>,
    begin: std::time::Instant,
) -> anyhow::Result<Measured> {
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while let Some(client) = clients.join_next().await {
        let (of_one, lost) = client?;
        latencies.extend(of_one);
        failed += lost;
    }
    Ok(Measured::of_latencies(latencies, failed, begin.elapsed().as_secs_f64()))
}
