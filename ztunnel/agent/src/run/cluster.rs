//! A node agent in a cluster: the pods from the API server, the network plugin on the
//! node, and at the end the question whether the mesh stays.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Api, Client};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Node, taint};
use crate::cni::install::{self, Installer};
use crate::cni::server::{Admission, Server};
use crate::config::Kubernetes;
use crate::results::{Annotations, Results};
use crate::source::kubernetes;

/// Announcements of new pods that wait for the source.
const WAITING_ANNOUNCEMENTS: usize = 64;
/// A pod that ends has 30 s; what is undone has to fit.
const QUESTION_DEADLINE: Duration = Duration::from_secs(5);
const UNDO_DEADLINE: Duration = Duration::from_secs(15);
/// The annotations that are taken back.
const ANNOTATIONS_DEADLINE: Duration = Duration::from_secs(8);

pub(super) async fn run(node: Node, settings: Kubernetes) -> Result<()> {
    let client = Client::try_default().await.context("the API server")?;
    let ours: Api<DaemonSet> = Api::namespaced(client.clone(), &settings.namespace);
    let (announce, announced) = mpsc::channel(WAITING_ANNOUNCEMENTS);
    let (annotations, writer) = Annotations::new(client.clone(), &settings.node);
    let admission = Admission {
        client: client.clone(),
        rules: node.config.rules.clone(),
        announce,
        board: annotations.subscribe(),
    };
    let excluded = node.config.rules.excluded_namespaces.clone();
    let server = Server::listen(&settings.places.run_dir, admission, node.metrics.clone())
        .context("listening for the network plugin")?;
    let installer = Installer::new(settings.places.clone(), excluded, node.readiness.clone())?;
    let source = kubernetes::Kubernetes::new(
        client.clone(),
        settings.node.clone(),
        settings.proc.clone(),
        node.config.rules.clone(),
        announced,
    )?;
    // Asked at the start too: who may not ask then would take a lost permission for the end of the mesh.
    let may_ask = matches!(stays(&ours, &settings.daemon_set).await, Answer::Stays);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.serve());
    if settings.removes_taint {
        tasks.spawn(taint::keep_off(client.clone(), settings.node.clone(), node.readiness.clone()));
    }
    let (end_writing, ending) = oneshot::channel();
    let mut writing = tokio::spawn(writer.run(ending));
    let installing = tokio::spawn(installer.run());
    let mut agent = node.serve(Results::Annotations(annotations), true, source).await?;
    installing.abort();
    let leaves = match stays(&ours, &settings.daemon_set).await {
        Answer::Gone => true,
        // The permissions are removed with the DaemonSet, and may be gone first.
        Answer::Forbidden => may_ask,
        Answer::Stays | Answer::Unknown => false,
    };
    if leaves {
        info!("the DaemonSet is gone: the network plugin and all capture are removed from this node");
        // First the plugin: no pod waits for an agent that does not come back.
        if let Err(error) = install::uninstall(&settings.places) {
            warn!("removing the network plugin: {error}");
        }
        if timeout(UNDO_DEADLINE, agent.release_all()).await.is_err() {
            warn!("removing capture was not finished in time");
        }
        // ztunnels that are still connected stay so; whoever comes later need not wait for an answer.
        if let Err(error) = fs::remove_file(&node.config.zds_socket) {
            warn!("removing {}: {error}", node.config.zds_socket.display());
        }
        // It has ended if it cannot be told.
        let _ = end_writing.send(());
        if timeout(ANNOTATIONS_DEADLINE, &mut writing).await.is_err() {
            warn!("annotations of pods on this node are left, which say that the mesh has them");
        }
    } else {
        info!("pods stay captured, and new ones wait for the next agent");
    }
    writing.abort();
    Ok(())
}

enum Answer {
    Stays,
    Gone,
    Forbidden,
    Unknown,
}

/// Whether the DaemonSet this agent is of is to stay.
async fn stays(all: &Api<DaemonSet>, name: &str) -> Answer {
    match timeout(QUESTION_DEADLINE, all.get_metadata(name)).await {
        Ok(Ok(found)) if found.metadata.deletion_timestamp.is_some() => Answer::Gone,
        Ok(Ok(_)) => Answer::Stays,
        Ok(Err(kube::Error::Api(status))) => match status.code {
            404 => Answer::Gone,
            401 | 403 => Answer::Forbidden,
            _ => Answer::Unknown,
        },
        Ok(Err(_)) | Err(_) => Answer::Unknown,
    }
}
