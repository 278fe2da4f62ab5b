//! `adit local`: a mesh on this machine. Nodes and pods are network namespaces, the pods' commands run
//! inside, and the programs of the mesh beside them; manifests are the user's interface.

mod addresses;
mod alive;
mod apply;
mod clock;
mod console;
mod data;
mod demo;
mod down;
mod environment;
mod exec;
mod files;
mod follow;
mod get;
mod hosts;
mod images;
mod kinds;
mod launch;
mod logs;
mod lookup;
mod manifests;
mod mesh;
mod network;
mod objects;
mod pod;
mod poll;
mod programs;
mod rollout;
mod services;
mod supervise;
mod sweep;
mod table;
mod tokens;
mod tools;
mod up;
mod vips;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use mesh::Mesh;

/// A mesh on this machine
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[arg(
        long,
        global = true,
        value_name = "MESH",
        help = "Which mesh; several live side by side [default: local; of the demo: demo]"
    )]
    name: Option<Mesh>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Up(up::Up),
    Apply(apply::Apply),
    Delete(apply::Delete),
    Get(get::Get),
    Exec(exec::Exec),
    Logs(logs::Logs),
    Demo(demo::Demo),
    /// Take a mesh down, also one that has crashed
    Down,
    #[command(hide = true)]
    Enter(launch::Enter),
    #[command(hide = true)]
    Sweep,
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let default = if matches!(arguments.command, Command::Demo(_)) { "demo" } else { "local" };
    let mesh = &arguments.name.map_or_else(|| default.parse(), Ok)?;
    match arguments.command {
        Command::Up(up) => return up::run(mesh, up),
        Command::Demo(demo) => return demo::run(mesh, &demo),
        Command::Down => down::run(mesh)?,
        Command::Sweep => sweep::sweep_after_supervisor(mesh)?,
        Command::Enter(enter) => match launch::enter(&enter)? {},
        command => {
            alive::require(mesh)?;
            match command {
                Command::Apply(apply) => apply::apply(mesh, &apply)?,
                Command::Delete(delete) => apply::delete(mesh, &delete)?,
                Command::Get(get) => get::run(mesh, &get)?,
                Command::Exec(exec) => match exec::run(mesh, &exec)? {},
                Command::Logs(logs) => logs::run(mesh, &logs)?,
                Command::Up(_) | Command::Down | Command::Demo(_) | Command::Sweep | Command::Enter(_) => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
