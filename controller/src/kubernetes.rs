//! Kubernetes as a source of objects and a place for statuses: watches every kind that
//! the picture is made of, elects the replica that writes, writes.

pub mod authority;
pub(crate) mod certificates;
pub mod classes;
mod convert;
pub mod copies;
pub mod deployer;
mod discovery;
#[cfg(test)]
pub(crate) mod fake_api;
pub mod leader;
mod problems;
mod retry;
mod seen;
pub mod status;
mod supervise;
pub mod tokens;
pub mod trust;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use controller_translate::cluster::Settings;
use kube::Client;
use tokio::sync::mpsc;

use crate::directory::Problems;
use crate::source::{Event, Source};
use problems::Reported;
pub use seen::Seen;
use supervise::Supervisor;

/// What watching and writing have done so far.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Watches that failed and were begun anew.
    pub watch_errors: AtomicU64,
    /// Lists made after the first.
    pub relists: AtomicU64,
    /// Versions of objects that could not be read.
    pub unreadable: AtomicU64,
    /// Statuses written or removed.
    pub statuses: AtomicU64,
    /// Writes of statuses that failed; they are tried again.
    pub status_errors: AtomicU64,
}

/// The API server as a source of objects.
pub struct Kubernetes {
    shared: Shared,
}

/// What all watches have in common.
#[derive(Clone)]
struct Shared {
    client: Client,
    /// The name of the ConfigMap with the settings of the mesh.
    mesh_config_map: Arc<str>,
    problems: Reported,
    seen: Seen,
    statistics: Arc<Statistics>,
}

impl Kubernetes {
    /// Everything that client may watch; and what turns out to be wrong with it.
    pub fn new(client: Client, mesh: &Settings, seen: Seen, statistics: Arc<Statistics>) -> (Self, Problems) {
        let (problems, receiver) = Reported::new();
        let mesh_config_map = mesh.mesh_config_map().into();
        (Kubernetes { shared: Shared { client, mesh_config_map, problems, seen, statistics } }, receiver)
    }
}

impl Source for Kubernetes {
    async fn run(self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        Supervisor::new(self.shared, events).run().await;
        Ok(())
    }
}
