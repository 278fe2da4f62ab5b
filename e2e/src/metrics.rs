//! Metrics of pods, read through the API server: our image has no program to ask from inside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Cluster, Scene, eventually};

/// Where waypoints and ztunnels tell what they have counted.
const PORT: u16 = 15020;
/// Answers come before they are counted.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a pod has counted, as it says it.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// The sum of the samples of this name that have all these labels, written `name="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (family, of) = series.split_once('{').unwrap_or((series, ""));
            (family == name && labels.iter().all(|label| of.contains(label)))
                .then(|| value.parse::<f64>().ok())?
        };
        self.0.lines().filter_map(sample).sum()
    }
}

impl Cluster {
    /// What answers a GET of a path on a pod's port.
    pub async fn get(&self, namespace: &str, pod: &str, port: u16, path: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}");
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.client.request_text(request).await?)
    }

    /// The metrics of a pod.
    pub async fn metrics(&self, namespace: &str, pod: &str, port: u16) -> Result<Metrics> {
        Ok(Metrics(self.get(namespace, pod, port, "metrics").await?))
    }
}

impl Scene {
    /// Waits until the scene's waypoint has counted so much, at least, under a name and all these labels.
    pub async fn waypoint_counts(&self, name: &str, labels: &[&str], least: f64) -> Result<()> {
        let label = "gateway.networking.k8s.io/gateway-name=waypoint";
        let pods = self.cluster.pods(&self.namespace, label).await?;
        let pod = pods.into_iter().find_map(|it| it.metadata.name).context("no pod of the waypoint")?;
        eventually(PATIENCE, async || {
            let sum = self.cluster.metrics(&self.namespace, &pod, PORT).await?.sum(name, labels);
            ensure!(sum >= least, "{name} {labels:?} is {sum}");
            Ok(())
        })
        .await
    }
}
