//! Where objects come from and statuses go, put together as the configuration says.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, bail};
use controller_translate::cluster::Settings;
use kube::Client;
use tokio::sync::{mpsc, watch};

use crate::background::Background;
use crate::config::{DirectorySource, KubernetesSource};
use crate::directory::{Directory, Problems};
use crate::kubernetes::leader::Election;
use crate::kubernetes::status::StatusWriting;
use crate::kubernetes::{Kubernetes, Seen, Statistics};
use crate::source::{Event, Source};
use crate::status::{StatusDirectory, Statuses};

/// A source of objects of either sort.
pub enum Objects {
    /// Manifests in directories.
    Directory(Directory),
    /// The API server.
    Kubernetes(Box<Kubernetes>),
}

impl Source for Objects {
    async fn run(self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        match self {
            Objects::Directory(source) => source.run(events).await,
            Objects::Kubernetes(source) => source.run(events).await,
        }
    }
}

/// A source and what belongs to it.
pub struct Origin {
    /// The source.
    pub objects: Objects,
    /// What is wrong with its objects.
    pub problems: Problems,
    /// Where statuses go, if anywhere.
    pub statuses: Option<Statuses>,
    /// The cluster, if there is one.
    pub cluster: Option<InCluster>,
}

/// What the parts that live in a cluster need.
#[derive(Clone)]
pub struct InCluster {
    /// A client of the API server.
    pub client: Client,
    /// Whether this replica is the one that writes.
    pub leads: watch::Receiver<bool>,
    /// What watching and writing have done.
    pub statistics: Arc<Statistics>,
}

impl Origin {
    /// Directories; statuses go into another.
    pub fn directory(source: &DirectorySource, background: &mut Background) -> anyhow::Result<Self> {
        let statuses = match &source.status {
            None => None,
            Some(path) => {
                let directory = StatusDirectory::open(path);
                let directory = directory.with_context(|| format!("cannot use {}", path.display()))?;
                let statuses = Statuses::default();
                background.add("the writing of statuses", statuses.clone().run(directory));
                Some(statuses)
            }
        };
        if source.manifests.is_empty() {
            bail!("no directory of manifests; name one (MANIFESTS)");
        }
        for path in &source.manifests {
            if !path.is_dir() {
                bail!("{} is not a directory of manifests; make it or name another", path.display());
            }
        }
        for path in &source.runtime {
            fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let (directory, problems) = Directory::new(source.manifests.clone(), source.runtime.clone());
        Ok(Origin { objects: Objects::Directory(directory), problems, statuses, cluster: None })
    }

    /// The API server; statuses go to it while this replica leads.
    pub fn kubernetes(
        client: Client,
        source: &KubernetesSource,
        mesh: &Settings,
        background: &mut Background,
    ) -> Self {
        let lease = source.lease(&mesh.revision);
        let (election, leads) = Election::new(client.clone(), &source.namespace, &lease, &source.identity);
        background.add_ending("the election of a leader", |ending| election.run(ending));
        let (seen, statistics) = (Seen::default(), Arc::new(Statistics::default()));
        let statuses = Statuses::default();
        let writing = StatusWriting::new(client.clone(), seen.clone(), leads.clone(), statistics.clone());
        background.add("the writing of statuses", writing.run(statuses.clone()));
        let (kubernetes, problems) = Kubernetes::new(client.clone(), mesh, seen, statistics.clone());
        Origin {
            objects: Objects::Kubernetes(Box::new(kubernetes)),
            problems,
            statuses: Some(statuses),
            cluster: Some(InCluster { client, leads, statistics }),
        }
    }
}
