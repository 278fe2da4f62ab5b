//! One named network namespace: code, connections and processes inside it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_net::namespace::Namespace;
use mesh_net::socket::{SocketOptions, listen_tcp, tcp_socket_for};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::ip;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A network namespace under `/run/netns`, removed when dropped.
pub struct Netns {
    name: String,
    namespace: Namespace,
}

impl Netns {
    pub(super) fn new(name: String) -> Result<Self> {
        ip::add(&name)?;
        let namespace = Namespace::open(path_of(&name))?;
        let made = Self { name, namespace };
        made.ip("link set lo up\n")?;
        Ok(made)
    }

    /// The name `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    pub fn path(&self) -> PathBuf {
        path_of(&self.name)
    }

    /// The namespace itself.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Runs one `ip` command a line.
    pub fn ip(&self, lines: &str) -> Result<()> {
        ip::batch(&self.name, lines).with_context(|| format!("in {}", self.name))
    }

    /// Sets a kernel parameter of this network, such as `net/ipv4/ip_forward`.
    pub fn set(&self, parameter: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(parameter);
        self.namespace.run(|| std::fs::write(&path, value)).with_context(|| path.display().to_string())
    }

    /// Runs a program to its end and returns what it printed.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self.namespace.run(|| Command::new(program).args(args).output());
        let output = output.with_context(|| program.to_owned())?;
        anyhow::ensure!(
            output.status.success(),
            "{program} {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts a program that is killed when the result is dropped.
    pub fn start(&self, command: &mut Command) -> Result<Process> {
        let child = self.namespace.run(|| command.spawn());
        Ok(Process(child.with_context(|| format!("{command:?}"))?))
    }

    /// Starts async code on a thread and runtime of its own inside the namespace;
    /// threads it makes are inside too. It is stopped when the result is dropped.
    pub fn spawn<F, T>(&self, make: impl FnOnce() -> F + Send + 'static) -> Running<T>
    where
        F: Future<Output = T>,
        T: Send + 'static,
    {
        let namespace = self.namespace.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (done, result) = oneshot::channel();
        std::thread::spawn(move || {
            let outcome = namespace.run(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(async {
                    tokio::select! {
                        result = make() => Some(result),
                        _ = stopped => None,
                    }
                }))
            });
            // Nobody waits for the outcome of something that was dropped.
            let _ = done.send(outcome);
        });
        Running { result, stop }
    }

    /// Listens inside the namespace; usable from any runtime.
    pub fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let listener = self.namespace.run(|| listen_tcp(address, &SocketOptions::plain()))?;
        TcpListener::from_std(listener)
    }

    /// Connects from inside the namespace; usable from any runtime.
    pub async fn connect(&self, destination: SocketAddr) -> io::Result<TcpStream> {
        self.connect_with(destination, &SocketOptions::plain()).await
    }

    /// Connects from inside the namespace with these socket options.
    pub async fn connect_with(
        &self,
        destination: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<TcpStream> {
        let socket = self.namespace.run(|| tcp_socket_for(destination, None, options))?;
        tokio::time::timeout(CONNECT_DEADLINE, socket.connect(destination)).await?
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = ip::delete(&self.name) {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// A running program; killed when dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Running async code; stopped when dropped.
pub struct Running<T> {
    result: oneshot::Receiver<io::Result<Option<T>>>,
    stop: oneshot::Sender<()>,
}

impl<T> Running<T> {
    /// Waits for its result; an error when it panicked.
    pub async fn join(self) -> Result<T> {
        let result = self.result.await.context("code inside a namespace panicked")?;
        result?.context("code inside a namespace was stopped")
    }

    /// Stops it where it is, and returns once it is gone, with its result if it had ended before.
    pub async fn stop(self) -> Option<T> {
        drop(self.stop);
        self.result.await.ok()?.ok()?
    }
}
