//! Exchanging the pods of a Deployment or DaemonSet, as `kubectl rollout restart` and `rollout status` do.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Patch, PatchParams};
use kube::core::util::Restart;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{Cluster, eventually};

/// New pods have to start, and old ones to end with their grace period.
const PATIENCE: Duration = Duration::from_secs(180);

/// What makes pods.
#[derive(Clone, Copy, Debug)]
pub enum Workload<'a> {
    /// The Deployment of this name.
    Deployment(&'a str),
    /// The DaemonSet of this name.
    DaemonSet(&'a str),
}

/// What a workload's status says, and whose pods they are.
struct Progress {
    observed: bool,
    wanted: i32,
    updated: i32,
    available: i32,
    labels: String,
}

impl Cluster {
    /// Has all pods made anew, and waits until the old ones are gone.
    pub async fn restart(&self, namespace: &str, workload: Workload<'_>) -> Result<()> {
        match workload {
            Workload::Deployment(name) => restart::<Deployment>(self, namespace, name).await?,
            Workload::DaemonSet(name) => restart::<DaemonSet>(self, namespace, name).await?,
        }
        self.settled(namespace, workload).await
    }

    /// Sets how many pods a Deployment has, and waits until it has them.
    pub async fn scale(&self, namespace: &str, name: &str, replicas: i32) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client(), namespace);
        let patch = json!({ "spec": { "replicas": replicas } });
        api.patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        self.settled(namespace, Workload::Deployment(name)).await
    }

    /// How many pods a Deployment is to have.
    pub async fn replicas(&self, namespace: &str, name: &str) -> Result<i32> {
        let api: Api<Deployment> = Api::namespaced(self.client(), namespace);
        Ok(api.get(name).await?.spec.and_then(|spec| spec.replicas).unwrap_or(1))
    }

    /// Waits until a workload has the pods it should have, and no other.
    pub async fn settled(&self, namespace: &str, workload: Workload<'_>) -> Result<()> {
        eventually(PATIENCE, async || {
            let Progress { observed, wanted, updated, available, labels } = match workload {
                Workload::Deployment(name) => {
                    of_deployment(Api::namespaced(self.client(), namespace).get(name).await?)?
                }
                Workload::DaemonSet(name) => {
                    of_daemon_set(Api::namespaced(self.client(), namespace).get(name).await?)?
                }
            };
            let pods = self.pods(namespace, &labels).await?.len();
            let done = observed && updated == wanted && available == wanted && i32::try_from(pods)? == wanted;
            ensure!(
                done,
                "{workload:?}: {updated} new and {available} available of {wanted}, {pods} pods in all"
            );
            Ok(())
        })
        .await
    }
}

async fn restart<K>(cluster: &Cluster, namespace: &str, name: &str) -> Result<()>
where
    K: Restart
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + Debug,
{
    Api::<K>::namespaced(cluster.client(), namespace).restart(name).await?;
    Ok(())
}

fn of_deployment(it: Deployment) -> Result<Progress> {
    let (spec, status) = (it.spec.context("no spec")?, it.status.unwrap_or_default());
    Ok(Progress {
        observed: status.observed_generation == it.metadata.generation,
        wanted: spec.replicas.unwrap_or(1),
        updated: status.updated_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        labels: selector(&spec.selector),
    })
}

fn of_daemon_set(it: DaemonSet) -> Result<Progress> {
    let (spec, status) = (it.spec.context("no spec")?, it.status.unwrap_or_default());
    Ok(Progress {
        observed: status.observed_generation == it.metadata.generation,
        wanted: status.desired_number_scheduled,
        updated: status.updated_number_scheduled.unwrap_or(0),
        available: status.number_available.unwrap_or(0),
        labels: selector(&spec.selector),
    })
}

/// None of ours select by expressions.
fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(name, value)| format!("{name}={value}"));
    labels.collect::<Vec<_>>().join(",")
}
