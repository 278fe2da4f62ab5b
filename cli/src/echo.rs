//! `adit echo`: a server of HTTP/1.1, HTTP/2 (h2c), gRPC, the same by TLS, and TCP that names itself and does as the
//! request tells it (fail, wait, call onward), and `adit echo call`, its client.

mod behaviour;
mod call;
mod client;
mod failures;
mod name;
mod onward;
mod server;
mod service;
mod stats;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Serve, or call a server.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = BEHAVIOUR)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: server::Serve,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Call a URL and print one line per answer
    Call(call::Arguments),
}

const BEHAVIOUR: &str = "\
A request says how it wants to be answered, in its query or in `x-echo-<name>` headers:
  status=418           answer with this status
  delay=500ms          wait before answering
  fail=2 code=503      fail the first 2 requests of a key with this status,
  key=K                the key being K, else the x-request-id
  close=true           close the connection instead of answering
  header=name:value    add a header to the answer
  call=URL             call this URL first and include its answer
  format=text          answer in lines instead of JSON
GET /stats counts what has arrived; GET /healthz is for probes and not counted.";

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.command {
        Some(Command::Call(call)) => runtime.block_on(call::run(call)),
        None => runtime.block_on(server::run(arguments.serve)).map(|()| ExitCode::SUCCESS),
    }
}
