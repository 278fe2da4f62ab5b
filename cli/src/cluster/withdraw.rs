//! `adit withdraw`: what has to happen before the release is deleted, run by the chart's hook. The nodes
//! are cleaned by their agents, which must still be able to ask the API server; what the controller made
//! goes once there is no controller left to make it again.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use gateway_api::gatewayclasses::GatewayClass;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Error, Resource};
use serde::de::DeserializeOwned;

const ROOT_CERTIFICATE: &str = "istio-ca-root-cert";
const CLASSES: [(&str, &str); 2] =
    [("adit-waypoint", "adit.io/mesh-controller"), ("istio-waypoint", "istio.io/mesh-controller")];
/// Between looks at pods that are ending.
const PAUSE: Duration = Duration::from_millis(500);
/// An agent has half a minute to clean its node.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Args, Debug)]
pub(crate) struct Withdraw {
    /// The release's namespace
    #[arg(long)]
    namespace: String,
    /// The release's revision
    #[arg(long, default_value = "default")]
    revision: String,
    /// The release has the node agent
    #[arg(long)]
    nodes: bool,
}

/// Cleans nodes and cluster of what Helm knows nothing of.
pub(crate) fn run(arguments: &Withdraw) -> Result<()> {
    super::runtime()?.block_on(withdraw(arguments))
}

async fn withdraw(arguments: &Withdraw) -> Result<()> {
    let client = Client::try_default().await.context("cannot reach the API server")?;
    let suffix = match arguments.revision.as_str() {
        "default" => String::new(),
        revision => format!("-{revision}"),
    };
    let within = arguments.namespace.as_str();
    if arguments.nodes {
        remove(&Api::<DaemonSet>::namespaced(client.clone(), within), "adit-node-agent").await?;
        gone(&client, within, "app=adit-node-agent").await?;
    }
    let deployments = Api::<Deployment>::namespaced(client.clone(), within);
    let own = format!("adit-controller{suffix}");
    remove(&deployments, &own).await?;
    gone(&client, within, &format!("app=adit-controller,istio.io/rev={}", arguments.revision)).await?;
    let lease = format!("adit-controller-leader{suffix}");
    remove(&Api::<Lease>::namespaced(client.clone(), within), &lease).await?;
    // A controller of another revision goes on with the same authority. Ours may be listed a moment longer.
    let all = deployments.list_metadata(&ListParams::default().labels("app=adit-controller")).await?;
    let mut others = all.items.iter().filter_map(|it| it.metadata.name.as_deref()).filter(|it| *it != own);
    match others.next() {
        Some(other) => println!("the certificate authority stays for Deployment \"{other}\""),
        None => withdraw_shared(&client, within).await?,
    }
    Ok(())
}

/// What all revisions of a namespace have in common.
async fn withdraw_shared(client: &Client, within: &str) -> Result<()> {
    let everywhere = ListParams::default().fields(&format!("metadata.name={ROOT_CERTIFICATE}"));
    let maps = Api::<ConfigMap>::all(client.clone()).list_metadata(&everywhere).await?;
    for namespace in maps.items.iter().filter_map(|map| map.metadata.namespace.as_deref()) {
        remove(&Api::<ConfigMap>::namespaced(client.clone(), namespace), ROOT_CERTIFICATE).await?;
    }
    remove(&Api::<Secret>::namespaced(client.clone(), within), "istio-ca-secret").await?;
    classes(client).await
}

/// Classes of the same names that another controller looks after stay.
async fn classes(client: &Client) -> Result<()> {
    let api: Api<GatewayClass> = Api::all(client.clone());
    for (name, controller) in CLASSES {
        match api.get_opt(name).await {
            Ok(Some(class)) if class.spec.controller_name == controller => remove(&api, name).await?,
            // Without the kinds of the Gateway API there are no classes.
            Ok(_) | Err(Error::Api(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Deletes an object; one that is gone already is no failure.
async fn remove<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match api.delete(name, &DeleteParams::foreground()).await {
        Ok(_) => println!("{} \"{name}\" deleted", K::kind(&())),
        Err(Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error).with_context(|| format!("cannot delete {} {name:?}", K::kind(&()))),
    }
    Ok(())
}

/// Waits until no pod with these labels is left.
async fn gone(client: &Client, namespace: &str, labels: &str) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let wanted = ListParams::default().labels(labels);
    let wait = async {
        while !api.list_metadata(&wanted).await?.items.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        Ok::<_, Error>(())
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(ended) => Ok(ended?),
        Err(_) => bail!("pods with {labels} still run after {PATIENCE:?}; see why they do not end"),
    }
}
