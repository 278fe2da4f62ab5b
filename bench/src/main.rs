//! `adit-bench`: the same load with and without the mesh, a plain forwarder and
//! an HAProxy mTLS pair, interleaved in one run. The other subcommands are the
//! programs that run inside the pods.

mod ask;
mod cpu;
mod forward;
mod haproxy;
mod load;
mod manifests;
mod mesh;
mod plan;
mod serve;
mod table;
mod waypoint;

use clap::{Parser, Subcommand};

/// Measures the mesh. Times mean nothing across machines: read the ratios.
#[derive(Parser)]
#[command(name = "adit-bench", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring up a mesh of two nodes, measure every path in rounds, print the table
    Run(plan::Arguments),
    /// Measure our waypoint beside HAProxy and Envoy, print the table
    Waypoint(waypoint::Arguments),
    /// Answer load: discards a stream, answers HTTP/1.1 requests
    Serve(serve::Arguments),
    /// Forward TCP connections as they are: the floor for anything with two hops
    Forward(forward::Arguments),
    /// Make load and print what was measured as one line of JSON
    Load(load::Arguments),
    /// Answer requests of HTTP/1.1 and HTTP/2
    Backend(waypoint::backend::Arguments),
    /// Make load for proxies of HTTP and print what was measured as one line of JSON
    Ask(ask::Arguments),
    /// Ask until the answer has a certain header, and print when it had
    Until(ask::Until),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => plan::run(&arguments),
        Command::Waypoint(arguments) => waypoint::run(&arguments),
        Command::Backend(arguments) => on_one_thread(waypoint::backend::run(arguments)),
        Command::Ask(arguments) => on_one_thread(ask::run(arguments)),
        Command::Until(arguments) => on_one_thread(ask::run_until(arguments)),
        Command::Serve(arguments) => on_one_thread(serve::run(arguments)),
        Command::Forward(arguments) => on_one_thread(forward::run(arguments)),
        Command::Load(arguments) => on_one_thread(load::run(arguments)),
    }
}

/// One thread a program: what is measured is the proxies, and the machine has few cores.
fn on_one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
