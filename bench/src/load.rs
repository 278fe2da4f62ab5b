//! The load: streams, keep-alive requests, or a connection for every request.
//! Each run is bounded in time and prints one line of JSON.

mod connections;
mod requests;
mod stream;

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What load, where to, how much.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is sent
    #[arg(value_enum)]
    pub(crate) kind: Kind,
    /// Where to
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Connections at once
    #[arg(long, default_value_t = 1)]
    pub(crate) connections: usize,
    /// For how long, in seconds
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
}

/// The kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Bytes one way, as fast as they go
    Stream,
    /// HTTP/1.1 keep-alive, one request at a time on each connection
    Requests,
    /// A new connection for every request
    Connections,
    /// Connections that are opened, used once and then held
    Hold,
}

/// What a run measured; fields that mean nothing for its kind are zero.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Enough for what the kinds keep open, small enough to notice a mistake.
const MOST_CONNECTIONS: usize = 10_000;
const LONGEST: f64 = 120.0;

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=MOST_CONNECTIONS).contains(&arguments.connections),
        "--connections must be between 1 and {MOST_CONNECTIONS}"
    );
    anyhow::ensure!(
        arguments.seconds > 0.0 && arguments.seconds <= LONGEST,
        "--seconds must be above 0 and at most {LONGEST}"
    );
    let (to, connections) = (arguments.to, arguments.connections);
    let time = Duration::from_secs_f64(arguments.seconds);
    let measured = match arguments.kind {
        Kind::Stream => stream::run(to, connections, time).await?,
        Kind::Requests => requests::run(to, connections, time).await?,
        Kind::Connections => connections::run(to, connections, time).await?,
        Kind::Hold => requests::hold(to, connections, time).await?,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// The value below which `share` of the sorted values lie; 0 where there are none.
fn percentile(sorted: &[u32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).copied().map_or(0.0, f64::from)
}

impl Measured {
    /// From latencies in microseconds, in any order.
    pub(crate) fn of_latencies(mut latencies: Vec<u32>, failed: u64, seconds: f64) -> Self {
        latencies.sort_unstable();
        Measured {
            seconds,
            bytes: 0,
            requests: latencies.len() as u64,
            failed,
            p50_us: percentile(&latencies, 0.50),
            p99_us: percentile(&latencies, 0.99),
        }
    }
}

impl Measured {
    /// Of loads that ran at the same time: what they did together, the worst of their latencies.
    pub(crate) fn of_several(all: &[Measured]) -> Self {
        let worst = |value: fn(&Measured) -> f64| all.iter().map(value).fold(0.0, f64::max);
        Measured {
            seconds: worst(|one| one.seconds),
            bytes: all.iter().map(|one| one.bytes).sum(),
            requests: all.iter().map(|one| one.requests).sum(),
            failed: all.iter().map(|one| one.failed).sum(),
            p50_us: worst(|one| one.p50_us),
            p99_us: worst(|one| one.p99_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_together_are_their_sum_and_their_worst() {
        let one = |requests, p50_us| Measured { seconds: 1.0, requests, p50_us, ..Measured::default() };
        let both = Measured::of_several(&[one(3, 5.0), one(4, 7.0)]);
        assert_eq!((both.seconds, both.requests, both.p50_us), (1.0, 7, 7.0));
    }

    #[test]
    fn percentiles_of_few_and_many() {
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7], 0.99), 7.0);
        let thousand: Vec<u32> = (1..=1000).collect();
        assert_eq!(percentile(&thousand, 0.5), 501.0);
        assert_eq!(percentile(&thousand, 0.99), 990.0);
    }
}
