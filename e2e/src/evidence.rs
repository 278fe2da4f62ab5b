//! What is kept of a test that has failed: everything one would ask for.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::process::Command;

use crate::{Cluster, SYSTEM};

/// Objects of the test's namespace, one file a question.
const QUESTIONS: [(&str, &[&str]); 5] = [
    ("pods", &["get", "pods", "-o", "wide"]),
    ("pods.yaml", &["get", "pods,services,endpointslices", "-o", "yaml"]),
    (
        "mesh.yaml",
        &[
            "get",
            "gateways.gateway.networking.k8s.io,httproutes,grpcroutes,authorizationpolicies,peerauthentications,\
             virtualservices,destinationrules",
            "-o",
            "yaml",
        ],
    ),
    ("events", &["get", "events", "--sort-by=.lastTimestamp"]),
    ("described", &["describe", "pods"]),
];

/// Leaves objects, events, logs and dumps in a folder of the test's own and says where it is.
pub(crate) async fn keep(cluster: &Cluster, test: &str, namespace: &str) -> Result<PathBuf> {
    let folder = root().join(test);
    fs::create_dir_all(&folder)?;
    for within in [namespace, SYSTEM] {
        for (file, question) in QUESTIONS {
            let output = Command::new("kubectl").args(["-n", within]).args(question).output().await?;
            fs::write(folder.join(format!("{within}.{file}")), [output.stdout, output.stderr].concat())?;
        }
        logs(cluster, within, &folder).await?;
    }
    for pod in cluster.pods(SYSTEM, "app=ztunnel").await? {
        let name = pod.metadata.name.unwrap_or_default();
        for (port, path) in [(15000, "config_dump"), (15020, "metrics")] {
            dump(cluster, &name, port, path, &folder).await?;
        }
    }
    for pod in cluster.pods(SYSTEM, "app=adit-controller").await? {
        let name = pod.metadata.name.unwrap_or_default();
        for path in ["metrics", "problems"] {
            dump(cluster, &name, 15014, path, &folder).await?;
        }
    }
    Ok(folder)
}

/// `ADIT_E2E_EVIDENCE`, or `target/e2e` of the workspace.
fn root() -> PathBuf {
    match env::var_os("ADIT_E2E_EVIDENCE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/e2e"),
    }
}

async fn dump(cluster: &Cluster, pod: &str, port: u16, path: &str, folder: &Path) -> Result<()> {
    let text = cluster.get_inside(SYSTEM, pod, port, &format!("/{path}")).await;
    let text = text.unwrap_or_else(|error| format!("{error:#}"));
    fs::write(folder.join(format!("{SYSTEM}.{pod}.{path}")), text)?;
    Ok(())
}

/// Of every container, also of the one before the last restart.
async fn logs(cluster: &Cluster, namespace: &str, folder: &Path) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(cluster.client(), namespace);
    for pod in cluster.pods(namespace, "").await? {
        let name = pod.metadata.name.unwrap_or_default();
        let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
        for container in containers.into_iter().map(|container| container.name) {
            for previous in [false, true] {
                let wanted =
                    LogParams { container: Some(container.clone()), previous, ..LogParams::default() };
                let file =
                    format!("{namespace}.{name}.{container}{}.log", if previous { ".before" } else { "" });
                match api.logs(&name, &wanted).await {
                    Ok(text) => fs::write(folder.join(file), text)?,
                    // Most have no container before this one.
                    Err(_) if previous => {}
                    Err(error) => fs::write(folder.join(file), error.to_string())?,
                }
            }
        }
    }
    Ok(())
}
