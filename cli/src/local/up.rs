//! `adit local up`: starts a mesh and stays with it, or leaves it running.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::signal::Signal;

use super::addresses::MAX_NODES;
use super::alive;
use super::console::Console;
use super::files::{self, make_directory, shown};
use super::follow::Followed;
use super::images::ImageCommand;
use super::launch::{self, OWN_PROGRAM};
use super::manifests;
use super::mesh::Mesh;
use super::network::node_name;
use super::programs::{IMAGE, ProgramSettings};
use super::supervise::{Settings, Supervisor};
use super::sweep;
use super::tools;
use crate::duration;

/// How long to wait for a mesh of the same name that is being taken down.
const LOCK_WAIT: Duration = Duration::from_secs(15);

/// Start a mesh on this machine
#[derive(Args, Debug)]
pub(super) struct Up {
    /// A file or directory of manifests; followed, so that edits take effect
    #[arg(long, short = 'f', value_name = "PATH")]
    file: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, short = 'n', default_value = "default")]
    namespace: String,
    /// How many nodes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_NODES)))]
    nodes: u8,
    /// The program of this machine that stands for an image; `*` stands for any text
    #[arg(long, value_name = "IMAGE=COMMAND")]
    run: Vec<ImageCommand>,
    /// Return when everything is ready, and leave it running
    #[arg(long, short = 'd')]
    detach: bool,
    /// How long to wait before saying what is not ready
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
    /// How long the certificates of workloads are good for
    #[arg(long, value_name = "DURATION", value_parser = certificate_ttl)]
    certificate_ttl: Option<String>,
    /// What waypoints are told by their environment, besides what they need
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    waypoint_env: Vec<(String, String)>,
    /// The process to end with
    #[arg(long, hide = true)]
    parent: Option<i32>,
}

fn certificate_ttl(text: &str) -> Result<String, duration::InvalidDuration> {
    duration::parse(text).map(|_| text.to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = named.ok_or("expected NAME=VALUE, for instance ACCESS_LOG=json")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(mesh: &Mesh, up: Up) -> Result<ExitCode> {
    tools::check()?;
    for path in &up.file {
        if !path.exists() {
            bail!("{} does not exist; name a file or a directory of manifests", path.display());
        }
    }
    if up.detach { detach(mesh, up.timeout) } else { stay(mesh, up).map(|()| ExitCode::SUCCESS) }
}

/// Runs the mesh in this process, until it is interrupted.
fn stay(mesh: &Mesh, up: Up) -> Result<()> {
    let console = Console::new();
    if let Some(parent) = up.parent {
        launch::end_with(parent, Signal::SIGTERM)?;
    }
    let Some(lock) = alive::lock(mesh, LOCK_WAIT)? else {
        bail!(
            "the mesh {mesh} is up already: change it with `adit local apply`, or take it down with `adit local down`"
        );
    };
    // Of one that could not clear up after itself.
    sweep::sweep(mesh)?;
    let mut sweeper = Sweeper::start(mesh, &lock)?;
    let result = start(mesh, up, console);
    // Everything of the mesh ends here, also if it could not be started.
    sweeper.finish()?;
    result
}

fn start(mesh: &Mesh, up: Up, console: Console) -> Result<()> {
    check(&up)?;
    make_directories(mesh, up.nodes)?;
    let own: ImageCommand = format!("{IMAGE}={}", shell_quoted(&std::env::current_exe()?)?).parse()?;
    let settings = Settings {
        nodes: up.nodes,
        images: [vec![own], up.run].concat(),
        programs: ProgramSettings { certificate_ttl: up.certificate_ttl, waypoint_env: up.waypoint_env },
        patience: up.timeout,
    };
    // One thread, the main one: see `Supervisor::run`.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let followed = Followed::new(up.file, up.namespace);
        Supervisor::new(mesh.clone(), settings, followed, console)?.run().await
    })
}

