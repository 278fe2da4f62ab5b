//! The cluster that KUBECONFIG names.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{AttachParams, ListParams, LogParams};
use kube::{Api, Client};
use tokio::io::AsyncReadExt;

/// Where the mesh's own pods run.
pub const SYSTEM: &str = "istio-system";

/// A connection to the cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
}

/// What a program in a pod has printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// It exited with 0.
    pub success: bool,
}

impl Cluster {
    /// Connects; fails where there is none.
    pub async fn connect() -> Result<Self> {
        let client = Client::try_default().await.context("no cluster: KUBECONFIG names none")?;
        Ok(Cluster { client })
    }

    /// A client of the API server.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The names of the nodes that take ordinary pods.
    pub async fn nodes(&self) -> Result<Vec<String>> {
        let nodes = Api::<Node>::all(self.client()).list(&ListParams::default()).await?;
        Ok(nodes.items.into_iter().filter_map(|node| node.metadata.name).collect())
    }

    /// The pods with these labels.
    pub async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        Ok(api.list(&ListParams::default().labels(labels)).await?.items)
    }

    /// The name of the pod with these labels that runs on that node.
    pub async fn pod_on(&self, namespace: &str, labels: &str, node: &str) -> Result<String> {
        let pods = self.pods(namespace, labels).await?;
        let here = |pod: &&Pod| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
        };
        let name = pods.iter().find(here).and_then(|pod| pod.metadata.name.clone());
        name.with_context(|| format!("no pod with {labels} on {node}"))
    }

    /// Runs a program in a pod, to its end.
    pub async fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<Output> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let wanted = AttachParams::default().stdout(true).stderr(true).stdin(false);
        let mut process = api.exec(pod, command.iter().copied(), &wanted).await?;
        let (mut out, mut err) = (process.stdout(), process.stderr());
        let status = process.take_status();
        let read = async |stream: &mut Option<_>| {
            let mut text = String::new();
            if let Some(stream) = stream {
                AsyncReadExt::read_to_string(stream, &mut text).await?;
            }
            Ok::<_, anyhow::Error>(text)
        };
        let (stdout, stderr) = tokio::try_join!(read(&mut out), async {
            let mut text = String::new();
            if let Some(stream) = &mut err {
                stream.read_to_string(&mut text).await?;
            }
            Ok(text)
        })?;
        let Some(status) = status else { bail!("the end of {command:?} in {pod} was not told") };
        let success = status.await.is_some_and(|status| status.status.as_deref() == Some("Success"));
        Ok(Output { stdout, stderr, success })
    }

    /// What a pod has logged.
    pub async fn logs(&self, namespace: &str, pod: &str) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        Ok(api.logs(pod, &LogParams::default()).await?)
    }

    /// What ztunnel has logged on every node.
    pub async fn ztunnel_logs(&self) -> Result<String> {
        let mut all = String::new();
        for pod in self.pods(SYSTEM, "app=ztunnel").await? {
            all += &self.logs(SYSTEM, &pod.metadata.name.unwrap_or_default()).await?;
        }
        Ok(all)
    }
}
