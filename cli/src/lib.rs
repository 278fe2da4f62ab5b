//! The `adit` command: the programs of the mesh and the user's commands in one binary.

mod cluster;
mod duration;
mod echo;
mod exchange;
mod grpc;
mod local;
mod program;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// An ambient service mesh in one binary.
#[derive(Parser, Debug)]
#[command(name = "adit", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// A mesh on this machine, out of network namespaces
    Local(local::Arguments),
    /// Brings the mesh into a Kubernetes cluster, by the charts this program carries and Helm
    Install(cluster::Install),
    /// Takes it out again
    Uninstall(cluster::Uninstall),
    #[command(hide = true)]
    Withdraw(cluster::Withdraw),
    /// A server that names itself, for tests and demonstrations; `echo call` is its client
    Echo(echo::Arguments),
    /// The control plane: reads manifests, tells the proxies, signs certificates
    Controller(program::controller::Arguments),
    /// The node proxy: captures, encrypts, enforces L4 policy
    Ztunnel,
    #[command(hide = true)]
    Proxy(program::ztunnel::Proxy),
    /// The L7 proxy of services: routes, retries, faults, mirrors
    Waypoint,
    /// Counts requests for rate limits, in Redis
    RateLimiter(program::rate_limiter::Arguments),
    /// Enrols the pods of a node
    NodeAgent,
    /// Which version this is
    Version,
}

/// Parses the command line and runs it.
pub fn run() -> ExitCode {
    if program::cni::is_called() {
        return program::cni::run();
    }
    dispatch(Arguments::parse().command).unwrap_or_else(|error| {
        // Whoever read the output has seen enough (`| head`).
        let is_broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
        };
        if !error.chain().any(is_broken_pipe) {
            eprintln!("adit: {error:#}");
        }
        ExitCode::FAILURE
    })
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Local(arguments) => return local::run(arguments),
        Command::Install(arguments) => cluster::install(&arguments)?,
        Command::Uninstall(arguments) => cluster::uninstall(&arguments)?,
        Command::Withdraw(arguments) => cluster::withdraw(&arguments)?,
        Command::Echo(arguments) => return echo::run(arguments),
        Command::Controller(arguments) => program::controller::run(arguments)?,
        Command::Ztunnel => program::ztunnel::run()?,
        Command::Proxy(proxy) => program::ztunnel::run_proxy(&proxy)?,
        Command::Waypoint => program::waypoint::run()?,
        Command::RateLimiter(arguments) => program::rate_limiter::run(arguments)?,
        Command::NodeAgent => program::node_agent::run()?,
        Command::Version => program::version::print(),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn ztunnel_is_started_in_both_ways() {
        for arguments in [&["adit", "ztunnel"][..], &["adit", "proxy", "ztunnel"]] {
            let parsed = Arguments::try_parse_from(arguments).unwrap().command;
            assert!(matches!(parsed, Command::Ztunnel | Command::Proxy(_)), "{arguments:?}");
        }
        assert!(Arguments::try_parse_from(["adit", "proxy", "sidecar"]).is_err());
    }
}