/// A mistake in the manifests is better told before anything is made.
fn check(up: &Up) -> Result<()> {
    let mut errors = Vec::new();
    for path in &up.file {
        for file in manifests::files_of(path)? {
            errors.extend(manifests::load(&file, &up.namespace).errors);
        }
    }
    if errors.is_empty() { Ok(()) } else { bail!("the manifests cannot be used:\n  {}", errors.join("\n  ")) }
}

fn shell_quoted(path: &std::path::Path) -> Result<String> {
    let text = path.to_str().context("the path of this program is not UTF-8; move it elsewhere")?;
    if text.contains('\'') {
        bail!("the path of this program has a quote in it; move it elsewhere");
    }
    Ok(format!("'{text}'"))
}

fn make_directories(mesh: &Mesh, nodes: u8) -> Result<()> {
    let runtime = mesh.runtime();
    let fixed = [
        mesh.manifests(),
        mesh.data(),
        runtime.join("pods"),
        runtime.join("services"),
        mesh.status(),
        mesh.ca(),
        mesh.tokens(),
        mesh.logs(),
        mesh.hosts(),
        mesh.containers(),
        mesh.bin(),
    ];
    make_directory(&mesh.root())?;
    // Secrets of the user's are among the files, and the key of the certificate authority.
    fs::set_permissions(mesh.root(), Permissions::from_mode(0o700)).with_context(|| shown(&mesh.root()))?;
    for directory in fixed {
        make_directory(&directory)?;
    }
    for node in 1..=nodes {
        for part in ["pods", "results"] {
            make_directory(&mesh.node(&node_name(node)).join(part))?;
        }
    }
    let adit = mesh.bin().join("adit");
    symlink(std::env::current_exe()?, &adit).with_context(|| shown(&adit))?;
    files::write_atomically(&mesh.pid(), std::process::id().to_string())
}

/// A process that removes everything once this one is gone, in whatever way.
struct Sweeper {
    process: Child,
}

impl Sweeper {
    fn start(mesh: &Mesh, lock: &File) -> Result<Self> {
        let process = Command::new(OWN_PROGRAM)
            .args(["local", "--name", &mesh.to_string(), "sweep"])
            .stdin(Stdio::piped())
            // So the lock is held until it has done its work.
            .stdout(lock.try_clone()?)
            .spawn()
            .context("starting the process that clears up")?;
        Ok(Sweeper { process })
    }

    fn finish(&mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if !status.success() {
            bail!("not everything could be cleared up ({status}); try `adit local down`");
        }
        Ok(())
    }
}

/// Starts this command again in the background and shows what it says until it is ready.
fn detach(mesh: &Mesh, timeout: Duration) -> Result<ExitCode> {
    if let Some(pid) = alive::find_supervisor(mesh)? {
        bail!("the mesh {mesh} is up already (process {pid})");
    }
    let path = mesh.supervisor_log();
    make_directory(path.parent().context("a log has a directory")?)?;
    let log = OpenOptions::new().create(true).append(true).open(&path).with_context(|| shown(&path))?;
    log.set_len(0)?;
    let mut shown_log = File::open(&path)?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach" && argument != "-d");
    let mut child = Command::new(OWN_PROGRAM)
        .args(arguments.collect::<Vec<OsString>>())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // What is typed at the terminal is not for it.
        .process_group(0)
        .spawn()?;
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let ended = child.try_wait()?;
        copy_new(&mut shown_log)?;
        if let Some(status) = ended {
            bail!("the mesh could not be started ({status})");
        }
        if mesh.ready().exists() {
            println!("take it down with: adit local down --name {mesh}");
            return Ok(ExitCode::SUCCESS);
        }
        if std::time::Instant::now() >= deadline + Duration::from_secs(1) {
            copy_new(&mut shown_log)?;
            bail!(
                "the mesh {mesh} is up, but not everything is ready; look with: adit local get pods --name {mesh}"
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the file has grown by.
fn copy_new(log: &mut File) -> Result<()> {
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    std::io::stdout().write_all(&text)?;
    Ok(())
}
