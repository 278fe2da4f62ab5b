//! Metrics of pods, read through the API server: our image has no program to ask from inside.

use anyhow::Result;

use crate::Cluster;

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
